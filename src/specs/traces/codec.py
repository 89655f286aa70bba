"""Reads trace files: the inverse of `specs.traces.schema`.

Each line holds one solve, as `specs solve --trace` writes it, and may have further keys. A file whose name ends in
.gz is decompressed. Bytes of a step that form no character were written as replacement characters (U+FFFD).
"""

from __future__ import annotations

import gzip
import json
import math
import sys
import zlib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

from specs.config.versions import current_settings
from specs.errors import InputError
from specs.types import (
    NO_CONTEXT,
    Candidate,
    Chat,
    Decision,
    End,
    Finish,
    Phase,
    Probed,
    Result,
    Role,
    Seconds,
    StepRecord,
    Turn,
    Usage,
)
from specs.types.checks import shown

_Name = TypeVar("_Name", bound=StrEnum)
_NOT_FINITE = {str(value): value for value in (math.inf, -math.inf, math.nan)}
_LARGEST = int(sys.float_info.max)
_WRITERS = (Role.DRAFT, Role.TARGET)
_DEEPEST = 8
"""Lists and objects that a setting may have inside each other; more than any has."""
_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def read_traces(path: Path) -> Iterator[tuple[str, Result]]:
    """Yield (place, solve) for every solve in a file; messages name the place ("traces.jsonl, line 3").

    Raises:
        InputError: there is no such file, or a field is wrong (the message names it and its place).
    """
    found = False
    for number, line in _lines(path):
        if line.strip():
            found = True
            where = f"{path}, line {number}"
            yield where, result_from(_parsed(line, where), where)
    if not found:
        raise InputError(f"{path} holds no traces; give what 'specs solve --trace' writes")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if not path.is_file():
        raise InputError(f"{path} is not a file; give what 'specs solve --trace' writes")
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            yield from enumerate(lines, 1)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); give JSON lines in UTF-8, gzipped if named .gz") from None


def _parsed(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}); give one solve per line") from None


def result_from(value: Any, where: str) -> Result:
    """The solve in a JSON value: the inverse of `result_json(result, candidates=True)`.

    Args:
        where: the value's place, for error messages.

    Raises:
        InputError: a field is missing or wrong (the message names it and its place).
    """
    solve = _JsonObject(value, where)
    steps = [
        _step(_JsonObject(step, f"{where}, step {number}")) for number, step in enumerate(solve.take("steps", list), 1)
    ]
    usage, models, prompts = (solve.part(name) for name in ("usage", "models", "prompt_token_ids"))
    return Result(
        answer=solve.optional("answer", str),
        text=solve.take("text", str),
        finish_reason=solve.name("finish_reason", Finish),
        method=solve.take("method", str),
        question=solve.take("question", str),
        steps=tuple(steps),
        usage={role: _usage(usage.part(role)) for role in usage.roles()},
        flops=solve.optional("flops", float),
        latency_s=solve.number("latency_s"),
        time_to_first_step_s=solve.optional("time_to_first_step_s", float),
        seed=solve.take("seed", int),
        draws=solve.take("draws", int) if solve.has("draws") else 1,  # early traces know only rule 1
        models={role: models.take(role, str) for role in models.roles()},
        prompt_token_ids={role: prompts.ids(role) for role in prompts.roles()},
        settings=_settings(solve.take("settings", dict), solve.where),
        text_scoring=solve.take("text_scoring", bool),
        raw_scoring=solve.has("raw_scoring") and solve.take("raw_scoring", bool),
        error=solve.optional("error", str),
        chat=_chat(solve.part("chat")) if solve.has("chat") else NO_CONTEXT,
        notes=solve.texts("notes") if solve.has("notes") else (),
        thinking=_thinking(solve) if solve.has("thinking") else "",
        unfinished=_seconds(solve.part("unfinished")) if solve.has("unfinished") else Seconds(),  # not in early traces
    )


def _settings(value: dict[str, Any], where: str) -> dict[str, Any]:
    """Settings of any version, as the current one; infinite numbers were written as text."""
    try:
        found = current_settings(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    further = [owner for owner in ("thinking", "early_exit") if owner in found]
    for owner in ("method", "sampling", "steps", "limits", *further):
        if not isinstance(found.get(owner), dict):
            raise InputError(f"{where}: its settings have no object {owner!r}; give a whole trace")
        if not all(_shallow(value, _DEEPEST) for value in found[owner].values()):
            raise InputError(f"{where}: its settings {owner!r} are nested too deeply; give a whole trace")
        found[owner] = {
            name: _NOT_FINITE.get(value, value) if isinstance(value, str) else value
            for name, value in found[owner].items()
        }
    return found


def _shallow(value: Any, levels: int) -> bool:
    """Whether a JSON value has at most so many levels of lists and objects."""
    if not isinstance(value, (dict, list)):
        return True
    parts = cast(dict[str, Any], value).values() if isinstance(value, dict) else cast(list[Any], value)
    return levels > 0 and all(_shallow(part, levels - 1) for part in parts)


def _thinking(solve: _JsonObject) -> str:
    """The thinking of a solve, with which its text begins."""
    text = solve.take("thinking", str)
    if not solve.take("text", str).startswith(text):
        raise InputError(f"{solve.where}: 'text' does not begin with 'thinking'; give a whole trace")
    return text


def _chat(chat: _JsonObject) -> Chat:
    turns = [
        _JsonObject(turn, f"{chat.where}, turn {number}") for number, turn in enumerate(chat.take("before", list), 1)
    ]
    texts = [(turn.take("role", str), turn.take("content", str)) for turn in turns]
    template, think = chat.take("template", bool), chat.has("think") and chat.take("think", bool)
    try:
        return Chat(tuple(Turn(role, content) for role, content in texts), template, think)
    except InputError as error:
        raise InputError(f"{chat.where}: {error}") from None


def _step(step: _JsonObject) -> StepRecord:
    rows = [
        _JsonObject(row, f"{step.where}, candidate {number}")
        for number, row in enumerate(step.take("candidates", list), 1)
    ]
    chosen = step.optional("chosen", int)
    if not rows or (chosen is not None and not 0 <= chosen < len(rows)):
        raise InputError(f"{step.where}: 'chosen' is {chosen} of {len(rows)} candidates")
    kept = step.ids("kept") if step.has("kept") else None
    if any(not 0 <= idx < len(rows) for idx in kept or ()):
        raise InputError(f"{step.where}: 'kept' is {list(kept or ())} of {len(rows)} candidates")
    for row in rows:
        if row.has("forced") and not 0 < row.take("forced", int) <= len(row.ids("token_ids")):
            raise InputError(
                f"{row.where}: 'forced' is {row.take('forced', int)} of {len(row.ids('token_ids'))} tokens"
            )
        if row.has("duplicates_of") and not 0 <= row.take("duplicates_of", int) < len(rows):
            raise InputError(
                f"{row.where}: 'duplicates_of' is {row.take('duplicates_of', int)} of {len(rows)} candidates"
            )
    return StepRecord(
        step_idx=step.take("step_idx", int),
        writer=step.name("writer", Role, _WRITERS),
        candidates=tuple(
            Candidate(
                token_ids=row.ids("token_ids"),
                text=row.take("text", str),
                end=row.name("end", End),
                log_p=row.optional("log_p", float),
                log_q=row.optional("log_q", float),
                reward=row.optional("reward", float),
                duplicates_of=row.optional("duplicates_of", int),
                log_p_by_token=row.numbers("log_p_by_token") if row.has("log_p_by_token") else None,
                log_p_at_most=row.number("log_p_at_most") if row.has("log_p_at_most") else None,
                forced=row.take("forced", int) if row.has("forced") else 0,
            )
            for row in rows
        ),
        decision=Decision(
            scores=tuple(row.number("score") for row in rows),
            probabilities=tuple(row.number("probability") if row.has("probability") else math.nan for row in rows),
            chosen=chosen,
            ess=step.optional("ess", float),
            chi2=step.optional("chi2", float),
        ),
        seconds=_seconds(step.part("seconds")),
        accepted=step.take("accepted", bool),
        kept=kept,
        parents=step.ids("parents") if step.has("parents") else None,
        phase=step.name("phase", Phase) if step.has("phase") else Phase.ANSWER,
        entropy=step.number("entropy") if step.has("entropy") else None,
        probe=_probe(step.part("probe")) if step.has("probe") else None,
    )


def _probe(probe: _JsonObject) -> Probed:
    return Probed(probe.ids("token_ids"), probe.take("text", str), probe.name("end", End), probe.numbers("log_p"))


def _seconds(busy: _JsonObject) -> Seconds:
    return Seconds(*(busy.number(phase) for phase in Seconds.__slots__))


def _usage(use: _JsonObject) -> Usage:
    counts = (name for name in Usage.__slots__ if name != "minimum")
    return Usage(*(use.take(name, int) for name in counts), minimum=use.optional("minimum", int))


class _JsonObject:
    """A JSON object with its place; errors name the place and the field."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise InputError(f"{where} is not an object; give what 'specs solve --trace' writes")
        self._value, self.where = cast(dict[str, Any], value), where

    def take(self, name: str, kind: type) -> Any:
        """The value of a field, checked to be of this type."""
        if name not in self._value:
            raise InputError(f"{self.where}: no {str(name)!r}; give a whole trace, as 'specs solve --trace' writes it")
        value = self._value[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InputError(f"{self.where}: {str(name)!r} is not {_KINDS[kind]}")
        return value

    def optional(self, name: str, kind: type) -> Any:
        """The value of a field, or None if it is null."""
        if name in self._value and not self.has(name):
            return None
        return self.number(name) if kind is float else self.take(name, kind)

    def has(self, name: str) -> bool:
        """Whether a field is present and not null."""
        return self._value.get(name) is not None

    def number(self, name: str) -> float:
        """A number; infinite numbers and NaN are text in JSON."""
        value = self._value.get(name)
        if isinstance(value, str) and value in _NOT_FINITE:
            return _NOT_FINITE[value]
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) > _LARGEST:
                raise InputError(f"{self.where}: {str(name)!r} is too large for a number")
            return value
        return self.take(name, float)

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of numbers."""
        values = self.take(name, list)
        return tuple(_JsonObject({name: value}, self.where).number(name) for value in values)

    def name(self, name: str, names: type[_Name], allowed: Sequence[_Name] = ()) -> _Name:
        """A member of an enumeration, or only one of `allowed`."""
        value = self.take(name, str)
        known = tuple(allowed or names)
        if value not in known:
            raise InputError(f"{self.where}: {name!r} is {shown(value)}, none of {', '.join(known)}")
        return names(value)

    def ids(self, name: str) -> tuple[int, ...]:
        """A list of token ids or candidate indices."""
        values = self.take(name, list)
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            raise InputError(f"{self.where}: {str(name)!r} are not all whole numbers")
        return tuple(values)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        values = self.take(name, list)
        if not all(isinstance(value, str) for value in values):
            raise InputError(f"{self.where}: {name!r} are not all text")
        return tuple(values)

    def part(self, name: str) -> _JsonObject:
        """The object in a field."""
        return _JsonObject(self.take(name, dict), f"{self.where}, {name}")

    def roles(self) -> list[Role]:
        """The object's keys, which must be roles."""
        for name in self._value:
            if name not in tuple(Role):
                raise InputError(f"{self.where}: {name!r} is none of {', '.join(Role)}")
        return [Role(name) for name in self._value]
