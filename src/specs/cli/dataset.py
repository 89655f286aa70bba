"""Options that name a data set, and the problems that they select."""

from __future__ import annotations

import argparse

from specs.bundled.problems import HELD_OUT_SEED
from specs.cli.parsing import count
from specs.eval.datasets import NAMES, load_problems
from specs.eval.files import Problem


def add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset",
        default="bundled:medium",
        metavar="NAME|FILE",
        help=f"{', '.join(NAMES)}, or a JSON, CSV, TSV or parquet file (default: %(default)s)",
    )
    parser.add_argument(
        "--problem-seed", type=int, default=HELD_OUT_SEED, help="seed of generated problems (default: %(default)s)"
    )
    parser.add_argument("--question-column", metavar="NAME", help="column of a file (default: question, or problem)")
    parser.add_argument("--answer-column", metavar="NAME", help="column of a file (default: answer, or final_answer)")
    parser.add_argument("--limit", type=count, default=10, help="how many problems (default: %(default)s)")


def problems_of(args: argparse.Namespace) -> list[Problem]:
    return load_problems(args.dataset, args.problem_seed, args.limit, args.question_column, args.answer_column)
