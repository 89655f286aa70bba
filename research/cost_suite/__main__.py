"""Measures how long steps take at any model size, with random weights: `python -m research.cost_suite --out DIR`.

Latency only, no accuracy. Writes suite.json, suite.md and figures into the folder; the same command continues after a
stop.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from research.command import main
from research.cost_suite.figures import draw
from research.cost_suite.scales import SCALES
from research.cost_suite.suite import RECORD, Suite
from research.cost_suite.tables import tables
from specs.eval.plots import require_matplotlib
from specs.traces.schema import write_text


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for records and figures")
    parser.add_argument("--scale", choices=[*SCALES], default="cpu", help="sizes and device (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    require_matplotlib()
    try:
        found = Suite(SCALES[args.scale], args.out).make(_say)
    except KeyboardInterrupt:
        print("specs: interrupted; the same command continues from there", file=sys.stderr)
        return 1
    write_text(args.out / "suite.md", tables(found))
    drawn = draw(found, args.out)
    print(f"numbers  {args.out / RECORD}\ntables   {args.out / 'suite.md'}")
    print("figures  " + " ".join(map(str, drawn)))
    return 0


def _say(done: int, total: int, name: str) -> None:
    print(f"{done}/{total}  {name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main("research.cost_suite", __doc__, add, run))
