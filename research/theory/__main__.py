"""Checks the law of the decoder on small exact models: `python -m research.theory --out DIR`.

Computes without sampling how far the decoder's law is from its limit for 1 to 16,384 candidates. Then
counts the answers of the running decoder and compares them with the law. Writes theory.json, theory.svg
and theory.png. Exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from research.command import main
from research.theory import figure
from research.theory.study import study, table
from specs.cli.parsing import count
from specs.cli.progress import Shown
from specs.errors import InputError
from specs.eval.plots import require_matplotlib
from specs.eval.runner import RunProgress
from specs.traces.schema import check_writable, write_json


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for record and figures")
    parser.add_argument(
        "--samples", type=count, default=200_000, help="solves of the running decoder, at least 1000 (default: 200000)"
    )
    parser.add_argument("--seed", type=_seed, default=0, help="seed of models and samples (default: %(default)s)")


def _seed(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def run(args: argparse.Namespace) -> int:
    if args.samples < 1000:
        raise InputError(f"--samples {args.samples} is too few to detect a wrong law; give at least 1000")
    require_matplotlib()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{args.out} is not a folder and cannot be created: {error.strerror}") from None
    record = args.out / "theory.json"
    check_writable(record)
    shown = Shown()
    found = study(args.samples, args.seed, lambda *standing: shown(RunProgress(*standing)))
    write_json(record, found)
    figure.draw(found, args.out)
    print(table(found))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main("research.theory", __doc__, add, run))
