"""Compares all methods on the bundled models (docs/study).

    python -m research.comparison solve tuning|main|pairs|front|worse-... [--jobs 2]    right answers and FLOPs
    taskset -c 0 python -m research.comparison time hard|medium             latency, alone on the machine
    python -m research.comparison tables                                    the tables of the documentation

The same command continues after a stop. Rows are in research/records/comparison.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from research.command import main
from research.comparison import rows
from research.comparison.plan import TIERS
from research.comparison.running import make
from research.comparison.tables import tables
from research.comparison.timing import measure, settings
from research.comparison.tuning import chosen, known_parts
from specs.cli.parsing import count


def add(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="do", required=True)
    solve = commands.add_parser("solve", help="make the missing solves of a part")
    solve.add_argument("part", choices=list(known_parts()))
    solve.add_argument("--jobs", type=count, default=1, help="processes (default: %(default)s)")
    solve.add_argument("--out", type=Path, default=rows.RECORDS, help="folder of the rows")
    timed = commands.add_parser("time", help="measure latency and core-seconds")
    timed.add_argument("tier", choices=TIERS)
    commands.add_parser("tables", help="print the tables of the documentation")


def run(args: argparse.Namespace) -> int:
    if args.do == "tables":
        print(*tables(), sep="\n")
        return 0
    if args.do == "time":
        measure(args.tier, settings(chosen()))
        return 0
    if make(known_parts()[args.part], args.out, args.jobs):
        print("interrupted; the same command continues from there", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main("research.comparison", __doc__, add, run))
