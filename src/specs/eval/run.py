"""The runner: the same problems through several configured methods, in one process, interleaved.

Methods take turns problem by problem, and the order of the turns rotates, so whatever drifts
(clocks, heat, neighbours) hits all of them alike. Each method first solves one problem that is
not counted, to warm up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from specs.drive import stream
from specs.engine import Models
from specs.errors import InputError
from specs.eval.cells import Cell, Setting, names
from specs.eval.files import Problem
from specs.eval.rows import Key, Row, Rows
from specs.machine import Limits
from specs.methods import Method
from specs.types import Law


@dataclass(frozen=True, slots=True)
class Turn:
    """One solve to be made."""

    problem: Problem
    cell: Cell
    seed: int

    @property
    def key(self) -> Key:
        return self.problem.id, *self.cell.setting.key, self.seed


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be solved: every problem by every cell with every seed.

    Attributes:
        seed: the first sampling seed; the bootstrap has it as well.
        seeds: sampling seeds `seed`, `seed + 1`, ..., >= 1.
    """

    problems: Sequence[Problem]
    cells: Sequence[Cell]
    law: Law
    limits: Limits
    seed: int = 0
    seeds: int = 1

    def __post_init__(self) -> None:
        """Raises `InputError`: nothing to do, or two cells or problems that cannot be told apart."""
        if not self.problems or not self.cells or self.seeds < 1:
            raise InputError("a run needs at least one problem, one method and one seed")
        keys = [setting.key for setting in self.settings]
        if twice := [key for key in keys if keys.count(key) > 1]:
            label, n = twice[0]
            raise InputError(f"method {label}{f' with n={n}' if n else ''} is given twice; name each method once")
        if len({problem.id for problem in self.problems}) < len(self.problems):
            raise InputError("two problems have the same id; give each problem once")

    @property
    def methods(self) -> list[Method]:
        return [cell.method for cell in self.cells]

    @property
    def settings(self) -> tuple[Setting, ...]:
        return tuple(cell.setting for cell in self.cells)

    def configuration(self, dataset: str, models: dict[str, str]) -> dict[str, Any]:
        """What all solves share, as plain values; `models` are their names by role."""
        return {
            "dataset": dataset,
            "models": {role: f"bundled:{role}" if name == "bundled" else name for role, name in models.items()},
            "law": asdict(self.law),
            "limits": asdict(self.limits),
            "seed": self.seed,
        }

    def turns(self) -> Iterator[Turn]:
        """All solves in order: a seed over all problems before the next, cells rotated by one each time."""
        for seed_idx in range(self.seeds):
            for problem_idx, problem in enumerate(self.problems):
                first = (problem_idx + seed_idx) % len(self.cells)
                for cell in (*self.cells[first:], *self.cells[:first]):
                    yield Turn(problem, cell, self.seed + seed_idx)


@dataclass(slots=True)
class Standing:
    """How far a run is.

    Attributes:
        done, total: solves.
        seconds_left: None while unknown.
        graded: (right, graded) solves by the name of the cell.
        title: what is under way, where several runs belong together.
    """

    done: int
    total: int
    seconds_left: float | None = None
    graded: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    title: str = ""


Progress = Callable[[Standing], None]
"""Called before each solve and at the end."""


def solve_all(plan: Plan, models: Models, rows: Rows, progress: Progress | None = None) -> bool:
    """Make the solves of `plan` that `rows` does not hold or holds as failed, adding each as it ends.

    Returns:
        Whether Ctrl-C ended the run early; the solve under way is dropped then.

    Raises:
        InputError: a method without its models.
    """
    for cell in plan.cells:
        models.require(cell.method)
    called = names(plan.settings)
    turns = list(plan.turns())
    ahead = [turn for turn in turns if not rows.done(turn.key)]
    standing = Standing(len(turns) - len(ahead), len(turns))

    def solve(turn: Turn) -> None:
        running = stream(
            turn.problem.question, models, turn.cell.method, law=plan.law, limits=plan.limits, seed=turn.seed
        )
        rows.add(Row.of(turn.problem, turn.cell, running.result), running.result)

    def grade(turn: Turn) -> None:
        if rows.done(turn.key):
            right, graded = standing.graded.get(name := called[turn.cell.setting.key], (0, 0))
            standing.graded[name] = right + bool(rows.by_key[turn.key].correct), graded + 1

    for turn in turns:
        grade(turn)
    try:
        for cell in plan.cells:
            if any(turn.cell is cell for turn in ahead):
                question = plan.problems[0].question
                _ = stream(question, models, cell.method, law=plan.law, limits=plan.limits, seed=plan.seed).result
        start = time.perf_counter()
        for solved, turn in enumerate(ahead):
            if solved:
                standing.seconds_left = (time.perf_counter() - start) / solved * (len(ahead) - solved)
            if progress:
                progress(standing)
            solve(turn)
            grade(turn)
            standing.done += 1
        standing.seconds_left = 0.0
        if progress:
            progress(standing)
    except KeyboardInterrupt:
        return True
    return False
