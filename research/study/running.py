"""Makes the missing solves of a part, in as many processes as wanted; what is there already is not solved again."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

from research.study import rows
from research.study.plan import Part
from research.study.worse import models_called
from specs.cli.progress import duration

Turn = tuple[str, int, str]


def missing(part: Part, folder: Path) -> list[Turn]:
    """The turns of a part that no row answers yet; solves that failed are tried again."""
    there = {rows.key(row)[:3] for row in rows.read(part.name, folder) if "error" not in row}
    return [turn for turn in part.turns() if turn not in there]


def make(part: Part, folder: Path, jobs: int) -> bool:
    """Make what is missing and compress the rows; returns whether Ctrl-C ended it early."""
    folder.mkdir(parents=True, exist_ok=True)
    left = missing(part, folder)
    world = get_context("spawn")
    done, stop = world.Value("l", 0), world.Event()
    # Neighbouring turns are of one problem; a process takes whole problems, so that caches of questions help.
    problems = sorted({turn[:2] for turn in left}, key=[turn[:2] for turn in left].index) if left else []
    share = [[turn for turn in left if problems.index(turn[:2]) % jobs == job] for job in range(jobs)]
    workers = [
        world.Process(
            target=_work, args=(part.models, share[job], folder / f"{part.name}.{job}.jsonl", done, stop), daemon=True
        )
        for job in range(jobs)
    ]
    begun = time.monotonic()
    interrupted = False
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            time.sleep(1.0)
            _show(part.name, done.value, len(left), time.monotonic() - begun)
    except KeyboardInterrupt:
        interrupted = True
        stop.set()
        for worker in workers:
            worker.join()
    print(file=sys.stderr)
    if not interrupted and any(worker.exitcode for worker in workers):
        raise SystemExit("a process failed; see above. The same command goes on from there")
    rows.compress(part.name, folder)
    return interrupted


def _work(name: str, turns: Sequence[Turn], path: Path, done, stop) -> None:  # type: ignore[no-untyped-def]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    models = models_called(name)
    made = (rows.solved(models, *turn) for turn in turns)
    for _ in rows.append(path, made):
        with done.get_lock():
            done.value += 1
        if stop.is_set():
            break


def _show(name: str, done: int, total: int, seconds: float) -> None:
    left = duration(seconds / done * (total - done)) if done else "?"
    print(f"\r{name}: {done} of {total} solves, about {left} to go ", end="", file=sys.stderr, flush=True)
