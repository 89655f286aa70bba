"""`specs bench`: a quick look at latency: the same problems through several methods, nothing kept.

With --suite what steps cost at any size: models of random weights, no accuracy. suite.json, suite.md and
figures go into a folder; the same command goes on after a stop.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from specs.cli.evaluate import report_unsolved
from specs.cli.options import add_cells, add_method, add_models, cells_of, count, models_of, names_of
from specs.cli.problems import add_dataset, problems_of
from specs.cli.progress import Shown
from specs.eval.drawing import require_matplotlib
from specs.eval.report import Report
from specs.eval.rows import Rows
from specs.eval.run import Plan, solve_all
from specs.eval.table import table
from specs.record import json_text, write_text
from specs.suite.figures import draw
from specs.suite.scales import SCALES
from specs.suite.suite import RECORD, Suite
from specs.suite.tables import tables


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("bench", help="a quick look at latency, nothing kept", description=__doc__)
    add_cells(parser)
    add_dataset(parser)
    parser.add_argument("--repeats", type=count, default=1, help="sampling seeds a problem (default: %(default)s)")
    add_method(parser)
    add_models(parser)
    suite = parser.add_argument_group("the suite, in place of all that")
    suite.add_argument("--suite", type=Path, metavar="DIR", help="measure what steps cost, into this folder")
    suite.add_argument("--scale", choices=[*SCALES], default="cpu", help="sizes and device (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.suite is not None:
        return _suite(args.suite, args.scale)
    cells, law, limits = cells_of(args)
    plan = Plan(problems_of(args), cells, law, limits, args.seed, args.repeats)
    models = models_of(args, plan.methods)
    rows = Rows()
    interrupted = solve_all(plan, models, rows, Shown())
    report = Report(
        configuration=plan.configuration(args.dataset, names_of(args, plan.methods)),
        settings=plan.settings,
        limit=len(plan.problems),
        repeats=args.repeats,
        rows=tuple(rows.by_key.values()),
        interrupted=interrupted,
    )
    found = report.to_json()
    print(table(found))
    print(json_text(found))
    return 1 if interrupted or report_unsolved(found) else 0


def _suite(out: Path, scale: str) -> int:
    require_matplotlib()
    try:
        found = Suite(SCALES[scale], out).make(_say)
    except KeyboardInterrupt:
        print("specs: interrupted; the same command goes on from there", file=sys.stderr)
        return 1
    write_text(out / "suite.md", tables(found))
    drawn = draw(found, out)
    print(f"numbers  {out / RECORD}\ntables   {out / 'suite.md'}")
    print("figures  " + " ".join(map(str, drawn)))
    return 0


def _say(done: int, total: int, name: str) -> None:
    print(f"{done}/{total}  {name}", file=sys.stderr, flush=True)
