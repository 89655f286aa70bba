"""`specs view`: recorded solves as one HTML page that needs nothing else.

Reads what `specs solve --trace` wrote, or many such objects as JSON lines (.gz too). The page shows each
step's candidates with their rewards, log-ratios and chances, when each model was at work, and two
solves side by side. It contains the complete traces, including questions and texts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from specs.errors import InputError
from specs.server import page
from specs.traces.codec import read_traces
from specs.traces.schema import check_writable, result_json, write_text


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("view", help="recorded solves as one HTML page", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="TRACE", help="JSON or JSON lines, .gz too")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the page (default: beside a single trace, its name with .html)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.out is None and len(args.files) > 1:
        raise InputError("several files need a name for their common page; give --out FILE")
    out: Path = args.out or _beside(args.files[0])
    if any(out.resolve() == file.resolve() for file in args.files):
        raise InputError(f"{out} is the trace itself; give --out another file")
    check_writable(out)
    traces = [result_json(result, candidates=True) for file in args.files for _, result in read_traces(file)]
    write_text(out, page.html(traces))
    print(f"page     {out}")
    return 0


def _beside(trace: Path) -> Path:
    """`trace.json` becomes `trace.html`, and `traces.jsonl.gz` becomes `traces.html`."""
    return trace.with_name(trace.name.removesuffix(".gz")).with_suffix(".html")
