r"""One spelling for equal answers, without a computer algebra system.

`\frac12`, `0.5`, `1/2` and `50\%` are 0.5; `32,\!348` is 32348; `2 1/2` is 2.5; `\text{Yes}.` is yes.
Everything that may carry meaning stays: order, units, brackets, the case of symbols, white space between digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from specs.core.answer_lexer import Token
from specs.core.answer_tokens import render, tokens

_RELATIONS = ("<", ">", "\\le", "\\ge", "\\ne")
_BRACKETS = {"(": (")", "]"), "[": (")", "]"), "\\{": ("\\}",)}
_LARGEST = 10_000
"""Largest number, in bits, that is computed; a larger one keeps its spelling."""


def normal(answer: str) -> str:
    """The answer's normal form: equal forms are equal answers; "" if there is no answer.

    A constant with a rational value becomes that value, as a decimal if that is finite. Several answers
    (`3 and 5`) are joined by commas, in their order.
    """
    if answer.isascii() and answer.isdecimal():  # fast path: most answers are whole numbers
        return answer.lstrip("0") or "0"
    return ", ".join(_normal(part) for part in parts(tokens(answer)))


def parts(found: Sequence[Token]) -> list[tuple[Token, ...]]:
    """The answers of a list, split at commas, semicolons, "and" and "or" outside brackets."""
    split: list[list[Token]] = [[]]
    words = ("or",) if any(token.text in _RELATIONS for token in found) else ("and", "or")  # x > 1 and x < 3: both
    depth = 0
    for token in found:
        opens = token.text in ("(", "[", "{", "\\{") or token.text.startswith("\\begin")
        closes = token.text in (")", "]", "}", "\\}") or token.text.startswith("\\end")
        depth += opens - closes
        if depth == 0 and (token.text in (",", ";") or (token.kind == "word" and token.text in words)):
            split.append([])
        else:
            split[-1].append(token)
    return [tuple(part) for part in split if part]


def rational(found: Sequence[Token]) -> Fraction | None:
    """The value of a constant made of numbers, mixed numbers, fractions, percent, brackets, powers and + - * /.

    None for anything else, and if the value is too large to write down.
    """
    if is_date(found):
        return None
    reader = _Reader(found)
    try:
        value = reader.sum()
    except (ValueError, ZeroDivisionError):
        return None
    return value if reader.position == len(found) else None


def is_date(found: Sequence[Token]) -> bool:
    """Whether this is a date, a score or a range: numbers joined by `-`, or three joined by `/` that end in a year."""
    marks = {token.text for token in found[1::2]}
    if len(found) < 3 or len(found) % 2 == 0 or len(marks) > 1 or any(token.apart for token in found[1:]):
        return False
    numbers = all(token.kind == "number" for token in found[::2])
    return numbers and (marks == {"-"} or (marks == {"/"} and len(found) == 5 and len(found[4].text) == 4))


def decimal(value: Fraction) -> str:
    """A rational number in digits: `0.5`, or `1/3` if the decimal does not end."""
    rest, places = value.denominator, 0
    for prime in (2, 5):
        power = 0
        while rest % prime == 0:
            rest, power = rest // prime, power + 1
        places = max(places, power)
    if rest > 1 or places > 1000:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" * (value < 0)
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits


def _normal(part: tuple[Token, ...]) -> str:
    if (
        len(part) == 3
        and (part[0].text, part[2].text) == ("(", ")")
        and len(part[1].text) == 1
        and part[1].text.isupper()
    ):
        part = part[1:2]  # a choice: (A)
    value = rational(part)
    if value is not None:
        return decimal(value)
    entries = parts(part[1:-1])
    if (
        len(entries) > 1
        and part[0].text in _BRACKETS
        and part[-1].text in _BRACKETS[part[0].text]
        and _closed(part[1:-1])
    ):
        return part[0].text + ",".join(map(_normal, entries)) + part[-1].text
    return render(part)


def _closed(found: Sequence[Token]) -> bool:
    """Whether the brackets in these tokens balance, so that those around them belong together."""
    depth = 0
    for token in found:
        depth += (token.text in _BRACKETS) - (token.text in (")", "]", "\\}"))
        if depth < 0:
            return False
    return depth == 0


def _bounded(value: Fraction) -> None:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _LARGEST:
        raise ValueError("too large")


class _Reader:
    """Reads a value from tokens by recursive descent; raises `ValueError` if there is none."""

    def __init__(self, found: Sequence[Token]) -> None:
        self.found, self.position = found, 0

    def peek(self, ahead: int = 0) -> str:
        position = self.position + ahead
        return self.found[position].text if position < len(self.found) else ""

    def take(self, *texts: str) -> str:
        """The next token's text, if it is one of these; else ""."""
        text = self.peek()
        if text not in texts:
            return ""
        self.position += 1
        return text

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise ValueError(text)

    def sum(self) -> Fraction:
        sign = -1 if self.take("-") else 1
        value = sign * self.product()
        while operator := self.take("+", "-"):
            term = self.product()
            value += term if operator == "+" else -term
            _bounded(value)
        return value

    def product(self) -> Fraction:
        value = self.power()
        while operator := self.take("\\times", "\\cdot", "/", "%") or (self.peek() == "(" and "("):
            sign = -1 if operator in ("\\times", "\\cdot", "/") and self.take("-") else 1
            factor = Fraction(1, 100) if operator == "%" else sign * self.power()
            value = value / factor if operator == "/" else value * factor
            _bounded(value)
        return value

    def power(self) -> Fraction:
        value = self.base()
        if self.take("^"):
            exponent = self.base()
            if exponent.denominator != 1 or abs(exponent) > _LARGEST or value == exponent == 0:
                raise ValueError("no integer")
            if abs(exponent) * max(value.numerator.bit_length(), value.denominator.bit_length()) > _LARGEST:
                raise ValueError("too large")
            value = value ** int(exponent)
        return value

    def base(self) -> Fraction:
        for opening, closing in (("(", ")"), ("{", "}")):
            if self.take(opening):
                value = self.sum()
                self.expect(closing)
                return value
        if self.take("\\frac"):
            self.expect("{")
            above = self.sum()
            self.expect("}")
            self.expect("{")
            below = self.sum()
            self.expect("}")
            return above / below
        whole = self.number()
        fraction = self.proper() if whole.denominator == 1 else None
        return whole if fraction is None else whole + fraction

    def number(self) -> Fraction:
        if self.position >= len(self.found) or self.found[self.position].kind != "number":
            raise ValueError("no number")
        text = self.peek()
        self.position += 1
        if len(text) > 1500 or "e" in text.lower():
            raise ValueError("too large")
        text, _, repeated = text.partition("(")
        value = Fraction(text + "0" if text.endswith(".") else text)
        if repeated:
            places = len(text.partition(".")[2])
            value += Fraction(int(repeated[:-1]), (10 ** (len(repeated) - 1) - 1) * 10**places)
        return value

    def proper(self) -> Fraction | None:
        """The fraction of a mixed number, `1/2` of `2 1/2` and of `2\\frac{1}{2}`; None if none follows."""
        before = self.position
        mixed = [self.peek(k) for k in range(7)]
        if mixed[0] == "\\frac" and (mixed[1], mixed[3], mixed[4], mixed[6]) == ("{", "}", "{", "}"):
            above, below, end = mixed[2], mixed[5], before + 7
        elif before < len(self.found) and self.found[before].kind == "number":
            if mixed[1] != "/":
                raise ValueError("two numbers")
            above, below, end = mixed[0], mixed[2], before + 3
        elif mixed[0] == "\\frac":
            raise ValueError("two numbers")
        else:
            return None
        if not (above.isdecimal() and below.isdecimal() and int(above) < int(below)):
            raise ValueError("no proper fraction")
        self.position = end
        return Fraction(int(above), int(below))
