"""Memory of caches, lent to one cache after the other."""

from __future__ import annotations

from typing import Generic, TypeVar

Room = TypeVar("Room")

SPARE_ROOMS = 4
"""Memory of so many caches is kept for caches to come: to set up new memory costs a short solve a tenth."""


class Lent(Generic[Room]):
    """Memory that goes back to the `spare` ones, if few lie there, when nobody refers to this any more."""

    __slots__ = ("_spare", "room")

    def __init__(self, room: Room, spare: list[Room]) -> None:
        self.room, self._spare = room, spare

    def __del__(self) -> None:
        if len(self._spare) < SPARE_ROOMS:
            self._spare.append(self.room)
