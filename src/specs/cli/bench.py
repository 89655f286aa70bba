"""`specs bench`: the same problems through several methods, interleaved in one process."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from specs.cli.options import add_method, add_models, count, method_of, models_of
from specs.cli.problems import add_dataset
from specs.errors import InputError
from specs.eval.bench import bench
from specs.eval.datasets import load_problems


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("bench", help="compare methods on a data set", description=__doc__)
    parser.add_argument(
        "--methods", default="specs,beam,target,draft", metavar="A,B,...", help="method names (default: %(default)s)"
    )
    add_dataset(parser)
    parser.add_argument("--repeats", type=count, default=1, help="sampling seeds a problem (default: %(default)s)")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="keep every solve here and go on from it")
    add_method(parser)
    add_models(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    names = [name.strip() for name in args.methods.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise InputError(f"--methods {args.methods}: name each method once")
    configured = [method_of(args, name) for name in names]
    methods, (_, law, limits) = [method for method, _, _ in configured], configured[0]
    problems = load_problems(args.dataset, args.problem_seed, args.limit)
    models = models_of(args, methods)
    report = bench(
        problems,
        models,
        methods,
        law,
        limits,
        args.seed,
        repeats=args.repeats,
        dataset=args.dataset,
        rows=args.rows,
        progress=Progress(),
    )
    print(report.table())
    print(json.dumps(report.to_json()))
    return 1 if report.interrupted else 0


class Progress:
    """One line that is rewritten, at most five times a second, on a terminal's standard error."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, done: int, total: int, seconds_left: float | None) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and (now - self._last > 0.2 or done == total):
            self._last = now
            end = "\n" if done == total else ""
            left = "" if seconds_left is None else f", {seconds_left:.0f} s left"
            print(f"\r{done}/{total} solves{left}\x1b[K", end=end, file=sys.stderr, flush=True)
