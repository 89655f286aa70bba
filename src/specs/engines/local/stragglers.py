"""Candidates that are longer than enough others: where they are cut, so that nobody waits for them.

With `enough` of `n` candidates wanted, `L` is the length of the `enough`-th shortest. What is longer
is cut off after `L` tokens. That is a function of the candidates alone, so the same ones stay
whatever is computed together with what.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Hashable, Sequence
from typing import TypeVar

Place = TypeVar("Place", bound=Hashable)


class Stragglers:
    """Lengths of the candidates that have ended, trace by trace."""

    def __init__(self, n: int, traces: int, share: float) -> None:
        """`n` candidates a trace, of which the share (in (0, 1]) is enough, rounded up."""
        self._n, self._enough = n, math.ceil(share * n)
        self._lengths: list[list[int]] = [[] for _ in range(traces)]

    @property
    def possible(self) -> bool:
        """Whether any candidate may be cut."""
        return self._enough < self._n

    def ended(self, k: int, length: int) -> None:
        """Candidate `k`, counted over all traces, has ended with so many tokens."""
        insort(self._lengths[k // self._n], length)

    def room(self, k: int) -> float:
        """Tokens that candidate `k` may have: `L` of those that have ended so far, which can only fall."""
        lengths = self._lengths[k // self._n]
        return lengths[self._enough - 1] if len(lengths) >= self._enough else math.inf

    def without(self, live: dict[Place, list[int]], drawn: Sequence[Sequence[int]]) -> dict[Place, list[int]]:
        """Candidates by place, but for those that have not ended within their room."""
        kept = {place: [k for k in group if len(drawn[k]) < self.room(k)] for place, group in live.items()}
        return {place: group for place, group in kept.items() if group}
