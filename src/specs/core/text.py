"""Text as people may see it."""

from __future__ import annotations

import re

_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that do not encode a stray byte: halves of characters, as in damaged JSON."""


def readable(text: str) -> str:
    """Join characters that a step's end had cut in two; mark bytes that form no character.

    Candidates carry stray bytes as surrogates (`surrogateescape`), so that joining the texts
    of two steps joins what was split between them. Any other surrogate is marked too.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = _NO_BYTE.sub("\ufffd", text).encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "replace")
