"""Timing of work on a torch device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from specs.core.statistics import percentiles


def timed(
    call: Callable[[], object], device: str, repeats: int, after: Callable[[], object] | None = None
) -> dict[str, Any]:
    """Milliseconds of a call, as [median, 10%, 90%] over `repeats` calls after one that warms up.

    Args:
        after: called after each call, untimed.

    Returns:
        device_ms: time between events before and after the work on the device; without a GPU the same as wall_ms.
        wall_ms: time until the device is done.
        host_ms: time until the call returns.
        first_ms: time of the first call until the device is done, a single number.
    """
    gpu = device.startswith("cuda")
    found: dict[str, list[float]] = {"device_ms": [], "wall_ms": [], "host_ms": []}
    for _ in range(repeats + 1):
        wait(device)
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if gpu else []
        begun = time.perf_counter()
        for event in events[:1]:
            event.record()
        call()
        for event in events[1:]:
            event.record()
        returned = time.perf_counter()
        wait(device)
        done = time.perf_counter()
        found["wall_ms"].append(1e3 * (done - begun))
        found["host_ms"].append(1e3 * (returned - begun))
        found["device_ms"].append(events[0].elapsed_time(events[1]) if gpu else found["wall_ms"][-1])
        if after is not None:
            after()
    first = round(found["wall_ms"][0], 3)
    return {**{name: spread(some[1:]) for name, some in found.items()}, "first_ms": first}


def spread(some: Sequence[float]) -> list[float]:
    """Median, 10th and 90th percentile."""
    return [round(value, 4) for value in percentiles(some, (50, 10, 90))]


def wait(device: str) -> None:
    """Wait until the device has finished all work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
