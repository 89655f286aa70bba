"""The benchmark: the same problems through several methods, in one process, interleaved.

Methods take turns problem by problem, and the order of the turns rotates, so whatever drifts
(clocks, heat, neighbours) hits all of them alike. Each method first solves one problem that is
not counted, to warm up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from specs.drive import stream
from specs.engine import Models
from specs.errors import InputError
from specs.eval.datasets import Problem
from specs.eval.report import BenchReport
from specs.eval.rows import Key, Row, Rows
from specs.machine import Limits
from specs.methods import Method
from specs.types import Law, Role

Progress = Callable[[int, int, float | None], None]
"""Called with (solves done, solves in all, seconds left or None while unknown)."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """One solve to be made."""

    problem: Problem
    method: Method
    repeat: int

    @property
    def key(self) -> Key:
        return self.problem.id, self.method.name, self.repeat


def bench(
    problems: Sequence[Problem],
    models: Models,
    methods: Sequence[Method],
    law: Law,
    limits: Limits,
    seed: int,
    repeats: int = 1,
    progress: Progress | None = None,
    *,
    dataset: str,
    rows: Path | None = None,
) -> BenchReport:
    """Solve `problems` with every method and report.

    Ctrl-C ends the run early: the report then covers what was finished and says so.

    Args:
        methods: of different names.
        seed: repeat k samples with `seed + k`; the bootstrap has it as well.
        repeats: solves of a problem by a method, >= 1.
        progress: called before each solve and at the end.
        dataset: name of the data set, for the report.
        rows: file that each finished solve is added to. What it already holds is taken over
            instead of being solved again, if its data set, models, methods, law, limits and
            seed are the same.

    Raises:
        InputError: nothing to do, two methods of one name, a method without its models, or
            `rows` holds another configuration.
    """
    _check(problems, models, methods, repeats)
    configuration = {
        "dataset": dataset,
        "models": {str(role): model.name for role in Role if (model := getattr(models, role)) is not None},
        # Methods are dataclasses: their fields are their options.
        "methods": {method.name: asdict(cast(Any, method)) for method in methods},
        "law": asdict(law),
        "limits": asdict(limits),
        "seed": seed,
    }
    turns = list(_turns(problems, methods, repeats))
    interrupted = False
    with Rows(rows, configuration) as kept:
        ahead = [turn for turn in turns if turn.key not in kept.by_key]
        try:
            for method in methods:
                if any(turn.method is method for turn in ahead):
                    _ = stream(problems[0].question, models, method, law=law, limits=limits, seed=seed).result
            start = time.perf_counter()
            for solved, turn in enumerate(ahead):
                if progress:
                    left = (time.perf_counter() - start) / solved * (len(ahead) - solved) if solved else None
                    progress(len(turns) - len(ahead) + solved, len(turns), left)
                solve = stream(
                    turn.problem.question, models, turn.method, law=law, limits=limits, seed=seed + turn.repeat
                )
                kept.add(Row.of(turn.problem, turn.method.name, turn.repeat, solve.result))
            if progress:
                progress(len(turns), len(turns), 0.0)
        except KeyboardInterrupt:
            interrupted = True
    finished = tuple(kept.by_key[turn.key] for turn in turns if turn.key in kept.by_key)
    return BenchReport(configuration, len(problems), repeats, finished, interrupted)


def _check(problems: Sequence[Problem], models: Models, methods: Sequence[Method], repeats: int) -> None:
    if not problems or not methods or repeats < 1:
        raise InputError("a benchmark needs at least one problem, one method and one repeat")
    names = [method.name for method in methods]
    if twice := sorted(name for name in names if names.count(name) > 1):
        raise InputError(f"method {twice[0]} is given twice; give it once")
    if len({problem.id for problem in problems}) < len(problems):
        raise InputError("two problems have the same id; give each problem once")
    for method in methods:
        models.require(method)


def _turns(problems: Sequence[Problem], methods: Sequence[Method], repeats: int) -> Iterator[_Turn]:
    """All solves in order: a repeat over all problems before the next, methods rotated by one each time."""
    for repeat in range(repeats):
        for problem_idx, problem in enumerate(problems):
            first = (problem_idx + repeat) % len(methods)
            for method in (*methods[first:], *methods[:first]):
                yield _Turn(problem, method, repeat)
