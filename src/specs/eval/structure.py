r"""Takes an answer apart: the entries of a list, the name and value of an equation, the content of brackets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

from specs.core.answer_lexer import Token
from specs.core.answer_tokens import render, tokens
from specs.core.answers import parts

Tokens = tuple[Token, ...]

BELOW, ABOVE = {"<": "(", "\\le": "["}, {">": ")", "\\ge": "]"}
"""Relations, each with the bracket for the bound on its left (`<`) or on its right (`>`)."""
_OPENING, _CLOSING = ("(", "[", "{", "\\{"), (")", "]", "}", "\\}")
_SYMBOL = (
    r"(?:\\(?:alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|varphi"
    r"|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega) ?|[A-Za-z])"
    r"(?:_(?:\w+|\\[A-Za-z]+ ?|\{[^{}]*\}))?'*"
)
_ARGUMENT = rf"(?:-?[\d./]+|{_SYMBOL})"
_NAME = re.compile(
    rf"{_SYMBOL}(?:(?:\^\{{-1\}})?\({_ARGUMENT}(?:[,|;]{_ARGUMENT})*\))?|[PE]\([^()]*\)"  # x, f(2), P(X>3)
    rf"|\({_SYMBOL}(?:,{_SYMBOL})+\)"  # (x,y)
    r"|[A-Z]{2,}|\|[A-Z]{2}\||\[[A-Z]{3,}\]"  # AB, |AB|, [ABC]
    r"|m?\\(?:angle|measuredangle|overline|triangle|vec|hat|widehat) ?\{?(?:[A-Za-z]+|\d)(?:_\w)?\}?"
    r"|\\frac\{(?:d|\\partial )[^{}]*\}\{(?:d|\\partial )[a-z]\}"  # dy/dx
    r"|[A-Z](?:\\(?:cup|cap|setminus) [A-Z])+"
)
_SYMBOLS = re.compile(_SYMBOL)
_MOST_SIGNS = 4
_INFINITY = Token("command", "\\infty")


def answers_of(text: str) -> list[Tokens]:
    r"""The answers in a text: the entries of a list or a set, with `\pm` as two answers; [] if there are none."""
    found = parts(tokens(text))
    if len(found) == 1 and (inside := enclosed(name_and_value(found[0])[1])) and inside[0] == "\\{":
        if not any(token.text in ("|", ":", "\\{", "\\emptyset") for token in inside[1]):  # no {x | x > 1}, no {{1}}
            found = parts(inside[1]) or [(Token("command", "\\emptyset"),)]
    return [answer for part in found for answer in _signs(part)]


def _signs(part: Tokens) -> list[Tokens]:
    r"""The answers of `1 \pm \sqrt2`, one for each sign; with `\mp` the signs are chosen together."""
    places = [token_idx for token_idx, token in enumerate(part) if token.text in ("\\pm", "\\mp")]
    if not places or len(places) > _MOST_SIGNS:
        return [part]
    together = any(part[token_idx].text == "\\mp" for token_idx in places)
    found: list[Tokens] = []
    for signs in ("+" * len(places), "-" * len(places)) if together else product("+-", repeat=len(places)):
        chosen = dict(zip(places, signs, strict=True))
        answer: list[Token] = []
        for token_idx, token in enumerate(part):
            sign = chosen.get(token_idx, "")
            if token.text == "\\mp":
                sign = "-" if sign == "+" else "+"
            if sign != "+" or (answer and answer[-1].text not in (*_OPENING, ",", "=", "\\in")):
                answer.append(Token("mark", sign) if sign else token)
        found.append(tuple(answer))
    return found


def split(found: Sequence[Token], *separators: str) -> list[Tokens]:
    """The tokens split at separators outside brackets; at least one part."""
    pieces: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if depth == 0 and token.text in separators:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return [tuple(piece) for piece in pieces]


def enclosed(found: Sequence[Token]) -> tuple[str, Tokens, str] | None:
    """Opening bracket, content and closing bracket if one pair encloses all tokens, as in `[0,1)`; else None."""
    if len(found) < 2 or found[0].text not in _OPENING or found[-1].text not in _CLOSING:
        return None
    depth = 0
    for position, token in enumerate(found):
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if depth == 0 and position < len(found) - 1:
            return None
    return found[0].text, tuple(found[1:-1]), found[-1].text


def unparenthesised(found: Tokens) -> Tokens:
    """The tokens without round brackets around a single value."""
    while (pair := enclosed(found)) and (pair[0], pair[2]) == ("(", ")") and len(parts(pair[1])) == 1:
        found = pair[1]
    return found


def name_and_value(part: Tokens) -> tuple[str, Tokens]:
    r"""Name and value of `x = 5`, `x \in [1,2]` and `1 \le x < 2`, which is `[1,2)`; the name is "" if there is none.

    The value of `x = \frac{1}{3} \approx 0.33` is the exact one.
    """
    exact, *rounded = split(part, "\\approx")
    if rounded and exact:
        if _is_name(exact):
            return render(exact), rounded[0]
        part = exact
    sides = split(part, "=")
    if len(sides) > 1 and all(sides):
        if _is_name(sides[0]):
            return render(sides[0]), sides[-1]
        if len(sides) == 2 and _is_name(sides[1]):
            return render(sides[1]), sides[0]
        value = tuple(token for token in sides[-1] if token.kind != "word")  # 3 * 200 = 600 metres
        return "", sides[-1] if all(map(is_constant, (*sides[:-1], value))) else part
    sides = split(part, "\\in")
    if len(sides) == 2 and _is_name(sides[0]) and sides[1]:
        return render(sides[0]), sides[1]
    if (pair := enclosed(part)) and pair[0] == "\\{":  # {x | 1 < x}
        sides = split(pair[1], "|", ":")
        if len(sides) == 2 and _is_name(sides[0]):
            return _interval(sides[1]) or ("", part)
    return _intersection(part) or _interval(part) or ("", part)


def is_equation(part: Tokens) -> bool:
    """Whether there is an equals sign outside brackets."""
    return len(split(part, "=")) > 1


def is_constant(found: Tokens) -> bool:
    """Whether a formula has no variable: numbers, e, i, pi and functions of them."""
    return bool(found) and all(
        token.kind == "number"
        or token.text in ("e", "i", "\\pi")
        or (token.kind in ("mark", "command") and not _SYMBOLS.fullmatch(token.text))
        for token in found
    )


def _is_name(found: Tokens) -> bool:
    """Whether these tokens can name a value left of `=`: a symbol, `f(2)`, `AB`, `\\angle A`, `P(A)`, or words."""
    words = [token.kind == "word" or (token.kind == "letters" and _is_word(token.text)) for token in found]
    points = [token.kind == "letters" and token.text.isupper() for token in found]
    named = bool(words) and words[0] and all(a or b for a, b in zip(words, points, strict=True))
    return named or _NAME.fullmatch(render(found)) is not None


def _is_word(text: str) -> bool:
    return text[1:].islower() and (len(text) > 4 or (len(text) > 2 and text[0].isupper()))


def _intersection(part: Tokens) -> tuple[str, Tokens] | None:
    """Name and interval of `x > 1 and x < 3`."""
    sides = split(part, "and")
    first, second = (_interval(side) for side in sides) if len(sides) == 2 else (None, None)
    if first is None or second is None or first[0] != second[0]:
        return None
    name, one = first
    other = second[1]
    if one[-2] != _INFINITY:
        one, other = other, one
    if one[-2] != _INFINITY or other[2] != _INFINITY:
        return None
    return name, (*one[:-3], *other[3:])


def _interval(part: Tokens) -> tuple[str, Tokens] | None:
    """Name and interval of one inequality or a chain of two."""
    for relations, turned in ((BELOW, False), (ABOVE, True)):
        sides = split(part, *relations)
        signs = [relations[token.text] for token in part if token.text in relations]
        if len(sides) not in (2, 3) or len(signs) != len(sides) - 1 or not all(sides):
            continue
        if turned:  # put the smaller side first
            sides, signs = sides[::-1], [{")": "(", "]": "["}[sign] for sign in reversed(signs)]
        closing = {"(": ")", "[": "]"}
        below: tuple[Tokens, str] = ((Token("mark", "-"), _INFINITY), "(")
        above: tuple[Tokens, str] = ((_INFINITY,), ")")
        if len(sides) == 3 and _is_name(sides[1]):
            name, below, above = sides[1], (sides[0], signs[0]), (sides[2], closing[signs[1]])
        elif len(sides) == 2 and _is_name(sides[0]):
            name, above = sides[0], (sides[1], closing[signs[0]])
        elif len(sides) == 2 and _is_name(sides[1]):
            name, below = sides[1], (sides[0], signs[0])
        else:
            continue
        return render(name), (
            Token("mark", below[1]),
            *below[0],
            Token("mark", ","),
            *above[0],
            Token("mark", above[1]),
        )
    return None
