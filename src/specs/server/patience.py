"""Refusals of a client that does not keep to `Retry-After` are answered late, so that they cost the server little."""

from __future__ import annotations

import time

from specs.server.middleware import RateLimiter

FEW = 8
"""Refusals of one client within `WINDOW_S` that are answered at once."""
WINDOW_S = 1.0
PAUSE_S = 1.0
"""Seconds by which further refusals are answered later; `Retry-After` asks for at least as many."""


class Patience:
    """Counts the refusals of each client."""

    def __init__(self) -> None:
        self._at_once = RateLimiter(60 * FEW / WINDOW_S, time.monotonic, WINDOW_S)

    def pause_s(self, client: str) -> float:
        """Count a refusal of a client; the seconds to wait before it is answered."""
        return PAUSE_S if self._at_once.wait_s(client) else 0.0
