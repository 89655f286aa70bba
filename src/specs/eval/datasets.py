"""Data sets by name: the bundled tiers, GSM-Symbolic templates, public test sets, and files.

    bundled:easy | bundled:medium | bundled:hard    specs.bundled.problems
    gsm-symbolic                                    grade-school maths from templates (Mirzadeh et
                                                    al., arXiv 2410.05229), as the optional library
                                                    reasoning_gym re-creates them
    reasoning-gym:NAME                              a generator of the optional library reasoning_gym
                                                    (chain_sum, countdown, ...), with its own verifier
    human-eval                                      Python functions with tests (`specs.eval.human_eval`)
    math500 | amc23 | olympiadbench | gsm8k         public test sets, from the hub (`specs.eval.files`)
    FILE                                            JSON, CSV, TSV or parquet (`specs.eval.files`)

Generated data sets are endless, and each problem is a pure function of its seed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from specs.bundled.problems import HELD_OUT_SEED, TIERS
from specs.bundled.problems import problems as bundled_problems
from specs.core.votes import normal
from specs.errors import InputError, described, install_command
from specs.eval import human_eval
from specs.eval.files import HUB, Columns, Problem, Verdict, from_file, from_hub, worked
from specs.types.checks import shown, suggestion

_log = logging.getLogger(__name__)
MADE = (*(f"bundled:{tier}" for tier in TIERS), "gsm-symbolic")
NAMES = (*MADE, "reasoning-gym:NAME", human_eval.NAME, *HUB)
GYM = "reasoning-gym:"
FULL_SCORE = 1 - 1e-9
"""The score at which the library reasoning_gym calls an answer right is 1."""
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
        InputError: unknown data set, missing library, no network, or a file without a usable row (names the first).
    """
    if limit is not None and limit < 1:
        raise InputError(f"a limit of {limit} problems leaves nothing to solve; give at least 1")
    if problem_seed < 0:
        raise InputError(f"problem seeds start at 0, not at {problem_seed}")
    if (dataset in NAMES or dataset.startswith(GYM)) and (question_column or answer_column):
        raise InputError(f"only a file has named columns; {dataset} is not a file")
    if dataset.startswith(GYM):
        return _reasoning_gym(dataset.removeprefix(GYM), problem_seed, limit or GENERATED)
    if dataset == human_eval.NAME:
        return list(islice(human_eval.problems(), limit))
    if dataset in HUB:
        return list(islice(from_hub(dataset), limit))
    if dataset not in MADE:
        own = Columns()
        columns = Columns(
            (question_column,) if question_column else own.question, (answer_column,) if answer_column else own.answer
        )
        found = list(islice(from_file(dataset, NAMES, columns), limit))
        if (first := found[0].error) is not None and all(problem.error is not None for problem in found):
            raise InputError(first)  # it is the file that is wrong, not a row
        return found
    source = _gsm_symbolic(problem_seed) if dataset == "gsm-symbolic" else _bundled(dataset, problem_seed)
    return list(islice(source, limit or GENERATED))


def problem_json(problem: Problem) -> dict[str, str | None]:
    """A problem as `specs problems` prints it, one per line; `load_problems` reads such a file."""
    return {"question": problem.question, "answer": problem.answer, "solution": problem.solution}


def _bundled(dataset: str, seed: int) -> Iterator[Problem]:
    for problem in bundled_problems(dataset.removeprefix("bundled:"), seed):
        yield Problem(problem.question, problem.answer, problem.solution, f"{dataset}:{problem.seed}")


def _gym() -> Any:
    """The library reasoning_gym, which is untyped."""
    try:
        import reasoning_gym  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise InputError(f"this data set needs reasoning_gym: {install_command('eval')}") from None
    return reasoning_gym


def _reasoning_gym(name: str, seed: int, limit: int) -> list[Problem]:
    """Problems of one of the library's generators, each with the library's verifier."""
    gym = _gym()
    known = gym.factory.DATASETS
    if name not in known:
        raise InputError(f"reasoning_gym has no generator {shown(name)}; {suggestion(name, known)}")
    try:
        made = gym.create_dataset(name, seed=seed, size=limit)
        entries: list[dict[str, Any]] = [made[idx] for idx in range(limit)]
    except Exception as error:  # some generators need more than a seed
        raise InputError(f"the generator {name} of reasoning_gym failed ({described(error)}); choose another") from None
    problems: dict[str, Problem] = {}
    for idx, entry in enumerate(entries):
        question, answer = str(entry["question"]), str(entry["answer"])
        verify = partial(_verified, made, entry)
        problems.setdefault(question, Problem(question, answer, None, f"{GYM}{name}:{seed}:{idx}", verify=verify))
    return list(problems.values())


def _verified(made: Any, entry: dict[str, Any], answer: str) -> Verdict:
    """Whether the library gives an answer the full score; undecided if its verifier fails."""
    try:
        return Verdict(bool(made.score_answer(answer, entry) >= FULL_SCORE))
    except Exception as error:
        _log.warning("the verifier of reasoning_gym failed", exc_info=True)
        return Verdict(None, f"the verifier of reasoning_gym failed ({described(error)})")


def _gsm_symbolic(seed: int) -> Iterator[Problem]:
    reasoning_gym = _gym()
    seen: set[str] = set()
    while True:
        # For item 0 the library draws the template and its numbers from one random stream; for item 1 it uses
        # two independent streams.
        item: dict[str, Any] = reasoning_gym.create_dataset("gsm_symbolic", seed=seed, size=2)[1]
        question = item["question"]
        if question not in seen:
            seen.add(question)
            answer = normal(item["answer"])
            solution = worked(item["metadata"]["answer_cot"], answer)
            yield Problem(question, answer, solution, f"gsm-symbolic:{seed}")
        seed += 1
