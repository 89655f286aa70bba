"""`specs grade`: grade answers made elsewhere.

Each line of the file is an object with `answer` (the reference) and `prediction` (an answer, or a
solution that gives one). Prints one JSON object a line: `correct` (null if it could not be decided in
time) and `extracted`, and at last one with `summary`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from specs.core.statistics import wilson
from specs.errors import InputError
from specs.eval.files import rows_of
from specs.eval.grading import correct, extract


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("grade", help="grade answers made elsewhere", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.jsonl", help="lines with answer and prediction")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    verdicts: list[bool | None] = []
    for prediction, answer in _pairs(args.file):
        extracted = answer_of(prediction)
        verdicts.append(correct(extracted, answer))
        print(json.dumps({"correct": verdicts[-1], "extracted": extracted}, ensure_ascii=False), flush=True)
    right, decided = verdicts.count(True), len(verdicts) - verdicts.count(None)
    summary = {
        "rows": len(verdicts),
        "correct": right,
        "undecided": len(verdicts) - decided,
        "accuracy": right / decided if decided else None,
        "accuracy_interval": list(wilson(right, decided)) if decided else None,
    }
    print(json.dumps({"summary": summary}))
    return 0


def answer_of(prediction: str | None) -> str | None:
    """The answer in a prediction: what it extracts from a solution, or the text itself where it is short."""
    if prediction is None:
        return None
    short = "\n" not in prediction.strip() and len(prediction.split()) <= 5 and "\\boxed" not in prediction
    return prediction.strip() if short else extract(prediction)


def _pairs(path: Path) -> list[tuple[str | None, str]]:
    if not path.is_file():
        raise InputError(f"{path} is no file; give lines with answer and prediction")
    pairs = [_pair(row, where) for _, where, row in rows_of(path)]
    if not pairs:
        raise InputError(f"{path} holds nothing to grade; give lines with answer and prediction")
    return pairs


def _pair(row: Any, where: str) -> tuple[str | None, str]:
    if not isinstance(row, dict) or "answer" not in row or "prediction" not in row:
        raise InputError(f"{where}: no 'answer' and 'prediction'; give an object with both")
    answer, prediction = row["answer"], row["prediction"]
    for name, value in (("answer", answer), ("prediction", prediction)):
        if isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))):
            raise InputError(f"{where}: {name!r} is no text or number")
    if answer is None:
        raise InputError(f"{where}: 'answer' is null; give the reference answer")
    return None if prediction is None else str(prediction), str(answer)
