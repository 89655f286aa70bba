"""Passes over few tokens, recorded once and replayed: on CUDA, a pass is then one call instead of a thousand.

A recording is a sequence of kernels with the addresses that they read and write. So everything that changes from pass
to pass (tokens, positions, the entries to write, and the mask) lies in tensors that never move.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specs.engines.arrays import Bools, Ints
from specs.engines.local.torch.cache import KVBuffer

Compute = Callable[[Any, Tensor, Tensor, Tensor], Tensor]
"""A model: cache, ids [1, new], positions [1, new] and mask [1, 1, new, entries] to outputs [new, width]."""

Record = Callable[[Callable[[], Tensor]], Callable[[], Tensor]]
"""Records work; calling the recording does the work again and returns the same tensor every time."""

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""New tokens of recorded passes; a pass uses the next larger size. A pass of more tokens is not recorded, because it
computes for longer than the calls of its kernels take.

Token-level speculation (`specs.methods.token_speculation`) needs the last size: 8 candidates with 8 proposed tokens
each are 72 tokens."""

_ONE_AT_A_TIME = threading.Lock()


class Pass:
    """A pass of up to `size` new tokens over the first `span` entries of a buffer.

    If there are fewer than `size` new tokens, copies of the first one fill the pass. They write to the last of the
    `span` entries, which is never in use. As copies, they see what a token sees: for a row that sees none of the first
    entries that a kernel reads, the kernel may return NaN, and a mask does not hide NaN from later passes.
    """

    def __init__(
        self, buffer: KVBuffer, size: int, span: int, compute: Compute, record: Record, device: torch.device
    ) -> None:
        self._spare = span - 1
        self._numbers = torch.tensor([[0], [0], [self._spare]], device=device).repeat(1, size)
        self._visible = torch.ones(size, span, dtype=torch.bool, device=device)
        ids, positions, slots = self._numbers

        def work() -> Tensor:
            buffer.use.slots, buffer.use.span = slots, span
            try:
                return compute(buffer.cache, ids[None], positions[None], self._visible[None, None])
            finally:
                buffer.use.slots = None

        with _ONE_AT_A_TIME:
            self._replay = record(work)

    def __call__(self, ids: Ints, positions: Ints, visible: Bools, want: Ints) -> Tensor:
        """Compute [len(want), width] outputs, which later passes do not overwrite; `visible` is [new, used + new]."""
        (new, entries), (size, span) = visible.shape, self._visible.shape
        numbers = np.empty((3, size), np.int64)
        numbers[:2, :new] = ids, positions
        numbers[:2, new:] = numbers[:2, :1]
        numbers[2] = self._spare
        numbers[2, :new] = np.arange(entries - new, entries)
        mask = np.zeros((size, span), bool)
        mask[:new, :entries] = visible
        mask[new:] = mask[0]
        # Nothing here waits for the device, so the caller can queue more work while the pass computes.
        rows = torch.from_numpy(want).to(self._numbers.device, non_blocking=True)
        with _ONE_AT_A_TIME:  # no other pass may write to the shared memory between replay and copy
            self._numbers.copy_(torch.from_numpy(numbers), non_blocking=True)
            self._visible.copy_(torch.from_numpy(mask), non_blocking=True)
            return self._replay().index_select(0, rows)


def cuda_graphs(device: torch.device) -> Record:
    """`Record` by CUDA graphs on a device, whichever device is torch's current one."""

    def record(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        with torch.cuda.device(device):
            pool, stream, _ = _pool(device)
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                work()  # libraries allocate memory in the first call, which cannot be recorded
            torch.cuda.current_stream().wait_stream(stream)
            graph, rows = _captured(work, pool, stream)

        def replay() -> Tensor:
            graph.replay()
            return rows

        return replay

    return record


def _captured(work: Callable[[], Tensor], pool: Any, stream: Any) -> tuple[Any, Tensor]:
    """The graph of `work`, and the tensor in the pool that holds its result."""
    graph = torch.cuda.CUDAGraph()
    # Other threads may call kernels meanwhile.
    with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
        rows = work()
    return graph, rows


@cache
def _pool(device: torch.device) -> tuple[Any, Any, Any]:
    """Memory that all recordings on a device share, the stream on which they are made, and one recording to keep.

    torch shares memory only between recordings of the same stream. Its allocator fails an assertion if it records into
    memory whose recordings are all gone.
    """
    pool, stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def work() -> Tensor:
        return torch.zeros(1, device=device)

    work()
    return pool, stream, _captured(work, pool, stream)


class Waits(Exception):
    """Work on CUDA waits for its own results, so it cannot be recorded."""


def never_waiting(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """`Record` that records nothing and raises `Waits`. No other thread may wait for CUDA meanwhile."""
    before = torch.cuda.get_sync_debug_mode()
    _set_sync_debug_mode("error")
    try:
        work()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise Waits from error
    finally:
        _set_sync_debug_mode(before)
    return work


def _set_sync_debug_mode(mode: int | str) -> None:
    with warnings.catch_warnings():
        # torch warns that this mode does not find every wait; recording fails on those that it misses.
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode(mode)
