r"""Normalises an answer's tokens: typography is dropped, everything that may carry meaning stays.

`\left(1,\tfrac12\right)`, `(1, \frac{1}{2})` and `(1,½)` have the same tokens. A number is one token
(`1,234`, `32{,}348`, `2.5e-3`), and white space never joins digits: `1 2` is two numbers. Words become
lower case, symbols keep their case: `\text{Yes}` is `yes`, but `R^2` is not `r^2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from specs.core.answer_lexer import Token, lex, to_latex

_SHORT = frozenset("no yes am pm or and if is to of in on by at an it we".split())
_ALONE = frozenset("yes no true false none even odd east west red blue pink gray grey mean mode both never".split())
"""Short words that are answers; any other short run of letters outside `\\text{...}` is a product of symbols."""

_LONGEST, _DEEPEST = 2000, 40
"""Characters and levels of brackets, in LaTeX, beyond which an answer is compared only as text."""


def tokens(answer: str) -> tuple[Token, ...]:
    """The tokens of an answer in LaTeX, Unicode or plain text; () if it has nothing but punctuation.

    A very long or deeply nested answer is a single word.
    """
    latex = to_latex(answer) if len(answer) <= _LONGEST else answer  # ½ becomes 11 characters
    if len(latex) > _LONGEST or _depth(latex) > _DEEPEST:
        return (Token("word", " ".join(answer.split())),)
    found = _signed(_grouped(list(lex(latex))))
    while found and found[-1].text in (".", ",", ";", ":", "\\\\"):
        found.pop()
    while found and found[0].text in ("=", ":"):
        found.pop(0)
    return _folded(found)


def render(found: Sequence[Token]) -> str:
    """Tokens as text: equal tokens give equal text, with white space only where two tokens need it."""
    text = found[0].text if found else ""
    for before, token in pairwise(found):
        named = token.kind in ("number", "letters", "word")
        command = before.kind == "command" and before.text[-1].isalpha()
        names = before.kind in ("letters", "word") and token.kind in ("letters", "word")
        unit = before.kind == "number" and token.kind == "word" and len(token.text) == 1  # 5 metres are not 5m
        numbers = token.kind == "number" and (before.kind == "number" or before.text == ".")
        apart = command or names or unit or numbers
        text += " " * (named and apart) + token.text
    return text


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _grouped(found: list[Token]) -> list[Token]:
    """The tokens with braces only around arguments of several tokens and around those of `\\frac` and `\\sqrt`."""
    out: list[Token] = []
    position = 0
    while position < len(found):
        token = found[position]
        position += 1
        if token.text in ("\\frac", "\\sqrt", "sqrt"):
            plain, token = token.text == "sqrt", replace(token, kind="command", text="\\" + token.text.lstrip("\\"))
            out.append(token)
            if token.text == "\\sqrt" and _text(found, position) == "[":
                end = _closing(found, position)
                out += [found[position], *_grouped(found[position + 1 : end]), Token("mark", "]")]
                position = end + 1
            for _ in range(1 + (token.text == "\\frac")):
                inner, position = _argument(found, position, "{(" if token.text == "\\sqrt" else "{", plain)
                out += [Token("mark", "{"), *inner, Token("mark", "}")]
        elif token.text in ("^", "_"):
            negative = _text(found, position) == "-"
            sign = [found[position]] if negative else []
            inner, position = _argument(found, position + negative, "{(" if token.text == "^" else "{", whole=True)
            inner = sign + inner
            out += [token, *(inner if len(inner) == 1 else [Token("mark", "{"), *inner, Token("mark", "}")])]
        elif token.text == "{":
            end = _closing(found, position - 1)
            inner = _grouped(found[position:end])
            needed = bool(out) and (out[-1].text == "}" or (out[-1].kind == "command" and out[-1].text[-1].isalpha()))
            out += [Token("mark", "{"), *inner, Token("mark", "}")] if needed else inner
            position = end + 1
        elif token.text != "}":
            out.append(token)
    return out


def _text(found: Sequence[Token], position: int) -> str:
    return found[position].text if position < len(found) else ""


def _closing(found: Sequence[Token], start: int) -> int:
    """Index of the bracket that closes the one at `start`; the end if none does."""
    opening = found[start].text
    closing = {"{": "}", "(": ")", "[": "]"}[opening]
    depth = 0
    for position in range(start, len(found)):
        depth += (found[position].text == opening) - (found[position].text == closing)
        if depth == 0:
            return position
    return len(found)


def _argument(found: list[Token], position: int, openings: str, whole: bool = False) -> tuple[list[Token], int]:
    """The argument of a command and where it ends: a group in brackets, or the first character of the next token (TeX).

    Args:
        whole: whether a number counts as a whole, as plain text means `x^12`.
    """
    if position >= len(found):
        return [], position
    token = found[position]
    if token.text in tuple(openings):
        end = _closing(found, position)
        return _grouped(found[position + 1 : end]), end + 1
    if token.kind in ("number", "letters") and len(token.text) > 1 and not (whole and token.kind == "number"):
        found[position] = replace(token, text=token.text[1:], apart=False)
        return [replace(token, text=token.text[0])], position
    return [token], position + 1


def _signed(found: list[Token]) -> list[Token]:
    """The tokens without the plus of `+4` and `1 + -2`; `+-` is plus-minus at the start of a value, else a minus."""
    out: list[Token] = []
    for position, token in enumerate(found):
        after = found[position + 1] if position + 1 < len(found) else token
        signed = after.text == "-"
        opens = not out or out[-1].text in ("(", "[", "{", ",", ";", "=", "\\{", "<", ">", "\\le", "\\ge")
        if token.text == "+" and opens and signed and not after.apart:
            out.append(replace(token, kind="command", text="\\pm"))
        elif token.text == "-" and out and out[-1].text == "\\pm" and not token.apart:
            continue
        elif not (token.text == "+" and (opens or signed)):
            out.append(token)
    return out


def _folded(found: list[Token]) -> tuple[Token, ...]:
    """The tokens with words in lower case, and with letters outside `\\text{...}` as words if they are not symbols.

    Letters count as words in two cases: the answer is no formula and some of its letters are certainly a word, by
    their length, their spelling (`Tom`) or a list; or they follow a number and a space (`5 cats`).
    """
    plain = all(token.kind in ("letters", "word", "number") or token.text in tuple("()&-.,;:/'$%") for token in found)
    texts = [token.text for token in found if token.kind == "letters"]
    prose = plain and any(len(text) > 4 or text.lower() in _ALONE or _is_title(text) for text in texts)
    out: list[Token] = []
    for before, token in zip([None, *found], found, strict=False):
        counted = before is not None and before.kind == "number"
        text, lower = token.text, token.text.lower()
        if token.kind == "word":
            known = len(text) > 3 or lower in _SHORT or _is_title(text) or (len(text) == 3 and text.isupper())
            token = replace(token, text=lower) if known else token
        elif token.kind == "letters" and len(text) > 1:
            symbols = text.isupper() and len(text) < 4 and lower not in _SHORT
            cats = counted and token.apart and text.islower() and len(text) > (2 if plain else 4)
            if (prose and not symbols) or cats or (counted and lower in ("am", "pm")):
                token = replace(token, kind="word", text=lower)
        out.append(token)
    return tuple(out)


def _is_title(text: str) -> bool:
    return len(text) > 2 and text == text.title()
