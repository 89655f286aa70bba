"""The visible text of a solve, its answer and its thinking: whole characters, and only text that is final."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from specs.core.text import readable
from specs.types import Candidate, End, Phase, Result, StepRecord, Thinking


class Output:
    """Turns the steps of one solve into pieces of text, which together are the answer, without the thinking before it.

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
        if self.stopped or not _final(record) or record.phase is Phase.THINKING:
            return ""
        return self._grow(self._decoder.decode(record.text.encode("utf-8", "surrogateescape")))

    def end(self, result: Result) -> str:
        """End the answer; returns the rest of its visible text."""
        if self.stopped:
            return ""
        shown = self._grow(result.answer_text[len(self._text) :])
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


class ThinkingOutput:
    """Turns the steps of one solve into pieces of text, which together are the thinking, without what closes it.

    As in `Output`, a search gives the whole text at the end. Stop strings do not apply to the thinking.
    """

    def __init__(self, thinking: Thinking | None) -> None:
        """`thinking` is how the models mark it; None if they do not think."""
        self._marker = "" if thinking is None else thinking.marker
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._shown = 0

    def feed(self, record: StepRecord) -> str:
        """Add a step; returns the text that has become visible."""
        if record.step is None or record.phase is not Phase.THINKING or not _final(record):
            return ""
        data = self._open(record.step).encode("utf-8", "surrogateescape")
        shown = self._decoder.decode(data, final=record.step.end is End.CLOSE)
        self._shown += len(shown)
        return shown

    def end(self, result: Result) -> str:
        """End the thinking; returns the rest of its visible text."""
        text = result.thinking
        last = [record.step for record in result.accepted if record.phase is Phase.THINKING][-1:]
        if last and last[0] is not None:
            text = text[: len(text) - len(readable(last[0].text)) + len(readable(self._open(last[0])))]
        return text[self._shown :]

    def _open(self, step: Candidate) -> str:
        """The text of a step without the marker that closes the thinking and the white space after it."""
        if step.end is not End.CLOSE:
            return step.text
        if step.forced:
            return step.text[: step.text.rindex(self._marker)]
        return step.text.removesuffix(self._marker)  # the token of a special marker has no text


def _final(record: StepRecord) -> bool:
    """Whether the step stays in the trace whatever follows."""
    return record.accepted and record.kept is None


def _partial_stop_length(text: str, stop: str) -> int:
    """Length of the longest suffix of `text` that is a proper prefix of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
