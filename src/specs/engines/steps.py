"""Where a step ends, token by token (`specs.types.StepPolicy`)."""

from __future__ import annotations

import re

from specs.engines.text import Text, to_text
from specs.types import End, StepPolicy


class Stepper:
    """Watches one candidate grow.

    A step ends at the first token whose text completes the delimiter after non-blank text, at
    end-of-text, or at the cap. Text is kept as bytes, so a character that spans tokens, or a
    delimiter inside a token, is seen as it is.
    """

    def __init__(self, policy: StepPolicy, text: Text, cap: int) -> None:
        self._text, self._cap = text, cap
        self._delimiter = policy.delimiter.encode() if policy.delimiter and policy.pattern is None else None
        self._pattern = re.compile(policy.pattern) if policy.pattern else None
        self._data = bytearray()
        self._solid: int | None = None
        """Where the first non-blank byte stands."""
        self._count = 0

    def push(self, token: int) -> End | None:
        """Add a token; how the step ended with it, if it did."""
        self._count += 1
        if token in self._text.end_ids:
            return End.END_OF_TEXT
        piece = self._text.piece(token)
        self._data += piece
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
        # Only text that the last token touched can complete the delimiter now.
        start = max(self._solid, len(self._data) - added - len(self._delimiter) + 1)
        return self._data.find(self._delimiter, start) >= 0

    @property
    def text(self) -> str:
        return to_text([bytes(self._data)])
