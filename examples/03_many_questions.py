"""Solve many questions in threads that share one set of loaded models.

A solve leaves no state in the models, so threads can share them; the seed alone decides the answer.

    python examples/03_many_questions.py
"""

from concurrent.futures import ThreadPoolExecutor

from specs import load, solve
from specs.bundled.problems import HELD_OUT_SEED, generate

THREADS = 2
problems = [generate("medium", HELD_OUT_SEED + number) for number in range(8)]
models = load()


def answer_to(question: str) -> str | None:
    return solve(question, models, "specs", seed=0).answer


with ThreadPoolExecutor(THREADS) as pool:
    answers = list(pool.map(answer_to, [problem.question for problem in problems]))

for problem, answer in zip(problems, answers, strict=True):
    verdict = "right" if answer == problem.answer else f"wrong, it is {problem.answer}"
    print(f"{problem.question[:60]}...  {answer} ({verdict})")
right = sum(answer == problem.answer for problem, answer in zip(problems, answers, strict=True))
print(f"{right} of {len(problems)} right")
