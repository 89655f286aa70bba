"""Tells questions that the bundled models were made for from others, by their words."""

from __future__ import annotations

import re

from specs.bundled.problems import DAYS, HE, PACKS, SHE, SINGULAR, THINGS

_NUMBER = re.compile(r"\d")
_WORD = re.compile(r"[^\W\d_]+")
_WORDS = frozenset(word.lower() for word in (*SHE, *HE, *THINGS, *PACKS, *SINGULAR.values(), *DAYS)) | frozenset(
    """
    a after again age all among and are as away bag becomes break brings buys comes costs do does dollars doubles each
    end equal equally everything fewer finds friends from gets gifts gives half has have he her him how in into is it
    keeps large left lives loses many miles more new now number of old on once one ones people pile piles puts room same
    sells share shares she splits starts than that the them then there those times to together triples week what with
    years
    """.split()
)
"""All words of the grammar, and a few that change nothing ("left", "what", "from")."""
_SHOWN = 3

SCOPE = (
    "The bundled models can solve only word problems of their own kind: "
    "short stories about how many things a person has."
)
"""What the bundled models can do, in one sentence."""


def caveat(question: str) -> str | None:
    """Why a question is beyond the bundled models; None if it looks like one of theirs.

    They know the word problems of `specs.bundled.problems` and nothing else. So a question with words that never occur
    there, without a number, or that does not ask "how many" is beyond them.
    """
    words = _WORD.findall(question)
    strange = list(dict.fromkeys(word for word in words if word.lower() not in _WORDS))
    if not strange and _NUMBER.search(question) and {"how", "many"} <= {word.lower() for word in words}:
        return None
    reason = f"do not know {', '.join(map(repr, strange[:_SHOWN]))}" if strange else "need numbers and 'how many'"
    return (
        f"the bundled models know only short stories about how many things a person has, and {reason}: "
        "do not trust this answer ('specs solve --example' shows a question of their kind)"
    )
