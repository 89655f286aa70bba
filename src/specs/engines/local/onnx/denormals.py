"""Numbers below 1e-38 as zeros, for one piece of work in one thread and nothing else.

Sharp attention leaves such weights, and processors calculate with them many times slower. Whether they
do is part of a thread's floating-point environment (C99's fenv.h), which belongs to whoever called us.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import platform

ROOM = 64
"""Bytes for a `fenv_t`: 32 on x86-64, 16 on ARM."""
CONTROL = {  # where `fenv_t` holds the control word (32 bits), and the bits that flush results and inputs
    ("Linux", "x86_64"): (28, 0x8040),
    ("Darwin", "x86_64"): (4, 0x8040),
    ("Linux", "aarch64"): (0, 1 << 24),
    ("Darwin", "arm64"): (8, 1 << 24),
}.get((platform.system(), platform.machine()))


def _library() -> ctypes.PyDLL | None:
    """The C library's mathematics, called without giving up the interpreter; None on other systems."""
    if CONTROL is None:
        return None
    try:
        library = ctypes.PyDLL(ctypes.util.find_library("m"))
        return library if library.fegetenv and library.fesetenv else None
    except (OSError, AttributeError):
        return None


LIBRARY = _library()


class Flushed:
    """Inside, numbers below 1e-38 are zeros in this thread; without effect where there is no `LIBRARY`.

    May be entered again and again, by one thread at a time.
    """

    __slots__ = ("_before", "_environment", "_word")

    def __init__(self) -> None:
        self._environment = ctypes.create_string_buffer(ROOM)
        self._word = ctypes.c_uint32.from_buffer(self._environment, CONTROL[0] if CONTROL else 0)

    def __enter__(self) -> None:
        if LIBRARY is None or CONTROL is None:
            return
        LIBRARY.fegetenv(self._environment)
        self._before = self._word.value
        self._word.value = self._before | CONTROL[1]
        LIBRARY.fesetenv(self._environment)

    def __exit__(self, *_: object) -> None:
        if LIBRARY is not None:
            self._word.value = self._before
            LIBRARY.fesetenv(self._environment)
