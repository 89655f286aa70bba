"""`specs report`: summary and report of one or several runs, made anew from what they recorded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specs.errors import InputError
from specs.eval.aggregate import aggregate
from specs.eval.html import page
from specs.eval.plots import require_matplotlib
from specs.eval.store import RUN
from specs.eval.table import table
from specs.traces.schema import write_json, write_text

SUMMARY, REPORT = "summary.json", "report.html"


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("report", help="rebuild or merge reports of runs", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="DIR", help="folder of 'specs eval'")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for summary and report (default: that of a single run)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    require_matplotlib()
    if args.out is None and len(args.runs) > 1:
        raise InputError("several runs need a folder for their common report; give --out DIR")
    out: Path = args.out or args.runs[0]
    if (out / RUN).exists() and args.runs != [out]:
        raise InputError(f"{out} is a run with a report of its own; give --out another folder")
    publish(args.runs, out)
    return 0


def publish(runs: Sequence[Path], out: Path) -> dict[str, Any]:
    """Write summary and report of `runs` into `out`, and print the table; returns the summary."""
    report, recorded = aggregate(runs)
    found = report.to_json()
    html = page(report, found, recorded)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot hold a report ({error.strerror}); give another folder") from None
    write_json(out / SUMMARY, found, indent=1)
    write_text(out / REPORT, html)
    print(table(found))
    print(f"summary  {out / SUMMARY}\nreport   {out / REPORT}")
    return found
