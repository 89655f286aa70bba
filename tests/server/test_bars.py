"""What the server withstands, as bars: hostile requests beside health checks and memory, and a client that floods it.

A busy machine delays the clients that measure. So each bar says when its measurement means nothing, and then the test
is skipped with the figures.
"""

import pytest

from server.bars import HOSTILE, flood_bar, hostile_bar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HEALTH_S = 0.05
"""The 99th percentile of health checks under hostile requests is below this, without waits for a core."""
MEMORY = 0.05
"""Memory after the hostile requests differs by at most this share."""
FLOOD = 2.0
"""The 95th percentile of polite clients grows at most by this factor when another client floods the server."""


def judged(holds, noisy, figures):
    """Assert a bar, unless the machine is too busy to measure it."""
    if not holds and noisy:
        pytest.skip(f"this machine is too busy: {figures}")
    assert holds, figures


def test_hostile_requests_delay_no_health_check_and_leave_no_memory(tmp_path):
    """Each answer is one of those that its request may get (`exchange.check`); the only 5xx is a deadline's 503."""
    found = hostile_bar(tmp_path)
    assert found["requests"] == HOSTILE
    assert {status for status in found["by_status"] if status >= "500"} <= {"503"}
    assert "defect" not in found["events"]
    before_kb, after_kb = found["memory_kb"]
    assert abs(after_kb / before_kb - 1) <= MEMORY
    p99_s, alone_s = found["health"]["own"]["p99"], [one["p99"] for one in found["health_alone"]]
    figures = f"p99 {p99_s:.3f} s, with waits for a core {found['health']['p99']:.3f} s, alone {max(alone_s):.3f} s"
    # Alone, a check takes a millisecond. If the machine adds half of the bar to that, it may add the whole.
    judged(p99_s < HEALTH_S, max(alone_s) > HEALTH_S / 2, figures)


def test_a_client_that_floods_the_server_at_most_doubles_the_times_of_others(tmp_path):
    """Ten clients with equal rights, nine of them polite; the middle of three rounds counts."""
    found = flood_bar(tmp_path)
    assert found["flood"]["429"] > 100  # it did flood
    alone_s = [one["p95"] for one in found["alone"]]
    figures = f"{found['ratio']:.2f} times, alone {min(alone_s):.2f} to {max(alone_s):.2f} s"
    judged(found["ratio"] <= FLOOD, max(alone_s) > 1.5 * min(alone_s), figures)
