"""Solve many questions with one set of models; a second run continues where the first one was cut.

    python examples/03_many_questions.py [FILE]

With a FILE every solve is saved there as a trace, and not solved again.
"""

import sys

from specs import load, solve_many
from specs.bundled.problems import HELD_OUT_SEED, generate

problems = {f"medium-{k}": generate("medium", HELD_OUT_SEED + k) for k in range(8)}
questions = {name: problem.question for name, problem in problems.items()}
file = sys.argv[1] if len(sys.argv) > 1 else None

right = failed = 0
for name, result in solve_many(questions, load(), save=file, seed=0):
    answer = problems[name].answer
    verdict = result.error or ("right" if result.answer == answer else f"wrong, it is {answer}")
    right += result.answer == answer
    failed += result.error is not None
    print(f"{name}: {result.answer} ({verdict})")
print(f"{right} of {len(questions)} right, {failed} failed")
