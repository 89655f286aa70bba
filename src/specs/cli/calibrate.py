"""`specs calibrate`: beta, tau, n and start for a data set and a goal, and what to expect of them.

Solves a small design of configurations on the first --limit problems, picks one, predicts what it will
do, and checks that on --check further problems. Writes calibration.json, front.svg, front.png and
preset.json, which `specs solve` and `specs eval` take with --preset. Every solve is kept, and the
same command goes on after a stop. Exit code 1 if nothing meets the goal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from specs import __version__
from specs.cli.calibration_table import spoken, table, verdict
from specs.cli.dataset import add_dataset
from specs.cli.evaluate import configuration_of, start_of
from specs.cli.options import add_models, add_sampling, add_settings, law_of, models_of, names_of
from specs.cli.parsing import above_zero, count, counts, share
from specs.cli.progress import Shown
from specs.config.presets import LAW, Preset
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.eval.calibration import (
    FEWEST,
    Estimate,
    Evidence,
    Goal,
    Statistic,
    design,
    estimates,
    pick,
    values,
)
from specs.eval.datasets import load_problems
from specs.eval.environment import environment
from specs.eval.files import Problem
from specs.eval.grid import GridPoint, names
from specs.eval.pareto import pareto_front, plot_pareto
from specs.eval.plots import require_matplotlib
from specs.eval.rows import Row
from specs.eval.runner import Plan, solve_all
from specs.eval.store import RunFolder, read_run
from specs.methods.specs import Specs
from specs.traces.codec import result_from
from specs.traces.schema import write_json
from specs.types import Result

LIMIT, PILOT = 150, 30
"""Problems of the design where no limit is given; problems that set its taus."""
TUNING_SEED = 2_000_000
"""First generated problem: none of those that `specs eval` reports on by default."""
WIDTHS = [8, 4]
GOALS: dict[str, Statistic] = {
    "max_latency_ratio": "latency_ratio",
    "latency_p95": "p95_s",
    "min_accuracy": "accuracy",
}


class Interrupted(Exception):
    """Ctrl-C ended a run early."""


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
    first, further = _problems(args)
    solver = _Solver(args)
    try:
        return _calibrate(args, goal, solver, first, further)
    except Interrupted:
        print("specs: interrupted; the same command goes on from there", file=sys.stderr)
        return 1


def _calibrate(
    args: argparse.Namespace, goal: Goal, solver: _Solver, first: list[Problem], further: list[Problem]
) -> int:
    cells = design(solver.pilot(first[:PILOT]), args.n)
    evidence = Evidence.of(solver.rows("design", first, cells), cells)
    found, expected = estimates(evidence), estimates(evidence, len(further))
    choice = pick(evidence, found, goal, [k for k, cell in enumerate(cells) if isinstance(cell.method, Specs)])
    called = list(names(cell.setting for cell in cells).values())
    record: dict[str, Any] = {
        "dataset": args.dataset,
        "problem_seed": args.problem_seed,
        "models": names_of(args, [cell.method for cell in cells]),
        "law": asdict(solver.law),
        "goal": {**asdict(goal), "text": str(goal)},
        "problems": evidence.right.shape[1],
        "dropped": evidence.dropped,
        "reference": called[0],
        "configurations": _configurations(cells, called, found, goal),
        "picked": called[choice.idx] if choice.met else None,
        "why": choice.why,
        "prediction": None,
        "check": None,
        "environment": environment(),
    }
    print(table(record))
    preset = args.out / "preset.json"
    preset.unlink(missing_ok=True)  # of an earlier goal
    if choice.met:
        record["prediction"] = {name: one._asdict() for name, one in expected[choice.idx].items()}
        print(f"picked {called[choice.idx]}: {choice.why}")
        pair = [cells[0], cells[choice.idx]]
        check = Evidence.of(solver.rows("check", further, pair), pair)
        record["check"] = _checked(check, record["prediction"], goal, expected[0]["p95_s"])
        print(verdict(record))
        _preset(record, cells[choice.idx], solver).write(preset)
    write_json(args.out / "calibration.json", record, indent=1)
    plot_pareto(record, args.out)
    print(f"record   {args.out / 'calibration.json'}\nfigure   {args.out / 'front.svg'}")
    if not choice.met:
        nearest = spoken(goal.statistic, found[choice.idx][goal.statistic])
        print(
            f"specs: nothing meets the goal ({goal}) by its whole interval; nearest is {called[choice.idx]}, "
            f"{nearest}; {choice.why}",
            file=sys.stderr,
        )
        return 1
    print(f"preset   {preset}")
    return 0


class _Solver:
    """Solves into folders of `specs eval` below --out; loads the models once, when the first folder is open."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.law, self.limits = law_of(args)
        if self.law.temperature == 0:
            raise InputError("--temperature 0 makes all candidates equal, so there is nothing to choose; raise it")
        self._args = args
        self._models: Models | None = None

    def rows(self, name: str, problems: Sequence[Problem], cells: Sequence[GridPoint]) -> list[Row]:
        """The rows of a plan, problem by problem."""
        args = self._args
        plan = Plan(problems, cells, self.law, self.limits, args.seed)
        with RunFolder(args.out / name, configuration_of(args, plan), plan.settings) as folder:
            if self._models is None:
                self._models = models_of(args, plan.methods)
            folder.begin(start_of(args, plan))
            interrupted = solve_all(plan, self._models, folder, Shown())
            folder.end(interrupted)
            if interrupted:
                raise Interrupted
            return [folder.by_key[turn.key] for turn in plan.solves()]

    def pilot(self, problems: Sequence[Problem]) -> list[Result]:
        """Traces of the default configuration."""
        rows = self.rows("pilot", problems, [GridPoint("specs", Specs(self._args.n[0]))])
        folder = read_run(self._args.out / "pilot")
        return [result_from(folder.trace(row), f"{folder.path}, {row.problem_id}") for row in rows]


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


def _configurations(
    cells: Sequence[GridPoint], called: Sequence[str], found: Sequence[dict[Statistic, Estimate]], goal: Goal
) -> list[dict[str, Any]]:
    across: Statistic = "p95_s" if goal.statistic == "p95_s" else "latency_ratio"
    on_front = pareto_front([(one[across].value, one["accuracy"].value) for one in found])
    return [
        {
            "name": called[k],
            "method": cell.method.name,
            "options": cell.setting.options,
            **{name: one._asdict() for name, one in found[k].items()},
            "meets_goal": goal.met_by(goal.worst(found[k])),
            "on_front": k in on_front,
        }
        for k, cell in enumerate(cells)
    ]


def _checked(
    check: Evidence, prediction: dict[str, dict[str, float]], goal: Goal, reference: Estimate
) -> dict[str, Any]:
    """What the picked configuration, the second of two, did on further problems.

    `reference`: the p95 to be expected of the reference. If that is missed as well, it is not the pick.
    """
    p95 = float(values(check)["p95_s"][0])
    found = {name: float(each[1]) for name, each in values(check).items()}
    return {
        "problems": check.right.shape[1],
        "dropped": check.dropped,
        "found": found,
        "held": {name: one["low"] <= found[name] <= one["high"] for name, one in prediction.items()},
        "goal_met": goal.met_by(found[goal.statistic]),
        "reference_p95_s": p95,
        "same_load": reference.low <= p95 <= reference.high,
    }


def _preset(record: dict[str, Any], cell: GridPoint, solver: _Solver) -> Preset:
    law = (solver.law.temperature, solver.law.top_p, solver.law.steps.max_tokens)
    as_single_question = ("dataset", "problem_seed", "problems", "models", "goal", "reference", "prediction", "check")
    return Preset(
        cell.method.name,
        cell.setting.options,
        dict(zip(LAW, law, strict=True)),
        {
            **{name: record[name] for name in as_single_question},
            "specs": __version__,
            "date": datetime.now(UTC).date().isoformat(),
        },
    )
