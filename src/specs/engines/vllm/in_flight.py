"""The requests of one session to a server, each sent once, and their token counts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from specs.engines.protocol import CheckStop, TokenCounts
from specs.engines.vllm.client import as_coroutine, gather, submit, wait
from specs.engines.vllm.server import Tally

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

Request = Callable[[K], Coroutine[Any, Any, tuple[T, Tally]]]
"""Makes a request for the answer to a question `K`, and returns the answer with its token positions."""


class InFlightRequests:
    """The requests of one session. It sends each one once: when it needs the answer, or earlier."""

    def __init__(self, counts: TokenCounts, check_stop: CheckStop) -> None:
        self._counts, self._check_stop = counts, check_stop
        self._in_flight: dict[Hashable, Future[Any]] = {}

    def submit(self, question: K, work: Request[K, T]) -> Future[tuple[T, Tally]] | None:
        """Send a request before the session needs its answer; None if it is in flight already."""
        if question in self._in_flight:
            return None
        self._in_flight[question] = future = submit(work(question))
        return future

    def answers(self, questions: Sequence[K], work: Request[K, T]) -> list[T]:
        """The answer to each question; the requests run at the same time. Nothing is in flight afterwards."""
        in_flight, self._in_flight = self._in_flight, {}
        new = [question for question in dict.fromkeys(questions) if question not in in_flight]
        running = [*map(as_coroutine, in_flight.values()), *map(work, new)]
        answers = wait(gather(running), self._check_stop)
        found: dict[Hashable, Any] = dict(zip([*in_flight, *new], map(self.counted, answers), strict=True))
        return [found[question] for question in questions]

    def counted(self, answer: tuple[T, Tally]) -> T:
        """Count the positions of an answer and return its value."""
        value, tally = answer
        self._counts.processed += tally.processed
        self._counts.cached += tally.cached
        return value
