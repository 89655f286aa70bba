"""`specs report`: rebuild the summary and report of one or several runs from their records.

With `--replay` it reads traces instead, which `specs solve --trace` or `specs eval` wrote, and lets the method
decide their steps again, without models, with the options that `--set` changes. A replay ends at the first step
that differs, because what would have followed was never sampled. Up to there, a solve with these options and
the recorded seed takes exactly the same steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specs.cli import replay
from specs.cli.parsing import share
from specs.config.text import option_from_text
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
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="DIR|FILE",
        help="folders of 'specs eval'; with --replay traces: JSON or JSON lines, .gz too",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for summary and report (default: that of a single run)"
    )
    group = parser.add_argument_group("replay", "Temperature, limits and seed belong to the samples and stay.")
    group.add_argument("--replay", action="store_true", help="decide recorded steps again")
    group.add_argument(
        "--set", type=option_from_text, action="append", default=[], dest="changes", metavar="OPTION=VALUE",
        help="repeatable: an option of the method; other options stay as recorded",
    )  # fmt: skip
    group.add_argument(
        "--target-share", type=share, metavar="SHARE",
        help="instead of tau: take the tau that this share of the draft steps fell below",
    )  # fmt: skip
    group.add_argument("--json", action="store_true", help="print one JSON object per trace, then a summary")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.replay:
        if args.out is not None:
            raise InputError("--replay writes no files; leave out --out")
        replay.show(args.paths, dict(args.changes), args.target_share, args.json)
        return 0
    for flag, given in (("set", args.changes), ("target-share", args.target_share is not None), ("json", args.json)):
        if given:
            raise InputError(f"--{flag} is for --replay; give that too")
    require_matplotlib()
    if args.out is None and len(args.paths) > 1:
        raise InputError("several runs need a folder for their common report; give --out DIR")
    out: Path = args.out or args.paths[0]
    if (out / RUN).exists() and args.paths != [out]:
        raise InputError(f"{out} is a run with a report of its own; give --out another folder")
    publish(args.paths, out)
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
