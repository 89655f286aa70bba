"""Tokens of two formulas as LaTeX that math-verify reads as they are meant.

Decimals become fractions, since it compares floating-point numbers with a tolerance. Capital letters get
other ones where they would be mistaken: it takes `R` and `r` for the same symbol, and `I^2` for `I`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from specs.core.answer_lexer import Token
from specs.core.answers import rational

_MARKS = frozenset("+-/^_()[]{},=<>|!&'%")
_FREE = "abcdfghjklmnopqrstuvwxyz"
"""Letters without a meaning of their own."""
_BINDING = frozenset(["\\sum", "\\prod", "\\int"])


def latex_pair(one: Sequence[Token], other: Sequence[Token], scales: Sequence[Fraction]) -> tuple[str, str] | None:
    """Two formulas, each times its scale, in LaTeX; None if one holds what is no formula (words, `1 2`)."""
    names = {token.text for token in (*one, *other) if token.kind == "command"}
    names |= {letter for token in (*one, *other) if token.kind == "letters" for letter in token.text}
    mistaken = sorted(name for name in names if name == "I" or (name != name.lower() and name.lower() in names))
    lower = {name.lower() for name in names}
    free = [letter for letter in _FREE if letter not in lower]
    if len(free) < len(mistaken):
        return None
    renamed = dict(zip(mistaken, free, strict=False))
    marked = any(a.text == "i" and b.text in ("^", "_", "(") for found in (one, other) for a, b in pairwise(found))
    if not marked and not _BINDING & names:
        renamed["i"] = "I"  # what math-verify has for the imaginary unit
    texts = _latex(one, renamed), _latex(other, renamed)
    if texts[0] is None or texts[1] is None:
        return None
    if scales[0] == scales[1]:
        return texts[0], texts[1]
    return _times(scales[0], texts[0]), _times(scales[1], texts[1])


def _times(scale: Fraction, text: str) -> str:
    return rf"\frac{{{scale.numerator}}}{{{scale.denominator}}} ({text})"


def _latex(found: Sequence[Token], renamed: Mapping[str, str]) -> str | None:
    spelled: list[str] = []
    for position, token in enumerate(found):
        before = found[position - 1].text if position else ""
        if token.kind == "number":
            value = rational((token,))
            adjacent = position and found[position - 1].kind == "number"
            if value is None or (adjacent and (position < 2 or found[position - 2].text not in ("_", "^"))):
                return None
            text = str(value) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
            raised = position + 1 < len(found) and found[position + 1].text == "^" and value.denominator > 1
            text = f"({text})" if raised else text
        elif token.kind == "letters":
            text = " ".join(renamed.get(letter, letter) for letter in token.text)
        elif token.kind == "command":
            text = renamed.get(token.text, token.text)
        elif token.kind == "mark" and token.text in _MARKS:
            text = r"\%" if token.text == "%" else token.text
        else:
            return None
        spelled.append(f"{{{text}}}" if before in ("_", "^") and text != "{" else text)
    return " ".join(spelled)
