"""Finds where a step ends, token by token (`specs.types.StepPolicy`)."""

from __future__ import annotations

import re

from specs.engines.text import Text, to_text
from specs.types import End, StepPolicy


class Stepper:
    """Receives the tokens of one candidate and says when its step ends.

    A step ends at the first token whose text completes the delimiter after non-blank text, at end-of-text, at the cap,
    or, inside the thinking, at the token that closes it. The stepper keeps text as bytes, so it handles characters that
    span tokens and delimiters inside a token.
    """

    def __init__(self, policy: StepPolicy, text: Text, cap: int, close_id: int | None = None) -> None:
        """`close_id` is the token that closes the thinking; None outside it."""
        self._text, self._cap, self._close_id = text, cap, close_id
        self._delimiter = policy.delimiter.encode() if policy.delimiter and policy.pattern is None else None
        self._pattern = re.compile(policy.pattern) if policy.pattern else None
        self._data = bytearray()
        self._solid: int | None = None
        """Index of the first non-blank byte."""
        self._count = 0

    def push(self, token: int) -> End | None:
        """Add a token; returns how the step ends with it, or None if it continues."""
        self._count += 1
        if token in self._text.end_ids:
            return End.END_OF_TEXT
        piece = self._text.piece(token)
        self._data += piece
        if token == self._close_id:
            return End.CLOSE
        if self._solid is None:
            blank = len(self._data) - len(self._data.lstrip())
            self._solid = blank if blank < len(self._data) else None
        if self._solid is not None and self._closed(len(piece)):
            return End.DELIMITER
        return End.CAP if self._count >= self._cap else None

    def _closed(self, added: int) -> bool:
        assert self._solid is not None
        if self._pattern is not None:
            return self._pattern.search(self.text, len(to_text([bytes(self._data[: self._solid])]))) is not None
        if self._delimiter is None:
            return False
        # Only text that includes the last token can complete the delimiter now.
        start = max(self._solid, len(self._data) - added - len(self._delimiter) + 1)
        return self._data.find(self._delimiter, start) >= 0

    @property
    def text(self) -> str:
        return to_text([bytes(self._data)])
