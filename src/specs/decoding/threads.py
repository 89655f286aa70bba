"""Threads for solves, separate from the executors that the caller's own work uses."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

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


_IN_PROCESS = ThreadPoolExecutor(cores(), thread_name_prefix="specs-solve")
_ON_SERVERS = ThreadPoolExecutor(ON_SERVERS, thread_name_prefix="specs-solve")
