r"""An answer as tokens: what only draws is gone, what means something stays.

`\left(1,\tfrac12\right)`, `(1, \frac{1}{2})` and `(1,½)` have the same tokens. Numbers are read whole
(`1,234`, `32{,}348`, `2.5e-3`), so white space never joins digits: `1 2` is two numbers. Words are
in lower case and symbols keep theirs: `\text{Yes}` is `yes`, but `R^2` is not `r^2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from specs.core.answer_lexer import Token, lex, to_latex

_SHORT = frozenset("no yes am pm or and if is to of in on by at an it we".split())

_LONGEST, _DEEPEST = 2000, 40
"""Characters and levels of brackets beyond which an answer is no more than its text."""


def tokens(answer: str) -> tuple[Token, ...]:
    """The tokens of an answer in LaTeX, Unicode or plain text; () where it is nothing but punctuation.

    One that is very long or very deep is a single word.
    """
    if len(answer) > _LONGEST or _depth(answer) > _DEEPEST:
        return (Token("word", " ".join(answer.split())),)
    found = _signed(_grouped(list(lex(to_latex(answer)))))
    while found and found[-1].text in (".", ",", ";", ":", "\\\\"):
        found.pop()
    while found and found[0].text in ("=", ":"):
        found.pop(0)
    worded = all(token.kind in ("letters", "word") or token.text in tuple("()&-.,;:/'") for token in found)
    return tuple(_folded(token, worded) for token in found)


def render(found: Sequence[Token]) -> str:
    """Tokens as text: equal tokens give equal text; white space stands only where it keeps two of them apart."""
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
    """The same tokens with braces exactly where an argument has several tokens, and around those of `\\frac`."""
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
    """Index of the bracket that closes the one at `start`; the end where none does."""
    opening = found[start].text
    closing = {"{": "}", "(": ")", "[": "]"}[opening]
    depth = 0
    for position in range(start, len(found)):
        depth += (found[position].text == opening) - (found[position].text == closing)
        if depth == 0:
            return position
    return len(found)


def _argument(found: list[Token], position: int, openings: str, whole: bool = False) -> tuple[list[Token], int]:
    """The argument of a command, and where it ends: a group, or one token (of which TeX takes one character).

    Args:
        whole: take all of a number, as plain text means `x^12`.
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
    """Without the plus of `+4` and `1 + -2`; `+-` is plus-minus where nothing stands before it, else a minus."""
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


def _folded(token: Token, worded: bool) -> Token:
    """The token with a word in lower case.

    Two or three letters may be symbols or units (MW, mW, AB), four and more are a word; where the answer
    has `worded` tokens only, so are three, if not all are capital.
    """
    text, lower = token.text, token.text.lower()
    if token.kind == "word":
        plain = (
            len(text) > 3
            or lower in _SHORT
            or (len(text) == 3 and lower != text and text in (lower.title(), text.upper()))
        )
        return replace(token, text=lower) if plain else token
    if token.kind != "letters":
        return token
    if len(text) > 3 or (worded and (lower in _SHORT or (len(text) == 3 and text in (lower, lower.title())))):
        return replace(token, kind="word", text=lower)
    return token
