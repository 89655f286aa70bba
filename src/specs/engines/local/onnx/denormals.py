"""Treats numbers below 1e-38 (denormals) as zeros, during one piece of work in one thread.

Sharp attention produces such weights, and processors are many times slower with them. The setting is part of the
thread's floating-point environment (C99's fenv.h), which belongs to the caller, so it is restored afterwards.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import platform

ROOM = 64
"""Bytes for a `fenv_t`: 32 on x86-64, 16 on ARM."""
CONTROL = {  # the offset of the control word (32 bits) in `fenv_t`, and the bits that flush results and inputs
    ("Linux", "x86_64"): (28, 0x8040),
    ("Darwin", "x86_64"): (4, 0x8040),
    ("Linux", "aarch64"): (0, 1 << 24),
    ("Darwin", "arm64"): (8, 1 << 24),
}.get((platform.system(), platform.machine()))


def _library() -> ctypes.PyDLL | None:
    """The C library's mathematics, called with the interpreter lock held; None on other systems."""
    if CONTROL is None:
        return None
    try:
        library = ctypes.PyDLL(ctypes.util.find_library("m"))
        return library if library.fegetenv and library.fesetenv else None
    except (OSError, AttributeError):
        return None


LIBRARY = _library()


class Flushed:
    """A context in which numbers below 1e-38 are zeros in this thread; it does nothing without `LIBRARY`.

    One thread at a time may enter it, any number of times.
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
