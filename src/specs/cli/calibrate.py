"""`specs calibrate`: beta, tau, n and start for a data set and a goal, and what to expect of them.

Solves a small design of configurations on the first --limit problems, picks one, predicts its accuracy and
latency, and checks the prediction on --check further problems. Writes calibration.json, front.svg, front.png and
preset.json, which `specs solve` and `specs eval` take with --preset. Every solve is kept, and the
same command goes on after a stop. Exit code 1 if nothing meets the goal.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from specs.cli.calibration_table import spoken, table, verdict
from specs.cli.dataset import add_dataset
from specs.cli.evaluate import configuration_of, start_of
from specs.cli.options import add_models, add_sampling, add_settings, models_of, names_of, sampling_of
from specs.cli.parsing import above_zero, count, counts, share
from specs.cli.progress import Shown
from specs.errors import InputError
from specs.eval.calibration import FEWEST, Goal, Statistic
from specs.eval.calibration_run import CalibrationRuns, Interrupted, calibrate
from specs.eval.datasets import load_problems
from specs.eval.files import Problem
from specs.eval.pareto import plot_pareto
from specs.eval.plots import require_matplotlib
from specs.methods import Method
from specs.traces.schema import write_json

LIMIT = 150
"""Problems of the design where no limit is given."""
TUNING_SEED = 2_000_000
"""First generated problem: none of those that `specs eval` reports on by default."""
WIDTHS = [8, 4]
GOALS: dict[str, Statistic] = {
    "max_latency_ratio": "latency_ratio",
    "latency_p95": "p95_s",
    "min_accuracy": "accuracy",
}


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("calibrate", help="set beta, tau, n and start for a goal", description=__doc__)
    group = parser.add_argument_group("goal", "Exactly one of them.")
    goals = group.add_mutually_exclusive_group(required=True)
    goals.add_argument(
        "--max-latency-ratio", type=above_zero, metavar="R", help="most often right at R times the latency of beam"
    )
    goals.add_argument("--latency-p95", type=above_zero, metavar="S", help="most often right at a p95 of S seconds")
    goals.add_argument(
        "--min-accuracy", type=share, metavar="A", help="quickest that is right in a share A of problems"
    )
    add_dataset(parser)
    parser.add_argument("--check", type=count, help="further problems to check the prediction on (default: --limit)")
    parser.add_argument(
        "--n",
        type=counts,
        default=WIDTHS,
        metavar="A,B,...",
        help="candidates a step to choose from; beam with the first is the reference (default: 8,4)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for all that is made")
    limits = parser.add_argument_group("sampling and limits")
    add_sampling(limits)
    add_settings(limits)
    add_models(parser)
    parser.set_defaults(run=run, limit=LIMIT, problem_seed=TUNING_SEED, preset=None)


def run(args: argparse.Namespace) -> int:
    require_matplotlib()
    goal = next(Goal(name, value) for option, name in GOALS.items() if (value := getattr(args, option)) is not None)
    problems, further = _problems(args)
    sampling, limits = sampling_of(args)
    if sampling.temperature == 0:
        raise InputError("--temperature 0 makes all candidates equal, so there is nothing to choose; raise it")
    runs = CalibrationRuns(
        args.out,
        sampling,
        limits,
        args.seed,
        partial(models_of, args),
        partial(configuration_of, args),
        partial(start_of, args),
        Shown(),
    )
    try:
        return _run(args, goal, runs, problems, further)
    except Interrupted:
        print("specs: interrupted; the same command continues from there", file=sys.stderr)
        return 1


def _run(
    args: argparse.Namespace, goal: Goal, runs: CalibrationRuns, problems: list[Problem], further: list[Problem]
) -> int:
    def origin(methods: list[Method]) -> dict[str, Any]:
        return {"dataset": args.dataset, "problem_seed": args.problem_seed, "models": names_of(args, methods)}

    calibration = calibrate(runs, problems, len(further), args.n, goal, origin)
    record, choice = calibration.record, calibration.choice
    print(table(record))
    preset = args.out / "preset.json"
    preset.unlink(missing_ok=True)  # of an earlier goal
    if choice.met:
        print(f"picked {calibration.picked}: {choice.why}")
        made = calibration.check(runs, further)
        print(verdict(record))
        made.write(preset)
    write_json(args.out / "calibration.json", record, indent=1)
    plot_pareto(record, args.out)
    print(f"record   {args.out / 'calibration.json'}\nfigure   {args.out / 'front.svg'}")
    if not choice.met:
        nearest = spoken(goal.statistic, calibration.found[choice.idx][goal.statistic])
        print(
            f"specs: nothing meets the goal ({goal}) by its whole interval; nearest is {calibration.picked}, "
            f"{nearest}; {choice.why}",
            file=sys.stderr,
        )
        return 1
    print(f"preset   {preset}")
    return 0


def _problems(args: argparse.Namespace) -> tuple[list[Problem], list[Problem]]:
    """The problems to calibrate on, and those that follow, to check on."""
    limit, check = args.limit, args.check or args.limit
    for option, wanted in (("--limit", limit), ("--check", check)):
        if wanted < FEWEST:
            raise InputError(f"{option} {wanted} would tell nothing; give at least {FEWEST} problems")
    if twice := [n for n in args.n if args.n.count(n) > 1]:
        raise InputError(f"--n names {twice[0]} twice; name each once")
    columns = args.question_column, args.answer_column
    problems = load_problems(args.dataset, args.problem_seed, limit + check, *columns)
    if len(problems) < limit + check:
        raise InputError(
            f"{args.dataset} has {len(problems)} problems, not the {limit + check} of --limit and --check together; "
            "give a smaller --limit or --check"
        )
    return problems[:limit], problems[limit:]
