"""Exact models with a clock that only their passes advance."""

from __future__ import annotations

import threading
from typing import Any

from helpers import toy
from specs.engines.protocol import Models
from specs.types import Role

COST = {Role.DRAFT: 0.001, Role.TARGET: 0.01, Role.PRM: 0.003}
"""Seconds of a pass."""


class Clock:
    """Stands in for the module `time`; advances only when a model computes."""

    def __init__(self) -> None:
        self.now, self.lock = 100.0, threading.Lock()

    def perf_counter(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        with self.lock:
            self.now += seconds


def ticking(clock: Clock, slower: float = 1.0, **options: Any) -> Models:
    """Exact models with passes of constant time; their traces have several steps."""
    found = toy.models(toy.table(1, end=-6.0), toy.table(2, end=-6.0), **options)
    for role in Role:
        backend = getattr(found, role).backend

        def forward(*args: Any, inner: Any = backend.forward, role: Role = role) -> Any:
            clock.tick(slower * COST[role])
            return inner(*args)

        backend.forward = forward
    return found
