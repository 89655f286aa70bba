"""Adapters of `research.benchmarks.peers`: they let other projects' code solve questions on the servers of ours.

Their code makes every decision and sends every request for text. What the adapters replace is in the docstring there.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from time import perf_counter
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.request import Request, urlopen

from research.benchmarks.bundled import LAW, LIMITS
from research.benchmarks.published import Outcome, Prompts, Rewards, Solved, Writer, first, second
from specs.core.votes import boxed
from specs.engines.protocol import Models, RewardModel
from specs.engines.text import Text
from specs.types import Role

N = 8
"""Candidates of a step, or whole solutions, of every method that draws several."""
THREADS = 64
"""Threads that may wait for rewards at the same time, so that no solve of its_hub waits for a thread."""
BOX = r"\boxed"
"""The text with which its_hub's beam search ends; it has no end-of-text."""

GRADING = "external.qwen25_math_evaluation"
STAND_INS: dict[str, Any] = {
    "tqdm": SimpleNamespace(tqdm=first),
    "transformers": SimpleNamespace(AutoTokenizer=None),
    f"{GRADING}.evaluate": SimpleNamespace(evaluate=None),
    f"{GRADING}.utils": SimpleNamespace(**dict.fromkeys(("set_seed", "load_jsonl", "save_jsonl", "construct_prompt"))),
    f"{GRADING}.parser": SimpleNamespace(),
    f"{GRADING}.trajectory": SimpleNamespace(),
    f"{GRADING}.data_loader": SimpleNamespace(load_data=None),
    f"{GRADING}.python_executor": SimpleNamespace(PythonExecutor=None),
    "external.skywork_o1_prm_inference.model_utils.io_utils": SimpleNamespace(
        prepare_input=second, derive_step_rewards_vllm=first
    ),
}
"""Modules that RSD's `main_online.py` imports. It needs the last one for rewards, and the others to read and grade."""


class StepRewards:
    """Stands in for its_hub's process reward model in one solve: one request rewards all responses."""

    def __init__(self, prm: RewardModel, question: str) -> None:
        self._rewards = Rewards(prm, question, "")

    async def ascore(self, prompt: str, responses: Sequence[str]) -> list[float]:
        """The reward of each response, read at its last step, in a thread as in their own reward model."""
        found = await asyncio.to_thread(self._rewards.create, input=responses)
        return [reward for (reward,) in found]


class SolutionRewards(StepRewards):
    """Stands in for its_hub's outcome reward model, which gets conversations that end with a response."""

    async def ascore(self, conversations: Sequence[Sequence[Any]], **_: object) -> list[float]:  # type: ignore[override]
        return await super().ascore("", [conversation[-1].content for conversation in conversations])


class ItsHub:
    """its_hub's beam search and best-of-n; all solves share one event loop, as in a program under asyncio."""

    def __init__(self, url: str, model: str, prm: RewardModel) -> None:
        # its_hub is installed only for this benchmark.
        algorithms, lms = "its_hub.core.algorithms", "its_hub.core.lms"
        beam_search, best_of_n = import_module(f"{algorithms}.beam_search"), import_module(f"{algorithms}.bon")
        client, generation = import_module(f"{lms}.openai_lm"), import_module(f"{lms}.step_generation")
        orchestrator = import_module("its_hub.core.orchestrator")
        self._runner = asyncio.Runner()
        self._runner.get_loop().set_default_executor(ThreadPoolExecutor(THREADS))

        def writer(max_tokens: int) -> Any:
            return client.OpenAICompatibleLanguageModel(
                f"{url}/v1", "EMPTY", model, temperature=LAW.temperature, max_completion_tokens=max_tokens
            )

        steps = generation.StepGeneration(LIMITS.max_steps, LAW.steps.delimiter, BOX, LAW.temperature)
        # Without a limit: theirs would make requests wait for one of the few threads that a small machine gets.
        at_once = orchestrator.LMOrchestrator(max_concurrency=-1)
        self._of_steps, self._of_solutions = writer(LAW.steps.max_tokens), writer(LIMITS.max_tokens)
        self._beam = lambda question: beam_search.BeamSearch(steps, StepRewards(prm, question), beam_width=1)
        self._best = lambda question: best_of_n.BestOfN(SolutionRewards(prm, question), at_once)

    def beam(self, questions: Sequence[str]) -> list[Solved]:
        return self._all(lambda question: self._beam(question).ainfer(self._of_steps, question, N), questions)

    def best_of_n(self, questions: Sequence[str]) -> list[Solved]:
        return self._all(lambda question: self._best(question).ainfer(self._of_solutions, question, N), questions)

    def _all(self, solve: Callable[[str], Coroutine[Any, Any, Any]], questions: Sequence[str]) -> list[Solved]:
        async def one(question: str) -> Solved:
            answer, failure, started = None, None, perf_counter()
            try:
                answer = boxed((await solve(question))["content"])
            except Exception as error:  # a solve of theirs that fails is a row of ours
                failure = f"{type(error).__name__}: {error}"
            return Solved(answer, perf_counter() - started, {}, failure)

        async def all_at_once() -> list[Solved]:
            return list(await asyncio.gather(*map(one, questions)))

        return self._runner.run(all_at_once())

    def close(self) -> None:
        self._runner.run(self._of_steps.close())
        self._runner.run(self._of_solutions.close())
        self._runner.close()


def check_chat(url: str, model: str, models: Models, text: Text, question: str, step: str) -> None:
    """End the program unless the server reads its_hub's conversations as the tokens that our client sends."""
    for answer in ("", step):
        turns = [{"role": "user", "content": question}]
        turns += [{"role": "assistant", "content": answer}] if answer else []
        body = {"model": model, "messages": turns, "max_tokens": 1, "return_token_ids": True}
        body |= {"add_generation_prompt": not answer, "continue_final_message": bool(answer)}
        request = Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urlopen(request) as response:
            read = json.load(response)["prompt_token_ids"]
        if read != [*models.prompt(Role.TARGET, question), *text.encode(answer)]:
            raise SystemExit(f"the target's server does not read {turns} as the tokens of our client")


def counted_posts(urls: Mapping[str, str], sent: Counter[str]) -> Any:
    """A patch of aiohttp that counts its_hub's requests in `sent`, by role and endpoint."""
    sessions = import_module("aiohttp").ClientSession
    role_of, post = {url: role for role, url in urls.items()}, sessions.post

    def counting(session: object, url: str, **request: Any) -> Any:
        server, _, path = url.partition("/v1/")
        sent[f"{role_of[server]} /v1/{path}"] += 1
        return post(session, url, **request)

    return patch.object(sessions, "post", counting)


def imported(code: Path) -> ModuleType:
    """RSD's `main_online.py`, with the replacements in place."""
    before = {name: sys.modules.get(name) for name in STAND_INS}
    sys.modules.update(STAND_INS)
    try:
        with patch.object(sys, "path", [str(code), *sys.path]):
            module = import_module("main_online")
    finally:
        for name, real in before.items():
            del sys.modules[name]
            if real is not None:
                sys.modules[name] = real
    vars(module)["print"] = first  # it reports every step
    return module


class Rsd:
    """The search that the authors of RSD published."""

    def __init__(self, code: Path, writers: Mapping[str, Writer], prm: RewardModel, prompts: Prompts) -> None:
        self._search: Callable[..., Any] = imported(code).get_responses
        self._writers, self._prm, self._prompts = writers, prm, prompts
        self._settings = SimpleNamespace(
            draft_model_name_or_path="", target_model_name_or_path="", prm_name_or_path="", prm_threshold=0.7,
            temperature=LAW.temperature, top_p=LAW.top_p, step_word=LAW.steps.delimiter,
            max_tokens_per_call=LIMITS.max_tokens, max_steps=LIMITS.max_steps, patience=LIMITS.max_steps,
        )  # fmt: skip

    def solve(self, question: str) -> Outcome:
        """The outcome of their search."""
        prompt = self._prompts.of(question)
        (text,), *_ = self._search(
            self._settings, self._writers[Role.DRAFT], self._writers[Role.TARGET],
            Rewards(self._prm, question, prompt), *[self._prompts] * 3, [prompt], [question],
        )  # fmt: skip
        return boxed(text), None
