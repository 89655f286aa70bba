r"""Writes the tokens of two formulas as LaTeX that math-verify reads correctly.

- Decimals become fractions, since math-verify compares floating-point numbers with a tolerance.
- Letters that it would misread are renamed: it treats `R` and `r` as the same symbol, `I^2` as `I`, and `d` as a
  differential.
- Arguments of functions get brackets, since it reads `\ln x \cdot x` as `\ln(x^2)`.
- `f(x)` becomes one symbol, since it reads it as f times x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from specs.core.answer_lexer import Token
from specs.core.answer_tokens import render
from specs.core.answers import rational

_MARKS = frozenset("+-/^_()[]{},=<>|!&'%")
_FREE = "abcdfghjklmnopqrstuvwxyz"
"""Letters without a special meaning."""
_BINDING = frozenset(["\\sum", "\\prod", "\\int"])
_LOGARITHMS = frozenset(["\\ln", "\\log", "\\lg"])
FUNCTIONS = _LOGARITHMS | frozenset(
    "\\" + name for name in "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan exp".split()
)
_ENDS = frozenset("+ - , = < > ) ] | \\} ; : \\cdot \\times \\pm \\mp \\le \\ge \\ne \\in & \\\\".split()) | FUNCTIONS
"""Tokens that end a function's argument without brackets."""
_APPLIED = frozenset("fgFGE")
"""Letters that are functions if a bracket follows. `P` is one only if an event follows; h(a + b) may be a product."""


def latex_pair(one: Sequence[Token], other: Sequence[Token], scales: Sequence[Fraction]) -> tuple[str, str] | None:
    """Two formulas in LaTeX, each multiplied by its scale; None if one is not a formula (words, `1 2`)."""
    applications: dict[str, Token] = {}
    one, other = (_bracketed(_opaque(found, applications)) for found in (one, other))
    names = {token.text for token in (*one, *other) if token.kind == "command"}
    names |= {letter for token in (*one, *other) if token.kind == "letters" for letter in token.text}
    clash = {"I"} | {name for name in names if name != name.lower() and name.lower() in names}
    mistaken = sorted(names & (clash if "\\int" in names else clash | {"d"}))
    lower = {name.lower() for name in names}
    free = [letter for letter in _FREE if letter not in lower]
    if len(free) < len(mistaken):
        return None
    renamed = dict(zip(mistaken, free, strict=False))
    marked = any(a.text == "i" and b.text in ("^", "_", "(") for found in (one, other) for a, b in pairwise(found))
    if not marked and not _BINDING & names:
        renamed["i"] = "I"  # math-verify's imaginary unit
    texts = _latex(one, renamed), _latex(other, renamed)
    if texts[0] is None or texts[1] is None:
        return None
    if scales[0] == scales[1]:
        return texts[0], texts[1]
    return _times(scales[0], texts[0]), _times(scales[1], texts[1])


def closing(found: Sequence[Token], start: int) -> int:
    """Index after the bracket that closes the one at `start`; the end if none does."""
    depth = 0
    for position in range(start, len(found)):
        text = found[position].text
        depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        if depth == 0:
            return position + 1
    return len(found)


def _opaque(found: Sequence[Token], applications: dict[str, Token]) -> list[Token]:
    """The tokens with each application of a function replaced by a symbol, the same symbol for the same spelling."""
    out: list[Token] = []
    position = 0
    while position < len(found):
        token = found[position]
        position += 1
        start = position
        if token.kind == "letters" and token.text[-1] in (*_APPLIED, "P"):
            while _text(found, start) == "'" or [_text(found, start + offset) for offset in range(5)] == [
                "^",
                "{",
                "-",
                "1",
                "}",
            ]:
                start += 1 if _text(found, start) == "'" else 5
        event = token.text[-1] in _APPLIED or _text(found, start + 1).isupper()
        if _text(found, start) == "(" and token.kind == "letters" and token.text[-1] in (*_APPLIED, "P") and event:
            end = closing(found, start)
            key = token.text[-1] + render(found[position:end])
            symbol = Token("command", rf"\psi_{{{101 + len(applications)}}}")
            if len(token.text) > 1:
                out.append(Token("letters", token.text[:-1]))
            out.append(applications.setdefault(key, symbol))
            position = end
        else:
            out.append(token)
    return out


def _bracketed(found: Sequence[Token]) -> list[Token]:
    """The tokens with brackets added around each function argument that has none."""
    out: list[Token] = []
    position = 0
    while position < len(found):
        out.append(found[position])
        position += 1
        if out[-1].text not in FUNCTIONS:
            continue
        logarithm = out[-1].text in _LOGARITHMS
        while _text(found, position) in ("_", "^"):  # a base, a power
            end = closing(found, position + 1) if _text(found, position + 1) == "{" else position + 2
            out += found[position:end]
            position = end
        if _text(found, position) in ("(", "{"):
            continue
        end, depth = position, 0
        while end < len(found) and (depth or end == position or found[end].text not in _ENDS):
            depth += (found[end].text in ("(", "[", "{")) - (found[end].text in (")", "]", "}"))
            if depth < 0 or (depth == 0 and logarithm and found[end].text == "/"):
                break
            if end == position and found[end].text == "|":
                end = next((other_end for other_end in range(end + 1, len(found)) if found[other_end].text == "|"), end)
            end += 1
        out += [Token("mark", "("), *_bracketed(found[position:end]), Token("mark", ")")]
        position = end
    return out


def _text(found: Sequence[Token], position: int) -> str:
    return found[position].text if position < len(found) else ""


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
        if text == "\\circ" and before == "^":  # a degree sign inside a formula
            spelled[-1] = r"\frac{\pi}{180}"
            continue
        spelled.append(f"{{{text}}}" if before in ("_", "^") and text != "{" else text)
    return " ".join(spelled)
