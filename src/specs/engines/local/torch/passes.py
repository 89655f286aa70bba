"""Passes over few tokens, recorded once and replayed: on CUDA, a pass is then one call instead of a thousand.

What is recorded is a sequence of kernels with the addresses that they read and write, so everything that
changes from pass to pass lies in tensors that stay where they are: tokens, positions, the entries to write,
and the mask.
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
"""Makes of work its recording, which does it again and returns the same tensor every time."""

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""New tokens of recorded passes; a pass runs with the next size up. Beyond, computing takes longer than calling.

Tokens that are guessed for candidates (`specs.methods.speculation`) need the last one: 8 candidates with 8 guesses
each are 72."""

_ONE_AT_A_TIME = threading.Lock()


class Pass:
    """A pass of up to `size` new tokens over the first `span` entries of a buffer.

    The last of these takes what surplus tokens write; entries that are in use end before it.
    Surplus tokens repeat the first one, so that a row never sees less than a token does: kernels that find nothing
    to see in the first entries that they read may answer NaN, which a mask does not hide from later passes.
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
        """`visible`: [new, used + new]. Returns [len(want), width], which later passes leave alone."""
        (new, entries), (size, span) = visible.shape, self._visible.shape
        numbers = np.empty((3, size), np.int64)
        numbers[:2, :new] = ids, positions
        numbers[:2, new:] = numbers[:2, :1]
        numbers[2] = self._spare
        numbers[2, :new] = np.arange(entries - new, entries)
        mask = np.zeros((size, span), bool)
        mask[:new, :entries] = visible
        mask[new:] = mask[0]
        # Nothing waits here, so that what follows is called while the pass still computes.
        rows = torch.from_numpy(want).to(self._numbers.device, non_blocking=True)
        with _ONE_AT_A_TIME:  # between replay and copy no other pass may write to memory that both use
            self._numbers.copy_(torch.from_numpy(numbers), non_blocking=True)
            self._visible.copy_(torch.from_numpy(mask), non_blocking=True)
            return self._replay().index_select(0, rows)


def cuda_graphs(device: torch.device) -> Record:
    """`Record` by CUDA graphs on a device, whatever device is torch's current one."""

    def record(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        with torch.cuda.device(device):
            pool, stream, _ = _pool(device)
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                work()  # libraries set aside their memory at the first call, which cannot be recorded
            torch.cuda.current_stream().wait_stream(stream)
            graph, rows = _captured(work, pool, stream)

        def replay() -> Tensor:
            graph.replay()
            return rows

        return replay

    return record


def _captured(work: Callable[[], Tensor], pool: Any, stream: Any) -> tuple[Any, Tensor]:
    """The graph of `work`, and the tensor in the pool that it computes."""
    graph = torch.cuda.CUDAGraph()
    # Other threads may go on calling kernels meanwhile.
    with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
        rows = work()
    return graph, rows


@cache
def _pool(device: torch.device) -> tuple[Any, Any, Any]:
    """Memory that all recordings on a device share, the stream that they are made on, and one that is kept.

    torch shares memory between recordings of the same stream only. It cannot record into memory all of whose
    recordings are gone: an assertion of its allocator fails.
    """
    pool, stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def work() -> Tensor:
        return torch.zeros(1, device=device)

    work()
    return pool, stream, _captured(work, pool, stream)


class Waits(Exception):
    """Work on CUDA stops to read what it has computed, so it cannot be recorded."""


def never_waiting(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """`Record` that records nothing; raises `Waits`. No other thread may wait for CUDA meanwhile."""
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
        # torch warns that this mode does not find everything; what it misses fails when it is recorded.
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode(mode)
