"""The paper's study on the bundled trio: `python -m research.study --out DIR`. The same command continues after a stop.

Writes a folder of `specs eval` for every run (`specs report` reads them), study.json with all numbers,
study.md with the tables, and figures. Prints first about how long it will take: hours, if --scale is 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from research.command import main
from research.study.figures import draw
from research.study.markdown import tables
from research.study.plan import TITLES
from research.study.study import Study
from specs.cli.parsing import above_zero, count
from specs.cli.progress import Shown, duration
from specs.eval.plots import require_matplotlib
from specs.traces.schema import write_json, write_text


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for runs, tables and figures")
    parser.add_argument(
        "--parts", type=_parts, default=",".join(TITLES), metavar="A,B,...",
        help="parts to run, from a to h (docs/study); settings are always tuned first (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--scale", type=above_zero, default=1.0, help="factor for all numbers of problems (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=count, default=1,
        help="runs at the same time; runs that measure latency are always alone, at the end (default: %(default)s)",
    )  # fmt: skip


def _parts(text: str) -> str:
    """Letters of parts from a comma-separated list."""
    parts = [part.strip() for part in text.split(",")]
    if unknown := [part for part in parts if part not in TITLES]:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}; choose from {', '.join(TITLES)}")
    return "".join(sorted(set(parts)))


def run(args: argparse.Namespace) -> int:
    require_matplotlib()
    study = Study(args.out, args.parts, args.scale, args.jobs)
    if study.make(args.command, Shown(), _say):
        print("specs: interrupted; the same command continues from there", file=sys.stderr)
        return 1
    found = study.findings()
    write_json(args.out / "study.json", found)
    write_text(args.out / "study.md", tables(found))
    drawn = draw(found, args.out)
    print(f"numbers  {args.out / 'study.json'}\ntables   {args.out / 'study.md'}")
    print("figures  " + " ".join(str(args.out / f"{name}.svg") for name in drawn))
    return 0


def _say(cpu: float, wall: float) -> None:
    print(f"about {duration(wall)} to go ({duration(cpu)} of computing)", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main("research.study", __doc__, add, run))
