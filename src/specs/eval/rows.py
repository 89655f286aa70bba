"""One finished solve as one JSON line, and the file that collects them so that a run can go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

from specs.errors import InputError
from specs.eval.datasets import Problem
from specs.eval.grading import correct
from specs.types import Finish, Result, Role

Key = tuple[str, str, int]
"""Problem id, method, repeat."""

FORMAT = 1
"""Raised whenever `Row` changes, so that no old file is read wrongly."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of one solve.

    Attributes:
        repeat: which repeat, from 0; it was sampled with seed + repeat.
        correct: None where the solve failed (finish reason `error`) or its answer could not be graded.
        answer, error: as in `Result`.
        latency_s: seconds, end to end.
        steps, draft_steps: accepted steps, and those that the draft wrote.
        seconds: busy seconds by phase (`specs.types.Seconds`).
        usage: token counts by role (`specs.types.Usage`).
    """

    problem_id: str
    method: str
    repeat: int
    correct: bool | None
    answer: str | None
    finish_reason: str
    error: str | None
    latency_s: float
    time_to_first_step_s: float | None
    steps: int
    draft_steps: int
    seconds: dict[str, float]
    usage: dict[str, dict[str, int | None]]
    flops: float

    @property
    def key(self) -> Key:
        return self.problem_id, self.method, self.repeat

    @classmethod
    def of(cls, problem: Problem, method: str, repeat: int, result: Result) -> Row:
        failed = result.finish_reason is Finish.ERROR
        right = None if failed else correct(result.answer, problem.answer)
        ungraded = f"grading {result.answer!r} against {problem.answer!r} took too long" if right is None else None
        return cls(
            problem_id=problem.id,
            method=method,
            repeat=repeat,
            correct=right,
            answer=result.answer,
            finish_reason=str(result.finish_reason),
            error=result.error or ungraded,
            latency_s=result.latency_s,
            time_to_first_step_s=result.time_to_first_step_s,
            steps=len(result.accepted),
            draft_steps=sum(record.writer is Role.DRAFT for record in result.accepted),
            seconds=asdict(result.seconds),
            usage={str(role): asdict(usage) for role, usage in result.usage.items()},
            flops=result.flops,
        )


class Rows:
    """Rows by key, each also written to a file, if one is given, as soon as it is added.

    The file is JSON lines: a header that says how the rows were made, then the rows. A last
    line that was cut off when a run was killed is dropped.
    """

    def __init__(self, path: Path | None, configuration: dict[str, Any]) -> None:
        """Open `path` and take over its rows, or begin it; None keeps rows in memory alone.

        Raises:
            InputError: it holds rows of another configuration, or something else than rows.
        """
        self.by_key: dict[Key, Row] = {}
        self._file: BinaryIO | None = None
        if path is None:
            return
        # What the file says is compared with what JSON makes of the configuration.
        header = json.loads(json.dumps({"format": FORMAT, **configuration}))
        try:
            content = path.read_bytes() if path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            if content and not whole:
                raise InputError(f"{path} holds no benchmark rows; give another file, or remove it")
            if whole:
                self._read(path, whole, header)
            self._file = path.open("r+b" if content else "wb")
        except OSError as error:
            raise InputError(f"{path} cannot hold rows ({error.strerror}); give a file that can be written") from None
        self._file.seek(len(whole))
        self._file.truncate()
        if not whole:
            self._write(header)

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file:
            self._file.close()

    def add(self, row: Row) -> None:
        self.by_key[row.key] = row
        self._write(asdict(row))

    def _write(self, value: dict[str, Any]) -> None:
        if self._file:
            self._file.write(json.dumps(value).encode() + b"\n")
            self._file.flush()

    def _read(self, path: Path, content: bytes, header: dict[str, Any]) -> None:
        lines = content.removesuffix(b"\n").split(b"\n")
        found = _object(path, lines[0], 1)
        if found != header:
            changed = ", ".join(sorted(key for key in {*found, *header} if found.get(key) != header.get(key)))
            raise InputError(f"{path} holds rows of another run (its {changed} differ); give another file")
        for number, line in enumerate(lines[1:], 2):
            try:
                row = Row(**_object(path, line, number))
            except TypeError:
                wanted = ", ".join(field.name for field in fields(Row))
                raise InputError(f"{path}, line {number}: a row has {wanted}; give another file") from None
            self.by_key[row.key] = row


def _object(path: Path, line: bytes, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path}, line {number}: not a JSON object, so no benchmark row; give another file")
    return value
