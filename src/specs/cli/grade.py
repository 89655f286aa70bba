"""`specs grade`: grade answers made elsewhere.

Each row of the file has a reference answer and a prediction: an answer, or a text that gives one. Prints
one JSON object per row: `correct` (null if undecided; `reason` says why), `extracted` (the answer found in the
prediction), and `id` if the row has one. The last object is `summary`; its `rows` include the undecided ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any

from specs.core.statistics import wilson
from specs.errors import InputError
from specs.eval.files import STANDARD_INPUT, answer_text, rows_of, there
from specs.eval.grading import grade, require_math_verify
from specs.traces.schema import json_text


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("grade", help="grade answers made elsewhere", description=__doc__)
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="JSON, CSV, TSV or parquet; - for standard input, JSON, CSV or TSV"
    )
    parser.add_argument(
        "--prediction-column", default="prediction", metavar="NAME", help="column of the file (default: %(default)s)"
    )
    parser.add_argument(
        "--answer-column", default="answer", metavar="NAME", help="column of the file (default: %(default)s)"
    )
    parser.add_argument("--id-column", metavar="NAME", help="column of the file (default: id, if rows have it)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    require_math_verify()
    verdicts: list[bool | None] = []
    for row, prediction, answer in _pairs(args):
        if isinstance(answer, InputError):
            verdicts.append(None)
            print(_json({**row, "correct": None, "extracted": None, "reason": str(answer)}), flush=True)
            continue
        graded = grade(prediction, answer)
        verdicts.append(graded.correct)
        shown = {**row, "correct": graded.correct, "extracted": graded.extracted}
        print(_json(shown | ({"reason": graded.reason} if graded.reason else {})), flush=True)
    rows, right, undecided = len(verdicts), verdicts.count(True), verdicts.count(None)
    summary = {
        "rows": rows,
        "correct": right,
        "wrong": verdicts.count(False),
        "undecided": undecided,
        "accuracy": right / rows,
        "accuracy_if_undecided_are_correct": (right + undecided) / rows,
        "accuracy_interval": [wilson(right, rows).low, wilson(right + undecided, rows).high],
    }
    print(json.dumps({"summary": summary}))
    return 0


def _json(shown: dict[str, Any]) -> str:
    """As JSON, with escapes if standard output cannot encode a character."""
    text = json_text(shown)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(json.loads(text))
    return text


Pair = tuple[dict[str, Any], str | None, str | InputError]
"""The fields of a row to print, the prediction and the answer, or why the row cannot be graded."""


def _pairs(args: argparse.Namespace) -> list[Pair]:
    """The rows of the file; an error if none of them can be graded."""
    names = f"{args.answer_column} and {args.prediction_column}"
    if args.file != STANDARD_INPUT and not (args.file.is_file() or args.file.is_fifo()):
        raise InputError(f"{args.file} is not a file; give rows with {names}")
    pairs = [_pair_or_error(row, where, args) for _, where, row in rows_of(args.file)]
    if pairs and isinstance(first := pairs[0][2], InputError) and all(isinstance(one[2], InputError) for one in pairs):
        raise first  # it is the file that is wrong, not a row
    if not pairs:
        name = "standard input" if args.file == STANDARD_INPUT else args.file
        raise InputError(f"{name} holds nothing to grade; give rows with {names}")
    return pairs


def _pair_or_error(row: Any, where: str, args: argparse.Namespace) -> Pair:
    try:
        return _pair(row, where, args)
    except InputError as error:
        column = args.id_column or "id"
        return {"id": _plain(row[column])} if isinstance(row, dict) and column in row else {}, None, error


def _pair(row: Any, where: str, args: argparse.Namespace) -> Pair:
    columns = (args.answer_column, args.prediction_column)
    if isinstance(row, InputError):
        raise row
    if not isinstance(row, dict):
        raise InputError(f"{where}: not an object; give one with {columns[0]!r} and {columns[1]!r}")
    if missing := [repr(column) for column in columns if column not in row]:
        option = "answer_column" if columns[0] not in row else "prediction_column"
        raise InputError(f"{where}: no {' and no '.join(missing)}{there(row, option)}")
    answer, prediction = (answer_text(row[column]) for column in columns)
    if row[columns[0]] is None:
        raise InputError(f"{where}: {columns[0]!r} is null; give the reference answer")
    if answer is None or (prediction is None and row[columns[1]] is not None):
        raise InputError(f"{where}: {columns[answer is not None]!r} is not a text, a number, or a list of them")
    if args.id_column and args.id_column not in row:
        raise InputError(f"{where}: no {args.id_column!r}; name another column with --id-column")
    column = args.id_column or "id"
    return {"id": _plain(row[column])} if column in row else {}, prediction, answer.rpartition("####")[2].strip()


def _plain(value: Any) -> Any:
    """An id as a value that JSON can hold: a parquet file may have decimals, dates and more."""
    if isinstance(value, (str, int, float, NoneType)):
        return value
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    return float(value) if isinstance(value, Decimal) else str(value)
