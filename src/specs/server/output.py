"""The visible text of a solve: whole characters, up to a stop string, and only text that is final."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from specs.types import Result, StepRecord


class Output:
    """Turns the steps of one solve into pieces of text, which together are the answer.

    In a search over several traces no step is final before the end, so the whole text comes at the end. `Output`
    holds back text that may be the start of a stop string until more text decides it.

    Attributes:
        stopped: whether a stop string has appeared; no text follows it.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = [stop_string for stop_string in stop if stop_string]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._shown = 0
        self.stopped = False

    def feed(self, record: StepRecord) -> str:
        """Add a step; returns the text that has become visible."""
        if self.stopped or not record.accepted or record.step is None or record.kept is not None:
            return ""
        return self._grow(self._decoder.decode(record.step.text.encode("utf-8", "surrogateescape")))

    def end(self, result: Result) -> str:
        """End the answer; returns the rest of its visible text."""
        if self.stopped:
            return ""
        shown = self._grow(result.text[len(self._text) :])
        if not self.stopped:
            shown += self._text[self._shown :]
            self._shown = len(self._text)
        return shown

    def _grow(self, more: str) -> str:
        self._text += more
        found = [place for stop_string in self._stop if (place := self._text.find(stop_string)) >= 0]
        if found:
            self.stopped = True
            self._text = self._text[: min(found)]
            safe = len(self._text)
        else:
            safe = len(self._text) - max(
                (_partial_stop_length(self._text, stop_string) for stop_string in self._stop), default=0
            )
        shown, self._shown = self._text[self._shown : safe], max(safe, self._shown)
        return shown


def _partial_stop_length(text: str, stop: str) -> int:
    """Length of the longest suffix of `text` that is a proper prefix of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
