"""`specs replay`: decide the steps of recorded solves anew, without models.

Reads what `specs solve --trace` wrote, or many such objects as JSON lines (.gz too), and lets the method
decide again with the options given, up to the first step that comes out otherwise. So far a solve with
these options and the recorded seed takes the very same steps; what would have followed was never
sampled. The law of sampling, the seed and the limits cannot be changed after the fact.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

from specs.cli.options import add_options, given_options, share
from specs.errors import InputError
from specs.eval.spending import tau_for_share
from specs.methods.registry import options_of
from specs.traces.codec import read_traces
from specs.traces.replay import Replay, ReplayEnd, replay
from specs.types import Result


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("replay", help="decide recorded steps anew, without models", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="traces: JSON or JSON lines, .gz too")
    parser.add_argument("--json", action="store_true", help="print one JSON object a trace, and at last a summary")
    note = "What is not given stays as it was recorded, whatever the defaults of specs (in brackets)."
    add_options(parser.add_argument_group("options to change", note))
    parser.add_argument(
        "--target-share", type=share, help="instead of --tau: the tau that this share of the draft steps fell below"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    options = {name: value for name, value in given_options(args).items() if value is not None}
    if args.target_share is not None:
        if args.tau is not None:
            raise InputError("give --tau or --target-share, not both")
        results = (result for path in args.files for _, result in read_traces(path))
        options["tau"] = tau_for_share(results, args.target_share, args.switch_on, args.beta)
    replays: list[Replay] = []
    used: set[str] = set()
    rows: list[dict[str, Any]] = []
    for path in args.files:
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
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise InputError(f"{flags}: no trace here is of a method with that option; leave it out")
    if args.json:
        for row in (*rows, {"summary": {**_summary(replays), "options": options}}):
            print(json.dumps(row, ensure_ascii=False))
    else:
        if args.target_share is not None:
            print(f"tau {options['tau']:.6g}: {args.target_share:.1%} of the draft steps fell below it")
        print(_table(replays))
    return 0


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
