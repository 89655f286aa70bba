"""Refusals of a client that does not keep to `Retry-After` are answered late, so that they cost the server little."""

from __future__ import annotations

import time

FEW = 8
"""Refusals of one client within `WINDOW_S` that are answered at once."""
WINDOW_S = 1.0
PAUSE_S = 1.0
"""Seconds by which further refusals are answered later; `Retry-After` asks for at least as many."""
_MANY = 1024
"""Clients after which those without recent refusals are forgotten."""


class Patience:
    """Counts the refusals of each client."""

    def __init__(self) -> None:
        self._recent: dict[str, tuple[float, int]] = {}

    def pause_s(self, client: str) -> float:
        """Count a refusal of a client; the seconds to wait before it is answered."""
        now = time.monotonic()
        begun, count = self._recent.get(client, (now, 0))
        if now - begun > WINDOW_S:
            begun, count = now, 0
        if len(self._recent) >= _MANY:
            self._recent = {name: one for name, one in self._recent.items() if now - one[0] <= WINDOW_S}
        self._recent[client] = begun, count + 1
        return PAUSE_S if count >= FEW else 0.0
