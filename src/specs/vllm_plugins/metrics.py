"""Metrics by which a server shows which plugins run in it."""

# pyright: reportMissingImports=false
from __future__ import annotations


def tell(metric: str, meaning: str) -> None:
    """Set `metric` to 1 in the server's /metrics; a second time does nothing."""
    from prometheus_client import REGISTRY, Gauge

    if metric not in REGISTRY._names_to_collectors:
        Gauge(metric, meaning).set(1)
