"""`specs eval`: compare methods on a data set and keep every solve.

After an interruption, the same command continues the run. With `--list` it only prints the problems, as JSON lines.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from specs.cli.dataset import add_dataset, problems_of
from specs.cli.options import (
    add_cells,
    add_early_exit,
    add_models,
    add_n,
    add_preset,
    add_sampling,
    add_settings,
    cells_of,
    early_exit_of,
    loading_of,
    models_of,
    names_of,
)
from specs.cli.parsing import count
from specs.cli.progress import Shown
from specs.cli.report import publish
from specs.errors import InputError
from specs.eval.datasets import problem_json
from specs.eval.environment import environment
from specs.eval.grading import require_math_verify
from specs.eval.plots import require_matplotlib
from specs.eval.runner import Plan, solve_all
from specs.eval.store import RunFolder


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("eval", help="compare methods on a data set", description=__doc__)
    add_cells(parser)
    add_n(parser, several=True)
    add_dataset(parser)
    parser.add_argument("--list", action="store_true", help="print the problems and solve nothing")
    parser.add_argument(
        "--seeds", type=count, default=1, help="sampling seeds per problem, from --seed on (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for results, traces, summary and report")
    parser.add_argument(
        "--concurrency",
        type=count,
        default=1,
        help="solves at the same time, for models on servers; it changes latencies (default: %(default)s)",
    )
    parser.add_argument(
        "--extract",
        action="store_true",
        help="also read answers from texts without a box, as 'specs grade' does (default: no box, no answer)",
    )
    add_preset(parser)
    limits = parser.add_argument_group("sampling and limits")
    add_sampling(limits)
    add_early_exit(limits)
    add_settings(limits)
    add_models(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.list:
        for problem in problems_of(args):
            if problem.error is not None:
                print(f"specs: left out: {problem.error}", file=sys.stderr)
            else:
                print(json.dumps(problem_json(problem), ensure_ascii=False))
        return 0
    if args.out is None:
        raise InputError("give --out DIR, a folder for the results, or --list to print only the problems")
    require_matplotlib()
    require_math_verify()  # fail now, not in the middle of a run at the first formula
    cells, sampling, limits = cells_of(args)
    exits = early_exit_of(args)
    plan = Plan(problems_of(args), cells, sampling, limits, args.seed, args.seeds, args.extract, exits)
    configuration = {**configuration_of(args, plan), "concurrency": args.concurrency}
    with RunFolder(args.out, configuration, plan.settings) as folder:
        models = models_of(args, plan.methods)
        folder.begin(start_of(args, plan))
        interrupted = solve_all(plan, models, folder, Shown(), args.concurrency)
        folder.end(interrupted)
        found = publish([args.out], args.out) if not interrupted or folder.by_key else None
    if interrupted:
        print("specs: interrupted; the same command continues from there", file=sys.stderr)
    return 1 if interrupted or (found and report_unsolved(found)) else 0


def report_unsolved(found: dict[str, Any]) -> bool:
    """Whether all solves of some method failed; then also print those methods on standard error."""
    unsolved = [name for name, method in found["methods"].items() if method["failed"] == method["solves"] > 0]
    if unsolved:
        first = found["methods"][unsolved[0]]["first_error"]
        print(f"specs: every solve of {', '.join(unsolved)} failed; the first: {first}", file=sys.stderr)
    return bool(unsolved)


def configuration_of(args: argparse.Namespace, plan: Plan) -> dict[str, Any]:
    """What all starts of a run share: data set, models and how they are loaded, sampling, limits, seeds."""
    return {
        **plan.configuration(args.dataset, names_of(args, plan.methods)),
        "problem_seed": args.problem_seed,
        "loading": {name: value for name, value in loading_of(args).items() if name != "timeout_s"},
    }


def start_of(args: argparse.Namespace, plan: Plan) -> dict[str, Any]:
    """The record of one start of a run: its size, command, options and environment."""
    options = {name: value for name, value in vars(args).items() if name not in ("run", "command", "list")}
    return {
        "limit": len(plan.problems),
        "seeds": plan.seeds,
        "command": args.command,
        "options": {**options, "out": str(args.out), "preset": args.preset and asdict(args.preset)},
        "environment": environment(),
    }
