"""Metrics that show which plugins run in a server."""

# pyright: reportMissingImports=false
from __future__ import annotations


def announce(metric: str, meaning: str) -> None:
    """Set `metric` to 1 in the server's /metrics; idempotent."""
    from prometheus_client import REGISTRY, Gauge

    if metric not in REGISTRY._names_to_collectors:
        Gauge(metric, meaning).set(1)
