"""Makes the text of steps printable."""

from __future__ import annotations

import re

_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates other than those of `surrogateescape`: halves of characters, as in damaged JSON."""


def readable(text: str) -> str:
    """The text with characters rejoined that a step's end had split, and U+FFFD for bytes that form no character.

    Candidates hold undecodable bytes as surrogates (`surrogateescape`), so concatenating the texts
    of two steps rejoins a character that was split between them. Any other surrogate becomes U+FFFD too.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = _NO_BYTE.sub("\ufffd", text).encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "replace")
