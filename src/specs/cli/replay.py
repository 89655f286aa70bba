"""`specs report --replay`: decide the steps of recorded solves again, and print how far they come out the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from specs.errors import InputError
from specs.eval.spending import MERIT_OPTIONS, tau_for_share
from specs.methods.registry import options_of
from specs.traces.codec import read_traces
from specs.traces.replay import Replay, ReplayEnd, replay
from specs.types import Result


def show(files: Sequence[Path], options: dict[str, Any], target_share: float | None, as_json: bool) -> None:
    """Replay all traces of `files` with other `options`, and print the outcome.

    With `target_share`, `tau` is the value that this share of the recorded draft steps fell below.
    """
    if target_share is not None:
        if "tau" in options:
            raise InputError("give --set tau=... or --target-share, not both")
        results = (result for path in files for _, result in read_traces(path))
        tau = tau_for_share(
            results, target_share, **{name: value for name, value in options.items() if name in MERIT_OPTIONS}
        )
        options = {**options, "tau": tau}
    replays: list[Replay] = []
    used: set[str] = set()
    rows: list[dict[str, Any]] = []
    for path in files:
        for place, result in read_traces(path):
            try:
                known = options_of(result.method)
                own = {name: value for name, value in options.items() if name in known}
                replays.append(replay(result, **own))
                used |= own.keys()
            except InputError as error:
                raise InputError(f"{place}: {error}") from None
            rows.append({"trace": place, **_row(result, replays[-1])})
    if unused := [name for name in options if name not in used]:
        raise InputError(f"--set {unused[0]}: none of the traces is of a method with this option; leave it out")
    if as_json:
        for row in (*rows, {"summary": {**_summary(replays), "options": options}}):
            print(json.dumps(row, ensure_ascii=False))
    else:
        if target_share is not None:
            print(f"tau {options['tau']:.6g}: {target_share:.1%} of the draft steps fell below it")
        print(_table(replays))


def _row(result: Result, one: Replay) -> dict[str, Any]:
    return {
        "method": result.method,
        "seed": result.seed,
        "replayed": one.replayed,
        "recorded": one.recorded,
        "ended": str(one.ended),
        "answer": result.answer if one.ended is ReplayEnd.COMPLETE else None,
    }


def _summary(replays: list[Replay]) -> dict[str, Any]:
    return {
        "traces": len(replays),
        "complete": sum(one.ended is ReplayEnd.COMPLETE for one in replays),
        "replayed": sum(one.replayed for one in replays),
        "recorded": sum(one.recorded for one in replays),
        "ended": {str(ended): len(at) for ended, at in _by_end(replays).items()},
    }


def _by_end(replays: list[Replay]) -> dict[ReplayEnd, list[int]]:
    """For every way to end that occurs, how many steps were replayed until then."""
    found = {ended: [one.replayed for one in replays if one.ended is ended] for ended in ReplayEnd}
    return {ended: at for ended, at in found.items() if at}


def _table(replays: list[Replay]) -> str:
    done, steps = sum(one.replayed for one in replays), sum(one.recorded for one in replays)
    lines = ["replay ended                                  traces    share   after steps (median)"]
    lines += [
        f"{ended:<44} {len(at):7d}  {len(at) / len(replays):7.1%}   {median(at):g}"
        for ended, at in _by_end(replays).items()
    ]
    lines.append(f"{done} of {steps} steps come out as recorded" + (f" ({done / steps:.1%})" if steps else ""))
    return "\n".join(lines)
