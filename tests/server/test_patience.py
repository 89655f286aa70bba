"""A client that is refused again and again gets its refusals late; others do not."""

import pytest

from specs.server import middleware
from specs.server import patience as module
from specs.server.patience import FEW, PAUSE_S, WINDOW_S, Patience


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_refusals_beyond_a_few_are_late_until_the_client_waits(clock):
    patience = Patience()
    assert [patience.pause_s("a") for _ in range(FEW + 3)] == [0.0] * FEW + [PAUSE_S] * 3
    assert patience.pause_s("b") == 0.0
    clock[0] += WINDOW_S + 0.01
    assert patience.pause_s("a") == 0.0


def test_clients_without_recent_refusals_are_forgotten(clock, monkeypatch):
    monkeypatch.setattr(middleware, "MAX_TRACKED_CLIENTS", 10)
    patience = Patience()
    for k in range(100):
        patience.pause_s(str(k))
        clock[0] += WINDOW_S / 5
    assert len(patience._at_once._busy_until) <= 10
