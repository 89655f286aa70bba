"""The runner: solves the same problems with several configured methods, interleaved in one process.

The methods take turns problem by problem, in rotating order, so that drift (clock rates, heat, other processes) affects
all of them alike. To warm up, each method first solves one problem that does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from specs.config import Limits, SolveConfig
from specs.decoding.latency_model import LatencyModel
from specs.decoding.many import Many, failed
from specs.decoding.stream import Stream, stream
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.eval.files import Problem
from specs.eval.grid import GridPoint, Setting, names
from specs.eval.rows import Key, Row, Rows
from specs.methods import Method
from specs.methods.early_exit import EarlyExit, early_exit_settings
from specs.types import DRAWS, Result, SamplingParams


@dataclass(frozen=True, slots=True)
class PlannedSolve:
    """One solve of a plan."""

    problem: Problem
    point: GridPoint
    seed: int

    @property
    def key(self) -> Key:
        return self.problem.id, *self.point.setting.key, self.seed


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a run: solve every problem with every grid point and every seed.

    Attributes:
        seed: the first sampling seed, and the seed of the bootstrap.
        seeds: number of sampling seeds (`seed`, `seed + 1`, ...), >= 1.
        extract: whether to also read answers from texts without a box.
        early_exit: the rule that may end the thinking early; None for no rule.
    """

    problems: Sequence[Problem]
    points: Sequence[GridPoint]
    sampling: SamplingParams
    limits: Limits
    seed: int = 0
    seeds: int = 1
    extract: bool = False
    early_exit: EarlyExit | None = None

    def __post_init__(self) -> None:
        """Raise `InputError` if there is nothing to solve, or if two points or problems have the same key."""
        if not self.problems or not self.points or self.seeds < 1:
            raise InputError("a run needs at least one problem, one method and one seed")
        keys = [setting.key for setting in self.settings]
        if twice := [key for key in keys if keys.count(key) > 1]:
            label, n = twice[0]
            raise InputError(f"method {label}{f' with n={n}' if n else ''} is given twice; name each method once")
        if len({problem.id for problem in self.problems}) < len(self.problems):
            raise InputError("two problems have the same id; give each problem once")

    @property
    def methods(self) -> list[Method]:
        return [point.method for point in self.points]

    @property
    def settings(self) -> tuple[Setting, ...]:
        return tuple(point.setting for point in self.points)

    def configuration(self, dataset: str, models: dict[str, str]) -> dict[str, Any]:
        """The configuration that all solves share, as plain values; `models` maps roles to names."""
        return {
            "dataset": dataset,
            "models": {role: f"bundled:{role}" if name == "bundled" else name for role, name in models.items()},
            "law": self.sampling.settings,
            "limits": self.limits.settings(self.sampling.thinks),
            "seed": self.seed,
            "draws": DRAWS,
            **({"extract": True} if self.extract else {}),
            **({"early_exit": early_exit_settings(self.early_exit)} if self.early_exit is not None else {}),
        }

    def solves(self) -> Iterator[PlannedSolve]:
        """All solves in order: each seed over all problems, with the points rotated by one for each problem."""
        for seed_idx in range(self.seeds):
            for problem_idx, problem in enumerate(self.problems):
                first = (problem_idx + seed_idx) % len(self.points)
                for point in (*self.points[first:], *self.points[:first]):
                    yield PlannedSolve(problem, point, self.seed + seed_idx)


@dataclass(slots=True)
class RunProgress:
    """The progress of a run.

    Attributes:
        done, total: numbers of solves that are done and that are planned.
        seconds_left: estimated seconds until the end of the run; None while unknown.
        graded: numbers of (right, graded) solves by the name of the grid point.
        title: name of the current run, if it is one of several.
    """

    done: int
    total: int
    seconds_left: float | None = None
    graded: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    title: str = ""


OnProgress = Callable[[RunProgress], None]
"""Called before the first solve and after each solve."""


def solve_all(plan: Plan, models: Models, rows: Rows, progress: OnProgress | None = None, concurrency: int = 1) -> bool:
    """Run the solves of `plan` that `rows` lacks or holds ungraded, and add each to `rows` when it ends.

    Args:
        concurrency: number of concurrent solves, >= 1.

    Returns:
        Whether Ctrl-C ended the run early; unfinished solves are dropped then.

    Raises:
        InputError: a method needs a model that is not loaded.
    """
    for point in plan.points:
        models.require(point.method, plan.sampling)
    names_by_key = names(plan.settings)
    solves = list(plan.solves())
    remaining = [planned for planned in solves if not rows.done(planned.key)]
    run_progress = RunProgress(len(solves) - len(remaining), len(solves))
    latency_model = LatencyModel()

    def config_of(planned: PlannedSolve) -> SolveConfig:
        return SolveConfig(planned.point.method, plan.sampling, plan.limits, planned.seed, plan.early_exit)

    def start_unmeasured(planned: PlannedSolve) -> Stream:
        return stream(planned.problem.question, models, config_of(planned))

    def start_solve(planned: PlannedSolve) -> Stream | Result:
        if planned.problem.error is not None:
            return fail(planned, planned.problem.error)
        return stream(planned.problem.question, models, config_of(planned), latency_model=latency_model)

    def fail(planned: PlannedSolve, error: str) -> Result:
        return failed(planned.problem.question, config_of(planned), error)

    def grade(planned: PlannedSolve) -> None:
        if rows.done(planned.key):
            right, graded = run_progress.graded.get(name := names_by_key[planned.point.setting.key], (0, 0))
            run_progress.graded[name] = right + bool(rows.by_key[planned.key].correct), graded + 1

    for planned in solves:
        grade(planned)
    try:
        for point in plan.points:
            if any(planned.point is point for planned in remaining):
                usable = next(problem for problem in plan.problems if problem.error is None)
                for _ in Many([PlannedSolve(usable, point, plan.seed)], start_unmeasured, fail, 1):
                    pass
        start_more = time.perf_counter()
        if progress:
            progress(run_progress)
        for solved, (planned, result) in enumerate(Many(remaining, start_solve, fail, concurrency), 1):
            rows.add(Row.of(planned.problem, planned.point, result, plan.extract), result)
            grade(planned)
            run_progress.done += 1
            run_progress.seconds_left = (time.perf_counter() - start_more) / solved * (len(remaining) - solved)
            if progress:
                progress(run_progress)
    except KeyboardInterrupt:
        return True
    return False
