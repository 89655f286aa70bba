"""Data sets by name: the bundled tiers, GSM-Symbolic templates, public test sets, and files.

    bundled:easy | bundled:medium | bundled:hard    specs.bundled.problems
    gsm-symbolic                                    grade-school maths from templates (Mirzadeh et
                                                    al., arXiv 2410.05229), as the optional library
                                                    reasoning_gym re-creates them
    math500 | amc23 | olympiadbench | gsm8k         public test sets, from the hub (`specs.eval.files`)
    FILE                                            JSON lines, CSV or parquet (`specs.eval.files`)

Generated data sets are endless, and each problem is a pure function of its seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from specs.bundled.problems import HELD_OUT_SEED, TIERS
from specs.bundled.problems import problems as bundled_problems
from specs.core.votes import normal
from specs.errors import InputError, install_command
from specs.eval.files import HUB, Columns, Problem, from_file, from_hub, worked

MADE = (*(f"bundled:{tier}" for tier in TIERS), "gsm-symbolic")
NAMES = (*MADE, *HUB)
GENERATED = 200
"""Number of problems of a generated data set if no limit is given."""


def load_problems(
    dataset: str,
    problem_seed: int = HELD_OUT_SEED,
    limit: int | None = None,
    question_column: str | None = None,
    answer_column: str | None = None,
) -> list[Problem]:
    """The first problems of a data set; no generated question occurs twice.

    Args:
        dataset: one of `NAMES`, or a file.
        problem_seed: >= 0, seed of the first generated problem; training used seeds below 1,000,000.
            Only generated data sets use it.
        limit: most problems, >= 1; None for `GENERATED` generated problems, or for all of a test set or file.
        question_column, answer_column: column names of a file that does not use the usual ones.

    Raises:
        InputError: unknown data set, missing library, no network, or a malformed file (names the row).
    """
    if limit is not None and limit < 1:
        raise InputError(f"a limit of {limit} problems leaves nothing to solve; give at least 1")
    if problem_seed < 0:
        raise InputError(f"problem seeds start at 0, not at {problem_seed}")
    if dataset in NAMES and (question_column or answer_column):
        raise InputError(f"only a file has named columns; {dataset} is not a file")
    if dataset in HUB:
        return list(islice(from_hub(dataset), limit))
    if dataset not in MADE:
        own = Columns()
        columns = Columns(
            (question_column,) if question_column else own.question, (answer_column,) if answer_column else own.answer
        )
        return list(islice(from_file(dataset, NAMES, columns), limit))
    source = _gsm_symbolic(problem_seed) if dataset == "gsm-symbolic" else _bundled(dataset, problem_seed)
    return list(islice(source, limit or GENERATED))


def problem_json(problem: Problem) -> dict[str, str | None]:
    """A problem as `specs problems` prints it, one per line; `load_problems` reads such a file."""
    return {"question": problem.question, "answer": problem.answer, "solution": problem.solution}


def _bundled(dataset: str, seed: int) -> Iterator[Problem]:
    for problem in bundled_problems(dataset.removeprefix("bundled:"), seed):
        yield Problem(problem.question, problem.answer, problem.solution, f"{dataset}:{problem.seed}")


def _gsm_symbolic(seed: int) -> Iterator[Problem]:
    try:
        import reasoning_gym  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise InputError(f"gsm-symbolic needs reasoning_gym: {install_command('eval')}") from None
    seen: set[str] = set()
    while True:
        # For item 0 the library draws the template and its numbers from one random stream; for item 1 it uses
        # two independent streams.
        item: dict[str, Any] = reasoning_gym.create_dataset("gsm_symbolic", seed=seed, size=2)[1]  # pyright: ignore
        question = item["question"]
        if question not in seen:
            seen.add(question)
            answer = normal(item["answer"])
            solution = worked(item["metadata"]["answer_cot"], answer)
            yield Problem(question, answer, solution, f"gsm-symbolic:{seed}")
        seed += 1
