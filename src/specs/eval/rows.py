"""Rows, the JSON lines that summarise finished solves, and the collection of rows that a run adds to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from specs.errors import InputError
from specs.eval.files import Problem, Verdict
from specs.eval.grading import UNDECIDED, read_answer, same_answer
from specs.eval.grid import GridPoint
from specs.traces.schema import result_json
from specs.types import Finish, Result, Role

Key = tuple[str, str, int | None, int]
"""Problem id, label of the method, its n, sampling seed."""


@dataclass(frozen=True, slots=True)
class Row:
    """The stored summary of one solve.

    Attributes:
        method: label of the configured method (`specs.eval.grid`).
        n: the method's n, if it has one.
        seed: sampling seed.
        correct: None if the solve failed (finish reason `error`) or its answer could not be graded.
        answer: the answer that was compared: the content of the last box (of several last boxes, if the data set's
            answer is a list), or the answer read from a text without a box; code for a data set of code; None if
            there is none.
        reference: the data set's answer.
        error: as in `Result`, or why the answer could not be graded, or what its verifier found wrong.
        latency_s: seconds, end to end.
        steps, draft_steps: number of accepted steps, and of those that the draft wrote.
        trail: `writer`, `accepted`, `reward` and `log_ratio` of every step, including rejected ones.
        seconds: busy seconds by phase (`specs.types.Seconds`).
        usage: token counts by role (`specs.types.Usage`).
        flops: as in `Result`.
        thinking_tokens: tokens inside the thinking; None if the models did not think.
        thinking_end: how the thinking ended (`specs.types.ThinkingEnd`); None likewise.
        trace: byte range [start, end) of the full trace in the file of traces; None if no traces are kept.
    """

    problem_id: str
    method: str
    n: int | None
    seed: int
    correct: bool | None
    answer: str | None
    reference: str
    finish_reason: str
    error: str | None
    latency_s: float
    time_to_first_step_s: float | None
    steps: int
    draft_steps: int
    trail: list[dict[str, Any]]
    seconds: dict[str, float]
    usage: dict[str, dict[str, int | None]]
    flops: float | None
    trace: list[int] | None = None
    thinking_tokens: int | None = None
    thinking_end: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the solve ended with an error; a solve that did not may still be undecided (`correct` is None)."""
        return self.finish_reason == Finish.ERROR

    @property
    def key(self) -> Key:
        return self.problem_id, self.method, self.n, self.seed

    @classmethod
    def of(cls, problem: Problem, point: GridPoint, result: Result, extract: bool = False) -> Row:
        """The row of a solve; `extract` also reads answers from texts without a box (`specs.eval.extraction`)."""
        if problem.read is not None:
            answer = problem.read(result.answer_text)
        else:
            answer = read_answer(result.answer_text, problem.answer, unboxed=extract)
        failed = result.finish_reason is Finish.ERROR
        verdict = Verdict(None) if failed else _verdict(answer, problem)
        shown = ("writer", "accepted", "reward", "log_ratio")
        return cls(
            problem_id=problem.id,
            method=point.label,
            n=point.setting.n,
            seed=result.seed,
            correct=verdict.correct,
            answer=answer,
            reference=problem.answer,
            finish_reason=str(result.finish_reason),
            error=result.error or verdict.reason,
            latency_s=result.latency_s,
            time_to_first_step_s=result.time_to_first_step_s,
            steps=len(result.accepted),
            draft_steps=sum(record.writer is Role.DRAFT for record in result.accepted),
            trail=[{name: step[name] for name in shown} for step in result_json(result)["steps"]],
            seconds=asdict(result.seconds),
            usage={str(role): asdict(usage) for role, usage in result.usage.items()},
            flops=result.flops,
            thinking_tokens=result.thinking_tokens if result.thinking_end is not None else None,
            thinking_end=result.thinking_end and str(result.thinking_end),
        )

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, without the fields of thinking if the models did not think."""
        values = asdict(self)
        return values if self.thinking_end else {k: v for k, v in values.items() if not k.startswith("thinking")}


def _verdict(answer: str | None, problem: Problem) -> Verdict:
    if problem.verify is not None:
        return problem.verify(answer) if answer is not None else Verdict(False)
    right = same_answer(answer, problem.answer)
    undecided = f"undecided whether {answer!r} equals {problem.answer!r}: {UNDECIDED}"
    return Verdict(right, undecided if right is None else None)


class Rows:
    """Rows by key; a newer row replaces an older one with the same key."""

    def __init__(self) -> None:
        self.by_key: dict[Key, Row] = {}

    def done(self, key: Key) -> bool:
        """Whether there is a row that is graded right or wrong."""
        return key in self.by_key and self.by_key[key].correct is not None

    def add(self, row: Row, result: Result) -> None:
        self.by_key[row.key] = row


def read_rows(path: Path) -> tuple[dict[Key, Row], int]:
    """The rows of a file by key, and their size in bytes; an incomplete last line is left out.

    Raises:
        InputError: a line is not a row (the message names it).
    """
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    whole = content[: content.rfind(b"\n") + 1]
    rows: dict[Key, Row] = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = Row(**json.loads(line))
        except (TypeError, ValueError, RecursionError):
            wanted = ", ".join(field.name for field in fields(Row))
            raise InputError(f"{path}, line {number}: not a row ({wanted}); give another folder") from None
        rows[row.key] = row
    return rows, len(whole)
