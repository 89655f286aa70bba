"""Compares all methods on the bundled models (docs/study).

    python -m research.study solve tuning|main|pairs|front|oracle|worse-... [--jobs 2]    right answers and FLOPs
    taskset -c 0 python -m research.study time hard|medium|front       latency, alone on the machine
    python -m research.study tables                                    the tables of the documentation
    python -m research.study summary                                   the table of the README
    python -m research.study draw --out DIR                            its figures

The same command continues after a stop. Rows are in research/records/study.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from research.command import main
from research.study import rows
from research.study.figures import draw_front
from research.study.running import make
from research.study.tables import summary, tables
from research.study.timing import WHAT, measure, settings
from research.study.tuning import chosen, known_parts
from specs.cli.parsing import count


def add(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="do", required=True)
    solve = commands.add_parser("solve", help="make the missing solves of a part")
    solve.add_argument("part", choices=list(known_parts()))
    solve.add_argument("--jobs", type=count, default=1, help="processes (default: %(default)s)")
    solve.add_argument("--out", type=Path, default=rows.RECORDS, help="folder of the rows")
    timed = commands.add_parser("time", help="measure latency and core-seconds")
    timed.add_argument("what", choices=list(WHAT))
    commands.add_parser("tables", help="print the tables of the documentation")
    commands.add_parser("summary", help="print the table of the README")
    drawn = commands.add_parser("draw", help="draw the figures of the documentation")
    drawn.add_argument("--out", type=Path, required=True, metavar="DIR", help="an existing folder")


def run(args: argparse.Namespace) -> int:
    if args.do in ("tables", "summary"):
        print(*(tables() if args.do == "tables" else summary()), sep="\n")
        return 0
    if args.do == "time":
        front = known_parts()["front"].methods
        measure(args.what, front if args.what == "front" else settings(chosen()))
        return 0
    if args.do == "draw":
        draw_front(args.out)
        return 0
    if make(known_parts()[args.part], args.out, args.jobs):
        print("interrupted; the same command continues from there", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main("research.study", __doc__, add, run))
