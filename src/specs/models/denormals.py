"""Numbers below 1e-38 as zeros, for one piece of work in one thread and nothing else.

Sharp attention leaves such weights, and processors calculate with them many times slower. Whether they
do is part of a thread's floating-point environment (C99's fenv.h), which belongs to whoever called us.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager

ROOM = 64
"""Bytes for a `fenv_t`: 32 on x86-64, 16 on ARM."""
CONTROL = {  # where `fenv_t` holds the control word (32 bits), and the bits that flush results and inputs
    ("Linux", "x86_64"): (28, 0x8040),
    ("Darwin", "x86_64"): (4, 0x8040),
    ("Linux", "aarch64"): (0, 1 << 24),
    ("Darwin", "arm64"): (8, 1 << 24),
}


def _library() -> ctypes.PyDLL | None:
    """The C library's mathematics, called without giving up the interpreter; None on other systems."""
    if (platform.system(), platform.machine()) not in CONTROL:
        return None
    try:
        library = ctypes.PyDLL(ctypes.util.find_library("m"))
        return library if library.fegetenv and library.fesetenv else None
    except (OSError, AttributeError):
        return None


LIBRARY = _library()


@contextmanager
def flushed() -> Iterator[None]:
    """Inside, numbers below 1e-38 are zeros in this thread; without effect where there is no `LIBRARY`."""
    if LIBRARY is None:
        yield
        return
    before = _environment(LIBRARY)
    inside = ctypes.create_string_buffer(before.raw, ROOM)
    place, bits = CONTROL[platform.system(), platform.machine()]
    (word,) = struct.unpack_from("<I", inside, place)
    struct.pack_into("<I", inside, place, word | bits)
    LIBRARY.fesetenv(inside)
    try:
        yield
    finally:
        LIBRARY.fesetenv(before)


def _environment(library: ctypes.PyDLL) -> ctypes.Array[ctypes.c_char]:
    held = ctypes.create_string_buffer(ROOM)
    library.fegetenv(held)
    return held
