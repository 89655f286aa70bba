"""The text of a solve as it may be shown: whole characters, up to a stop string, and only what stays."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from specs.types import Result, StepRecord


class Output:
    """Grows with the steps of one solve; the parts that it gives out join to the text of the answer.

    A step of a search over several traces may not be part of the answer: it is given out at the end. What
    might be the beginning of a stop string waits until that is known.

    Attributes:
        stopped: a stop string was met; nothing follows.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = [one for one in stop if one]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._shown = 0
        self.stopped = False

    def feed(self, record: StepRecord) -> str:
        """What may be shown after this step and was not yet."""
        if self.stopped or not record.accepted or record.step is None or record.kept is not None:
            return ""
        return self._grow(self._decoder.decode(record.step.text.encode("utf-8", "surrogateescape")))

    def end(self, result: Result) -> str:
        """What is left to be shown."""
        if self.stopped:
            return ""
        shown = self._grow(result.text[len(self._text) :])
        if not self.stopped:
            shown += self._text[self._shown :]
            self._shown = len(self._text)
        return shown

    def _grow(self, more: str) -> str:
        self._text += more
        found = [place for one in self._stop if (place := self._text.find(one)) >= 0]
        if found:
            self.stopped = True
            self._text = self._text[: min(found)]
            safe = len(self._text)
        else:
            safe = len(self._text) - max((_begun(self._text, one) for one in self._stop), default=0)
        shown, self._shown = self._text[self._shown : safe], max(safe, self._shown)
        return shown


def _begun(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
