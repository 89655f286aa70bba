"""A quick comparison: several methods solve the same problems, and nothing is saved.

    python -m research.benchmarks.quick --methods specs,beam --dataset bundled:medium --limit 20

Prints a table, and JSON last.
"""

from __future__ import annotations

import argparse
import sys

from research.command import main
from specs.cli.dataset import add_dataset, problems_of
from specs.cli.evaluate import report_unsolved
from specs.cli.options import (
    add_cells,
    add_models,
    add_n,
    add_preset,
    add_sampling,
    add_settings,
    cells_of,
    models_of,
    names_of,
)
from specs.cli.parsing import count
from specs.cli.progress import Shown
from specs.eval.report import Report
from specs.eval.rows import Rows
from specs.eval.runner import Plan, solve_all
from specs.eval.table import table
from specs.traces.schema import json_text


def add(parser: argparse.ArgumentParser) -> None:
    add_cells(parser)
    add_dataset(parser)
    parser.add_argument("--repeats", type=count, default=1, help="sampling seeds a problem (default: %(default)s)")
    add_n(parser)
    add_preset(parser)
    add_sampling(parser)
    add_settings(parser)
    add_models(parser)


def run(args: argparse.Namespace) -> int:
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


if __name__ == "__main__":
    sys.exit(main("research.benchmarks.quick", __doc__, add, run))
