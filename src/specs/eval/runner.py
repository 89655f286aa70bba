"""The runner: the same problems through several configured methods, in one process, interleaved.

Methods take turns problem by problem, and the order of the turns rotates, so whatever drifts
(clocks, heat, neighbours) hits all of them alike. Each method first solves one problem that is
not counted, to warm up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from specs.config import Limits, SolveConfig
from specs.decoding.latency_model import Pace
from specs.decoding.stream import Stream, stream
from specs.engines.protocol import Models
from specs.errors import InputError, described
from specs.eval.files import Problem
from specs.eval.grid import Cell, Setting, names
from specs.eval.rows import Key, Row, Rows
from specs.methods import Method
from specs.types import DRAWS, Finish, Law, Result


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
        extract: whether to also read answers from texts without a box.
    """

    problems: Sequence[Problem]
    cells: Sequence[Cell]
    law: Law
    limits: Limits
    seed: int = 0
    seeds: int = 1
    extract: bool = False

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
            "draws": DRAWS,
            **({"extract": True} if self.extract else {}),
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


_log = logging.getLogger(__name__)

Progress = Callable[[Standing], None]
"""Called before the first solve and after each one."""


def solve_all(plan: Plan, models: Models, rows: Rows, progress: Progress | None = None, concurrency: int = 1) -> bool:
    """Make the solves of `plan` that `rows` does not hold or holds as failed, adding each as it ends.

    Args:
        concurrency: solves at the same time, >= 1.

    Returns:
        Whether Ctrl-C ended the run early; solves under way are dropped then.

    Raises:
        InputError: a method without its models.
    """
    for cell in plan.cells:
        models.require(cell.method, plan.law)
    called = names(plan.settings)
    turns = list(plan.turns())
    ahead = [turn for turn in turns if not rows.done(turn.key)]
    standing = Standing(len(turns) - len(ahead), len(turns))
    pace = Pace()

    def begin(turn: Turn) -> Stream:
        question, method = turn.problem.question, turn.cell.method
        return stream(question, models, SolveConfig(method, plan.law, plan.limits, seed=turn.seed), pace=pace)

    def finish(turn: Turn, solve: Stream) -> Result:
        try:
            return solve.result
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # A defect of ours or of a library (a panic in Rust is not an `Exception`) fails only this solve.
            _log.exception("%s on %s failed", turn.cell.label, turn.problem.id)
            return _failed(turn, plan, f"{described(error)}; please report it with the traceback that was logged")

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
                unmeasured = stream(question, models, SolveConfig(cell.method, plan.law, plan.limits, seed=plan.seed))
                finish(Turn(plan.problems[0], cell, plan.seed), unmeasured)
        start = time.perf_counter()
        if progress:
            progress(standing)
        for solved, (turn, result) in enumerate(_solved(ahead, begin, finish, concurrency), 1):
            rows.add(Row.of(turn.problem, turn.cell, result, plan.extract), result)
            grade(turn)
            standing.done += 1
            standing.seconds_left = (time.perf_counter() - start) / solved * (len(ahead) - solved)
            if progress:
                progress(standing)
    except KeyboardInterrupt:
        return True
    return False


def _failed(turn: Turn, plan: Plan, error: str) -> Result:
    """The result of a solve that raised an error instead of returning one."""
    return Result(
        answer=None,
        text="",
        finish_reason=Finish.ERROR,
        method=turn.cell.method.name,
        question=turn.problem.question,
        steps=(),
        usage={},
        flops=0.0,
        latency_s=0.0,
        time_to_first_step_s=None,
        seed=turn.seed,
        models={},
        prompt_token_ids={},
        settings=SolveConfig(turn.cell.method, plan.law, plan.limits).settings,
        error=error,
    )


def _solved(
    turns: Sequence[Turn],
    begin: Callable[[Turn], Stream],
    finish: Callable[[Turn, Stream], Result],
    concurrency: int,
) -> Iterator[tuple[Turn, Result]]:
    """Each turn with its result as it ends, so many at the same time; those under way end if nobody asks further."""
    if concurrency == 1:
        for turn in turns:
            yield turn, finish(turn, begin(turn))
        return
    waiting = iter(turns)
    running: dict[Future[Result], tuple[Turn, Stream]] = {}
    with ThreadPoolExecutor(concurrency) as pool:

        def start() -> None:
            for turn in islice(waiting, concurrency - len(running)):
                solve = begin(turn)
                running[pool.submit(finish, turn, solve)] = turn, solve

        try:
            start()
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    turn, _ = running.pop(future)
                    start()
                    yield turn, future.result()
        finally:
            for _, solve in running.values():
                solve.cancel()
