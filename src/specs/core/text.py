"""Text as people may see it."""

from __future__ import annotations


def readable(text: str) -> str:
    """Join characters that a step's end had cut in two; mark bytes that form no character.

    Candidates carry stray bytes as surrogates (`surrogateescape`), so that joining the texts
    of two steps joins what was split between them.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
