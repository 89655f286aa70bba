"""Memory of caches, lent to one cache after the other."""

from __future__ import annotations

from typing import Any, Generic, TypeVar
from weakref import WeakSet

Room = TypeVar("Room")

SPARE_ROOMS = 4
"""Memory of so many caches is kept for caches to come: to set up new memory costs a short solve a tenth."""


class Spare(Generic[Room]):
    """Rooms of one model that no cache uses: `SPARE_ROOMS` of them, or as many as were ever lent at the same time.

    Safe in threads, and when the garbage collector gives a room back in the middle of another call.
    """

    def __init__(self) -> None:
        self._rooms: list[Room] = []
        self._lent: set[int] = set()
        self._most = SPARE_ROOMS
        _ALL.add(self)

    def __len__(self) -> int:
        return len(self._rooms)

    def take(self) -> Room | None:
        """A room that was used before; None if there is none."""
        try:
            return self._rooms.pop()
        except IndexError:
            return None

    def lent(self, room: Room) -> None:
        self._lent.add(id(room))
        self._most = max(self._most, len(self._lent))

    def back(self, room: Room, keep: bool = True) -> None:
        self._lent.discard(id(room))
        if keep and len(self._rooms) < self._most:
            self._rooms.append(room)

    def clear(self) -> int:
        """Let go of all rooms that no cache uses; returns how many there were."""
        count = 0
        while self.take() is not None:
            count += 1
        return count


_ALL: WeakSet[Spare[Any]] = WeakSet()


def clear_all() -> int:
    """`Spare.clear` of every model of the process, for one that has run out of memory."""
    return sum(spare.clear() for spare in list(_ALL))


class Lent(Generic[Room]):
    """A room that goes back to the `spare` ones when nobody refers to this any more."""

    __slots__ = ("_spare", "room")

    def __init__(self, room: Room, spare: Spare[Room]) -> None:
        self.room, self._spare = room, spare
        spare.lent(room)

    def __del__(self) -> None:
        self._spare.back(self.room)
