"""Threads for solves, separate from the executors that the caller's own work uses."""

from __future__ import annotations

import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from specs.engines.protocol import Models

ON_SERVERS = 256
"""Solves whose models are on servers mostly wait, so many can run at the same time."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_process(models: Models) -> bool:
    """Whether a model that writes runs in this process, so that more solves than cores only slow each other down."""
    return any(model.in_process for model in (models.draft, models.target) if model is not None)


def threads_for(models: Models) -> ThreadPoolExecutor:
    """The threads for solves under asyncio: as many as cores for models in this process; further solves wait."""
    return _IN_PROCESS if in_process(models) else _ON_SERVERS


@dataclass(eq=False)
class Crowd:
    """The solves that have shared the cores of this process with one of them.

    Attributes:
        most: the most that ran at the same time, itself included.
    """

    most: int = 0


@contextmanager
def sharing_cores(models: Models) -> Generator[Crowd]:
    """Count a solve among those that run on models in this process; models on servers share no cores with it."""
    crowd = Crowd()
    if not in_process(models):
        yield crowd
        return
    with _lock:
        _running.append(crowd)
        for other in _running:
            other.most = max(other.most, len(_running))
    try:
        yield crowd
    finally:
        with _lock:
            _running.remove(crowd)


_lock = Lock()
_running: list[Crowd] = []
_IN_PROCESS = ThreadPoolExecutor(cores(), thread_name_prefix="specs-solve")
_ON_SERVERS = ThreadPoolExecutor(ON_SERVERS, thread_name_prefix="specs-solve")
