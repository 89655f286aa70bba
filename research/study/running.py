"""Makes the runs of a study, each in its own folder, one after the other or several at a time.

A run that was killed continues from its folder, and no finished solve is repeated. Runs that measure
latency are made one by one, whatever the number of jobs.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from research.study.cost import Board
from research.study.plan import LIMITS, Run, Weaker
from research.study.weaker import models_for, names_for
from specs.engines.protocol import Models
from specs.eval.datasets import load_problems
from specs.eval.environment import environment
from specs.eval.runner import OnProgress, Plan, RunProgress, solve_all
from specs.eval.store import RUN, RunFolder, read_run

Show = Callable[[RunProgress], None]


def plan_of(run: Run) -> Plan:
    return Plan(load_problems(f"bundled:{run.tier}", run.first, run.problems), run.points, run.law, LIMITS)


def missing(run: Run, out: Path) -> int:
    """Number of solves of a run that are not in its folder yet."""
    keys = [turn.key for turn in plan_of(run).solves()]
    path = out / run.path
    rows = read_run(path).rows if (path / RUN).exists() else {}
    return sum(key not in rows or rows[key].correct is None for key in keys)


def make(run: Run, out: Path, jobs: int, command: str, tell: OnProgress) -> bool:
    """Make the missing solves of a run; returns whether it was stopped early."""
    plan = plan_of(run)
    configuration: dict[str, Any] = {
        **plan.configuration(f"bundled:{run.tier}", names_for(run.weaker)),
        "problem_seed": run.first,
        # Seconds measured on a shared machine must not be mixed with those measured alone.
        "measures": "latency" if run.alone else "accuracy",
    }
    with RunFolder(out / run.path, configuration, plan.settings) as folder:
        models = _models(run.weaker, out / "models")
        start = {"limit": run.problems, "seeds": plan.seeds, "command": command, "jobs": 1 if run.alone else jobs}
        folder.begin({**start, "options": {}, "environment": environment()})
        interrupted = solve_all(plan, models, folder, tell)
        folder.end(interrupted)
    return interrupted


@lru_cache(maxsize=2)
def _models(weaker: Weaker | None, folder: Path) -> Models:
    return models_for(weaker, folder)


def make_all(runs: Sequence[Run], out: Path, jobs: int, command: str, board: Board, show: Show) -> bool:
    """Make the missing solves of all runs, those with `alone` last; returns whether Ctrl-C ended it early."""
    ahead = [run for run in runs if board.left[run.path]]
    shared = [run for run in ahead if not run.alone]
    if jobs > 1 and len(shared) > 1:
        if _side_by_side(shared, out, jobs, command, board, show):
            return True
        ahead = [run for run in ahead if run.alone]
    for run in sorted(ahead, key=lambda run: run.alone):

        def tell(standing: RunProgress, run: Run = run) -> None:
            board.left[run.path] = standing.total - standing.done
            show(board.standing([run]))

        if make(run, out, jobs, command, tell):
            return True
    return False


def _side_by_side(runs: list[Run], out: Path, jobs: int, command: str, board: Board, show: Show) -> bool:
    """Make each run in a process of its own, the longest first; returns whether Ctrl-C ended them early."""
    at_first = dict(board.left)
    runs = sorted(runs, key=lambda run: -board.seconds(run))
    world = get_context("spawn")
    stop, left = world.Event(), world.Array("l", [board.left[run.path] for run in runs])
    with ProcessPoolExecutor(jobs, world, _begin, (stop, left)) as pool:
        ahead = {pool.submit(_job, k, run, out, jobs, command) for k, run in enumerate(runs)}
        try:
            while ahead:
                ended, ahead = wait(ahead, 0.5, FIRST_COMPLETED)
                for one in ended:
                    one.result()
                board.left |= {run.path: count for run, count in zip(runs, left[:], strict=True)}
                show(board.standing([run for run in runs if 0 < board.left[run.path] < at_first[run.path]]))
        except BaseException as failure:
            stop.set()
            pool.shutdown(cancel_futures=True)
            if not isinstance(failure, KeyboardInterrupt):
                raise
            return True
    return False


_shared: dict[str, Any] = {}


def _begin(stop: Any, left: Any) -> None:
    """Prepare a worker process.

    It ignores Ctrl-C, which the parent handles and passes on by `stop`, and ends at once when the parent dies.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _shared.update(stop=stop, left=left)
    threading.Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _job(idx: int, run: Run, out: Path, jobs: int, command: str) -> None:
    def tell(standing: RunProgress) -> None:
        _shared["left"][idx] = standing.total - standing.done
        if _shared["stop"].is_set():
            raise KeyboardInterrupt

    make(run, out, jobs, command, tell)
