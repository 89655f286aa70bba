"""Reads problems from JSON, CSV, TSV or parquet files; the public test sets are such files on the hub.

A row has its question in the column `question` or `problem`, and its answer in `answer` or `final_answer`, unless
the caller names other columns. If the answer is a list, a question has all these answers, in any order. The column
`solution` may hold worked steps. An answer in GSM8K's form, "... #### 18", contains the answer 18 and a solution.

A row that cannot be read is a problem with an `error`, which no method can solve: it counts as failed, and the other
rows are used.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from io import StringIO
from pathlib import Path
from typing import Any, cast

from specs.core.text import readable
from specs.errors import InputError, install_command
from specs.types.checks import shown

HUB = {
    "math500": ("HuggingFaceH4/MATH-500", "test.jsonl"),
    "amc23": ("math-ai/amc23", "test-00000-of-00001.parquet"),
    # open-ended, text only, mathematics, English
    "olympiadbench": ("Hothan/OlympiadBench", "OlympiadBench/OE_TO_maths_en_COMP/OE_TO_maths_en_COMP.parquet"),
    "gsm8k": ("openai/gsm8k", "main/test-00000-of-00001.parquet"),
}
"""Repository and file of the public test sets."""
STANDARD_INPUT = Path("-")
MOST_NAMED = 12
"""Columns that a message names."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the question and answer columns; each row uses the first one that it has."""

    question: tuple[str, ...] = ("question", "problem")
    answer: tuple[str, ...] = ("answer", "final_answer")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer is right.

    Attributes:
        correct: None if that is undecided.
        reason: why it is wrong or undecided, if that is known.
    """

    correct: bool | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its reference answer.

    Attributes:
        answer: the reference answer as text; several answers are joined by commas.
        solution: worked steps, separated by blank lines; None if the data set has none.
        id: unique in its data set and the same on every machine; for a problem from a file it also depends on
            question and answer.
        error: why its row in the file cannot be used; question and answer are empty then.
        read: the answer that a text gives, None if it gives none; without it, the answer is read from boxes
            (`specs.eval.grading.read_answer`).
        verify: whether an answer is right; without it, answers are compared with `answer`.
    """

    question: str
    answer: str
    solution: str | None
    id: str
    error: str | None = None
    read: Callable[[str], str | None] | None = field(default=None, compare=False, repr=False)
    verify: Callable[[str], Verdict] | None = field(default=None, compare=False, repr=False)


def from_hub(name: str) -> Iterator[Problem]:
    """The problems of one of `HUB`, downloaded once."""
    from huggingface_hub import hf_hub_download  # pyright: ignore[reportUnknownVariableType]

    repository, file = HUB[name]
    try:
        path = hf_hub_download(repository, file, repo_type="dataset")
    except Exception as error:  # the library raises many kinds, all of them about getting this file
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{name} could not be downloaded from the hub ({reason}); give it as a file instead") from None
    yield from _problems(Path(path), name, Columns())


def from_file(dataset: str, names: tuple[str, ...], columns: Columns) -> Iterator[Problem]:
    """The problems of a file; `names` are the named data sets, which the error message lists."""
    path = Path(dataset)
    if not path.is_file():
        raise InputError(
            f"no data set {dataset!r}, nor a file; give a JSON, CSV, TSV or parquet file or {', '.join(names)}"
        )
    yield from _problems(path, path.stem, columns)


def worked(text: str, answer: str) -> str:
    """A solution in GSM8K's form (one step per line, then `#### answer`) as steps and a boxed answer."""
    lines = (re.sub(r"<<.*?>>", "", line).strip() for line in text.partition("####")[0].splitlines())
    return "\n\n".join([*filter(None, lines), f"The answer is \\boxed{{{answer}}}."])


def _problems(path: Path, name: str, columns: Columns) -> Iterator[Problem]:
    found = False
    for number, where, row in rows_of(path):
        found = True
        try:
            yield _problem(row, name, number, where, columns)
        except InputError as error:
            yield Problem("", "", None, f"{name}:{number}", str(error))
    if not found:
        raise InputError(f"{path} holds no problems; give one per row")


def rows_of(path: Path) -> Iterator[tuple[int, str, Any]]:
    """(row number, place for messages, row) for each row of a file; blank lines are skipped.

    JSON is one object per line or one list of objects. Fields of CSV are separated by commas, or by semicolons if the
    first line has no comma; those of TSV by tabs. `-` is standard input: JSON if it starts like JSON, otherwise CSV, or
    TSV if the first line has a tab. A row that cannot be read is an `InputError` in place of its value.

    Raises:
        InputError: the file as a whole cannot be read.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            rows = [(number, f"row {number}", row) for number, row in enumerate(_parquet(path), 1)]
        else:
            piped = path == STANDARD_INPUT or path.is_fifo()
            text = (sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()).decode("utf-8-sig")
            if ending in (".csv", ".tsv") or (piped and not text.lstrip().startswith(("{", "["))):
                rows = _table(text, name, ending)
            elif text.lstrip().startswith("["):
                rows = _list(text, name)
            else:
                rows = _lines(text, name)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name} cannot be read ({error}); give JSON, CSV or TSV in UTF-8, or parquet") from None
    for number, where, row in rows:
        yield number, f"{name}, {where}", row


def answer_text(value: object) -> str | None:
    """A file's answer as text, lists joined by commas; None unless it is text, a number or a list of these."""
    if isinstance(value, list) and value:
        parts = cast(list[object], value)
        entries = [None if isinstance(part, list) else answer_text(part) for part in parts]
        return None if None in entries else ", ".join(entry.strip().strip("$") for entry in entries if entry)
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)) or value != value:  # NaN
        return None
    return str(value).strip()


def _parsed(line: str, where: str) -> Any:
    """The value of a line of JSON, or an `InputError` that says what is wrong with it."""
    try:
        return json.loads(line, parse_float=Decimal)  # Decimal loses no digits and can hold 1e400
    except (ValueError, RecursionError) as error:
        return InputError(f"{where}: not JSON ({error}); give one object per line, or one list of objects")


def _lines(text: str, name: str) -> Iterator[tuple[int, str, Any]]:
    """The values of JSON lines."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, f"line {number}", _parsed(line, f"{name}, line {number}")


def _list(text: str, name: str) -> list[tuple[int, str, Any]]:
    """The entries of a file that holds one JSON list; a list in each line is one row a line."""
    whole = _parsed(text, name)
    if isinstance(whole, list):
        entries = cast(list[Any], whole)
        return [(number, f"entry {number}", entry) for number, entry in enumerate(entries, 1)]
    return list(_lines(text, name))


def _table(text: str, name: str, ending: str) -> list[tuple[int, str, Any]]:
    """The rows of a CSV or TSV file, with fields of any length."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    head = text.lstrip().partition("\n")[0]
    tabs = ending == ".tsv" or (ending != ".csv" and "\t" in head)
    separator = "\t" if tabs else ";" if ";" in head and "," not in head else ","
    rows: list[tuple[int, str, Any]] = []
    for number, row in enumerate(csv.DictReader(StringIO(text, newline=""), delimiter=separator), 1):
        value: Any = row
        if None in row or None in row.values():
            count = "more" if None in row else "fewer"
            value = InputError(
                f"{name}, row {number}: {count} fields than the first row; quote fields that contain {separator!r}"
            )
        rows.append((number, f"row {number}", value))
    return rows


def _parquet(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow  # pyright: ignore[reportMissingTypeStubs]
        import pyarrow.parquet as pyarrow_parquet  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise InputError(f"parquet files need pyarrow: {install_command('eval')}") from None
    arrow: Any = pyarrow  # untyped
    parquet: Any = pyarrow_parquet
    try:
        return parquet.read_table(path).to_pylist()
    except arrow.ArrowException as error:
        raise InputError(f"{path} is not a parquet file ({error})") from None


def _problem(row: Any, name: str, number: int, where: str, columns: Columns) -> Problem:
    if isinstance(row, InputError):
        raise row
    if not isinstance(row, dict):
        raise InputError(f"{where}: not an object; give question and answer")
    row = cast(dict[str, Any], row)
    question = _first(row, columns.question)
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"{where}: no text under {_or(columns.question)}{there(row, 'question_column')}")
    solution = row.get("solution")
    if isinstance(solution, list):
        solution = "\n\n".join(map(str, cast(list[object], solution)))
    if solution is not None and not isinstance(solution, str):
        raise InputError(f"{where}: 'solution' is not text; give the worked steps, or leave it out")
    answer = _answer(row, where, columns)
    if "####" in answer:
        steps, _, final = answer.rpartition("####")
        if not (answer := final.strip()):
            raise InputError(f"{where}: nothing follows #### in the answer")
        solution = solution or (worked(steps, answer) if steps.strip() else None)
    if readable(text := "".join((question, answer, solution or ""))) != text:
        raise InputError(f"{where}: the text contains half of a character (a surrogate); save it again as UTF-8")
    digest = blake2b(f"{question}\0{answer}".encode(), digest_size=4).hexdigest()
    return Problem(question, answer, solution or None, f"{name}:{number}:{digest}")


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if name in row), None)


def _or(names: tuple[str, ...]) -> str:
    return f"{names[0]!r}" + "".join(f" (or {name!r})" for name in names[1:])


def there(row: Mapping[str, Any], option: str) -> str:
    """The columns of a row for a message, and the option that names the right one."""
    names = ", ".join(shown(name) for name in list(row)[:MOST_NAMED])
    more = f" and {len(row) - MOST_NAMED} more" if len(row) > MOST_NAMED else ""
    flag = f"--{option.replace('_', '-')}"
    return f"; its columns are {names}{more}: name the right one with {flag} ({option})" if row else "; it is empty"


def _answer(row: Mapping[str, Any], where: str, columns: Columns) -> str:
    value = _first(row, columns.answer)
    entries = cast(list[object], value) if isinstance(value, list) else []
    if not all(isinstance(entry, str) for entry in entries) or not (answer := answer_text(cast(object, value))):
        raise InputError(f"{where}: no text or number under {_or(columns.answer)}{there(row, 'answer_column')}")
    return answer
