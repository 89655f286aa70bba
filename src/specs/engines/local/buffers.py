"""How large caches are, and the buffers of deleted caches, which new caches use again."""

from __future__ import annotations

from typing import Any, Generic, TypeVar
from weakref import WeakSet

Buffer = TypeVar("Buffer")

SPARE_BUFFERS = 4
"""Buffers that a pool keeps for later caches: allocating new memory takes a tenth of a short solve's time."""


MOST_SPARE_ENTRIES = 4096
"""The most entries that a cache grows by at a time beyond those that it needs."""


def enlarged(capacity: int, entries: int) -> int:
    """The entries of a full cache of `capacity` entries after it has grown to hold `entries`.

    It doubles, so that a solve seldom moves its cache, but long traces do not take twice the memory that they need.
    """
    return max(entries, min(2 * capacity, capacity + MOST_SPARE_ENTRIES))


class BufferPool(Generic[Buffer]):
    """The spare buffers of one model: `SPARE_BUFFERS` of them, or as many as caches ever used at the same time.

    Threads may use it at the same time, and the garbage collector may return a buffer in the middle of another call.
    """

    def __init__(self) -> None:
        self._spare: list[Buffer] = []
        self._lent: set[int] = set()
        self._most = SPARE_BUFFERS
        _POOLS.add(self)

    def __len__(self) -> int:
        return len(self._spare)

    def take(self) -> Buffer | None:
        """A spare buffer; None if there is none."""
        try:
            return self._spare.pop()
        except IndexError:
            return None

    def lend(self, buffer: Buffer) -> None:
        """Note that a cache uses this buffer."""
        self._lent.add(id(buffer))
        self._most = max(self._most, len(self._lent))

    def put_back(self, buffer: Buffer, keep: bool = True) -> None:
        """Note that no cache uses this buffer any more, and `keep` it as a spare one if the pool is not full."""
        self._lent.discard(id(buffer))
        if keep and len(self._spare) < self._most:
            self._spare.append(buffer)

    def clear(self) -> int:
        """Release all spare buffers; returns how many there were."""
        count = 0
        while self.take() is not None:
            count += 1
        return count


_POOLS: WeakSet[BufferPool[Any]] = WeakSet()


def release_spare_buffers() -> int:
    """Release the spare buffers of every model in this process; returns how many there were."""
    return sum(pool.clear() for pool in list(_POOLS))


class PooledBuffer(Generic[Buffer]):
    """A buffer that returns to its pool when nothing refers to this object any more."""

    __slots__ = ("_pool", "buffer")

    def __init__(self, buffer: Buffer, pool: BufferPool[Buffer]) -> None:
        self.buffer, self._pool = buffer, pool
        pool.lend(buffer)

    def __del__(self) -> None:
        self._pool.put_back(self.buffer)
