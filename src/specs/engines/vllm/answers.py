"""The fields of a server's JSON answer; errors say which field is missing or has a wrong value.

Python's JSON parser accepts NaN and Infinity, and other servers write null for both. None of these counts as a number.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from specs.engines.vllm.client import ANOTHER_DTYPE
from specs.errors import EngineError

IMPOSSIBLE = -9999.0
"""The number that vLLM writes for a log-probability of minus infinity."""

ROUNDING = 1e-3
"""How far a probability, or a log-probability in nats, may lie outside its range."""


@dataclass(frozen=True, slots=True)
class Field:
    """A value of an answer.

    Attributes:
        url: the server that sent it.
        path: its place in the answer; empty for the whole answer.
    """

    url: str
    value: Any
    path: str = ""

    def __getitem__(self, key: str | int) -> Field:
        """The value at a name or an index."""
        value: Any = self.value
        inside = cast(Any, value) if isinstance(value, list if isinstance(key, int) else dict) else cast(Any, ())
        path = f"{self.path}[{key}]" if isinstance(key, int) else f"{self.path}.{key}".removeprefix(".")
        try:
            return Field(self.url, inside[key], path)
        except (KeyError, IndexError, TypeError):
            raise EngineError(f"{self.url}: the answer has no {path}; is it vLLM 0.32 or newer?") from None

    def find(self, key: str) -> Field | None:
        """The value at a name; None if it is missing or null."""
        value: Any = self.value
        if not isinstance(value, dict):
            raise self._wrong("object")
        return None if cast(dict[str, Any], value).get(key) is None else self[key]

    def by_token(self) -> dict[int, Field]:
        """The values of an object whose names are tokens (`token_id:7`); there is at least one."""
        value: Any = self.value
        names = list(map(str, cast(dict[Any, Any], value))) if isinstance(value, dict) else []
        ids = [name.removeprefix("token_id:") for name in names]
        if not ids or not all(token.isdecimal() for token in ids):
            raise self._wrong("object of tokens")
        return {int(token): self[name] for token, name in zip(ids, names, strict=True)}

    def items(self, length: int | None = None, first: int = 0) -> list[Field]:
        """The entries of a list from index `first` on; `length` is the required length of the list, None for any."""
        value: Any = self.value
        if not isinstance(value, list):
            raise self._wrong("list")
        entries = len(cast(list[Any], value))
        if length is not None and entries != length:
            raise EngineError(f"{self.url}: {self.path} has {entries} entries, not {length}; see its log")
        return [self[place] for place in range(first, entries)]

    def in_order(self, length: int) -> list[Field]:
        """The entries of a list of `length`, which number themselves from 0 (`index`)."""
        entries = self.items(length)
        for place, entry in enumerate(entries):
            if (index := entry["index"]).count() != place:
                raise EngineError(f"{self.url}: {index.path} is {index.value}, not {place}; see its log")
        return entries

    def count(self) -> int:
        """A whole number from 0 to 2^31: tokens, or one token's id."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not 0 <= self.value <= 1 << 31:
            raise self._wrong("count")
        return self.value

    def log_probability(self) -> float:
        """Nats; -inf if the token is impossible."""
        value = self._number("log-probability")
        if value > ROUNDING:
            raise self._wrong("log-probability")
        return -math.inf if value <= IMPOSSIBLE else value

    def log_probability_of_sample(self) -> float:
        """Nats; finite, since a sampled token is not impossible."""
        if (value := self.log_probability()) == -math.inf:
            raise self._wrong("log-probability of a token that was sampled")
        return value

    def probability(self) -> float:
        """In [0, 1]."""
        value = self._number("probability")
        if not -ROUNDING <= value <= 1 + ROUNDING:
            raise self._wrong("probability")
        return min(max(value, 0.0), 1.0)

    def packed_log_probabilities(self, length: int) -> list[float]:
        """Nats of `length` tokens, from the first column of an array in numpy's format, base64-encoded."""
        try:
            rows = np.lib.format.read_array(io.BytesIO(base64.b64decode(self.value)), allow_pickle=False)
        except (ValueError, TypeError, EOFError, binascii.Error):
            raise self._wrong("array") from None
        if rows.ndim != 2 or rows.shape[1] < 1 or rows.dtype.kind != "f":
            raise self._wrong("array of log-probabilities")
        scores = Field(self.url, rows[:, 0].tolist(), self.path)
        return [score.log_probability() for score in scores.items(length)]

    def _number(self, what: str) -> float:
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            raise self._wrong(what)
        try:
            value = float(self.value)
        except OverflowError:  # a whole number beyond all floats
            raise self._wrong(what) from None
        if math.isnan(value):
            raise self._wrong(what)
        return value

    def _wrong(self, what: str) -> EngineError:
        shown = json.dumps(self.value, default=repr)
        shown = shown if len(shown) <= 40 else f"{shown[:40]}..."
        fix = "see its log"
        if self.value is None or isinstance(self.value, float):
            fix = f"if its model overflows, {ANOTHER_DTYPE}"
        return EngineError(f"{self.url}: {self.path or 'the answer'} is {shown}, not a valid {what}; {fix}")
