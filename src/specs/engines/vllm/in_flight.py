"""The requests of one session to a server, and their token counts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from specs.engines.event_loop import as_coroutine, gather, submit, wait
from specs.engines.protocol import CheckStop, TokenCounts
from specs.engines.vllm.tally import Tally

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

Request = Callable[[Sequence[K]], Coroutine[Any, Any, tuple[list[T], Tally]]]
"""Asks several questions `K` at once, and returns the answers with their token positions."""

AT_ONCE = 1024
"""The most questions in one request: vLLM's default limit of prompts (VLLM_MAX_COMPLETION_PROMPTS)."""


class InFlightRequests:
    """The requests of one session. Those whose answers it does not need yet run in the background."""

    def __init__(self, counts: TokenCounts, check_stop: CheckStop) -> None:
        self._counts, self._check_stop = counts, check_stop
        self._background: list[Future[tuple[Any, Tally]]] = []

    def submit(self, work: Coroutine[Any, Any, tuple[T, Tally]]) -> Future[tuple[T, Tally]]:
        """Start a request in the background."""
        self._background.append(future := submit(work))
        return future

    def answers(self, questions: Sequence[K], work: Request[K, T]) -> list[T]:
        """The answer to each question, each of which is asked once. Nothing is in flight afterwards."""
        distinct = list(dict.fromkeys(questions))
        asked = [distinct[first : first + AT_ONCE] for first in range(0, len(distinct), AT_ONCE)]
        background, self._background = self._background, []
        running = [*map(as_coroutine, background), *map(work, asked)]
        answers = [self.counted(answer) for answer in wait(gather(running), self._check_stop)]
        answer_to = dict(zip(distinct, [one for some in answers[len(background) :] for one in some], strict=True))
        return [answer_to[question] for question in questions]

    def counted(self, answer: tuple[T, Tally]) -> T:
        """Count the positions of an answer and return its value."""
        value, tally = answer
        self._counts.processed += tally.processed
        self._counts.cached += tally.cached
        return value
