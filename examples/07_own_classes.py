"""Solve on an OpenAI-compatible server that gives no log-probabilities, with rewards of your own (pip install openai).

vllm serve MODEL                                # in another terminal
python examples/07_own_classes.py [http://127.0.0.1:8000/v1]
"""

import re
import sys
from collections.abc import Sequence
from operator import add, mul, sub

from openai import OpenAI, OpenAIError
from openai.types.chat import ChatCompletionMessageParam

from specs import InputError, SamplingParams, StepText, adapt, solve

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/v1"
QUESTION = "Tom has 40 nuts. He gives 6 nuts to each of 3 friends. How many nuts does Tom have now?"
SUM, OPERATORS = re.compile(r"(\d+) ([+*-]) (\d+) = (\d+)"), {"+": add, "*": mul, "-": sub}


class ChatServer:
    def __init__(self) -> None:
        self.client = OpenAI(base_url=ADDRESS, api_key="none", max_retries=0)
        self.name = self.client.models.list().data[0].id

    def sample(self, question: str, solution: str, n: int, sampling: SamplingParams, seed: int) -> list[str | StepText]:
        turns: list[ChatCompletionMessageParam] = [{"role": "user", "content": question}]
        if solution:
            turns.append({"role": "assistant", "content": solution})
        goes_on = {"continue_final_message": bool(solution), "add_generation_prompt": not solution}
        filters = {"top_k": sampling.top_k, "min_p": sampling.min_p}  # fields of vLLM, 0 for none
        answer = self.client.chat.completions.create(
            model=self.name, messages=turns, n=n, seed=seed, temperature=sampling.temperature, top_p=sampling.top_p,
            stop=sampling.steps.delimiter, max_tokens=sampling.steps.max_tokens, extra_body=goes_on | filters,
        )  # fmt: skip
        found = [(choice.message.content or "", choice.finish_reason) for choice in answer.choices]
        return [StepText(text, "cap") if reason == "length" else text for text, reason in found]


class RightSums:
    def rewards(self, question: str, solutions: Sequence[Sequence[str]]) -> list[float]:
        """1 for a solution without a wrong sum, else 0."""
        sums = [SUM.findall("\n".join(steps)) for steps in solutions]
        return [float(all(OPERATORS[sign](int(a), int(b)) == int(c) for a, sign, b, c in one)) for one in sums]


try:
    server = ChatServer()
except OpenAIError as error:
    sys.exit(f"no server at {ADDRESS} ({error}); start one, or name its address")
models = adapt(draft=server, target=server, prm=RightSums())
for method in ("beam", "best-of-n", "majority", "specs", "gsi"):
    try:
        result = solve(QUESTION, models, method, n=4, seed=1, max_step_tokens=256)
        print(f"{method}: {result.error or result.answer}")
    except InputError as error:
        print(error)
