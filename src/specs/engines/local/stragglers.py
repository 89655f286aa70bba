"""Stragglers: candidates that are longer than enough others. The engine cuts them, so that no step waits for them.

If `enough` of `n` candidates suffice, `L` is the length of the `enough`-th shortest, and the engine cuts longer ones
after `L` tokens. `L` depends on the candidates alone, so the same ones survive however the engine batches its passes.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Hashable, Sequence
from typing import TypeVar

Place = TypeVar("Place", bound=Hashable)


class Stragglers:
    """Lengths of the candidates that have ended, by trace. Candidate `i` continues trace `i // n`."""

    def __init__(self, n: int, traces: int, share: float) -> None:
        """Of the `n` candidates of a trace, `share` (in (0, 1]) of them, rounded up, are enough."""
        self._n, self._enough = n, math.ceil(share * n)
        self._lengths: list[list[int]] = [[] for _ in range(traces)]

    @property
    def possible(self) -> bool:
        """Whether any candidate may be cut."""
        return self._enough < self._n

    def ended(self, candidate_idx: int, length: int) -> None:
        """Note that a candidate has ended with this many tokens."""
        insort(self._lengths[candidate_idx // self._n], length)

    def room(self, candidate_idx: int) -> float:
        """Tokens that a candidate may have: `L` over the candidates that have ended so far, which can only fall."""
        lengths = self._lengths[candidate_idx // self._n]
        return lengths[self._enough - 1] if len(lengths) >= self._enough else math.inf

    def without(self, live: dict[Place, list[int]], drawn: Sequence[Sequence[int]]) -> dict[Place, list[int]]:
        """The live candidates by place, except those that have used up their room."""
        kept = {
            place: [candidate_idx for candidate_idx in group if len(drawn[candidate_idx]) < self.room(candidate_idx)]
            for place, group in live.items()
        }
        return {place: group for place, group in kept.items() if group}
