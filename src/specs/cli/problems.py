"""`specs problems`: problems of a data set as JSON lines (question, answer, solution)."""

from __future__ import annotations

import argparse
import json

from specs.bundled.problems import HELD_OUT_SEED
from specs.cli.options import count
from specs.eval.datasets import NAMES, load_problems, problem_json
from specs.eval.files import Problem


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("problems", help="print problems of a data set as JSON lines", description=__doc__)
    add_dataset(parser)
    parser.set_defaults(run=run)


def add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset",
        default="bundled:medium",
        metavar="NAME|FILE",
        help=f"{', '.join(NAMES)}, or a JSONL, CSV or parquet file (default: %(default)s)",
    )
    parser.add_argument(
        "--problem-seed", type=int, default=HELD_OUT_SEED, help="picks generated problems (default: %(default)s)"
    )
    parser.add_argument("--question-column", metavar="NAME", help="of a file (default: question, or problem)")
    parser.add_argument("--answer-column", metavar="NAME", help="of a file (default: answer, or final_answer)")
    parser.add_argument("--limit", type=count, default=10, help="how many problems (default: %(default)s)")


def problems_of(args: argparse.Namespace) -> list[Problem]:
    return load_problems(args.dataset, args.problem_seed, args.limit, args.question_column, args.answer_column)


def run(args: argparse.Namespace) -> int:
    for problem in problems_of(args):
        print(json.dumps(problem_json(problem), ensure_ascii=False))
    return 0
