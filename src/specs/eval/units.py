r"""Reads the unit of an answer: `5 \text{ cm}`, `15\mbox{ cm}^2`, `\$32`, `90^\circ`, `5 million dollars`, `50\%`.

A unit is a factor times powers of base units: `cm^2` is 1/10000 of a square metre. A word that is not in the
table (`apples`) is its own base unit, unless it changes a value (`squared`, `less`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from specs.core.answer_lexer import Token
from specs.core.answers import decimal, rational
from specs.eval.latex import FUNCTIONS
from specs.eval.structure import is_constant

_TABLE = {
    "m": "m=1 metre=1 meter=1 km=1000 kilometer=1000 kilometre=1000 dm=1/10 cm=1/100 centimeter=1/100 "
    "centimetre=1/100 mm=1/1000 millimeter=1/1000 millimetre=1/1000",
    "inch": "inch=1 in=1 inches=1 ft=12 foot=12 feet=12 yd=36 yard=36 mi=63360 mile=63360",
    "g": "g=1 gram=1 kg=1000 kilogram=1000 mg=1/1000 milligram=1/1000 tonne=1000000",
    "ounce": "oz=1 ounce=1 lb=16 lbs=16 pound=16",
    "s": "s=1 sec=1 second=1 min=60 minute=60 h=3600 hr=3600 hour=3600 day=86400 week=604800",
    "month": "month=1 yr=12 year=12",
    "newton": "N=1 newton=1 kN=1000",
    "watt": "W=1 watt=1 mW=1/1000 kW=1000 kilowatt=1000 MW=1000000",
    "radian": "rad=1 radian=1",
    "dollar": "$=1 dollar=1 usd=1 USD=1 cent=1/100 ¢=1/100",
    "euro": "€=1 euro=1 EUR=1",
    "£": "£=1 GBP=1",
    "degree": "degree=1 deg=1 \\circ=1",
    "celsius": "celsius=1 C=1",
    "fahrenheit": "fahrenheit=1 F=1",
    "unit": "unit=1",
    "am": "am=1",
    "pm": "pm=1",
    "ordinal": "st=1 nd=1 rd=1 th=1",
    "%": "%=1/100",
    "": "hundred=100 thousand=1000 million=1000000 billion=1000000000 trillion=1000000000000 dozen=12",
}
_KNOWN = {
    name: (base, Fraction(factor))
    for base, names in _TABLE.items()
    for name, _, factor in (entry.partition("=") for entry in names.split())
}
_COMPOUND = {
    "mph": "mile per hour",
    **dict.fromkeys("kph kmh kmph".split(), "km per hour"),
    **dict.fromkeys("l L liter litre liters litres".split(), "dm ^ 3"),
    **dict.fromkeys("ml mL milliliter millilitre milliliters millilitres".split(), "cm ^ 3"),
}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_RAISED = {"squared": 2, "cubed": 3}
_CURRENCIES = ("$", "€", "£", "USD", "EUR", "GBP")
_LETTERS = frozenset("mgshLNW")
"""One-letter units that are read outside `\\text{...}`, after a number and white space."""
_MOST_WORDS = 12
"""Largest number of words and marks in a unit; anything longer is text."""
_NO_UNIT = frozenset(
    "half halve third fourth fifth tenth hundredth thousandth less more fewer greater smaller larger least most than "
    "time factorial plus minus over under not isn't never no wrong false true is was are be if when where for "
    "mod modulo remainder base binary octal decimal hexadecimal power root squared cubed percent pi "
    "and or to from by with without except about around approximately nearly almost between only negative positive "
    "each other log ln sin cos tan sqrt divided multiplied raised double twice triple".split()
)
"""Words (in the singular) that are no unit: they change the value before them or are ambiguous."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: `count` (a million, in 5 million) times `factor` times base units with their powers, sorted by name."""

    count: Fraction = Fraction(1)
    factor: Fraction = Fraction(1)
    powers: tuple[tuple[str, int], ...] = ()


def unit_of(found: Sequence[Token], formula: bool = False) -> tuple[tuple[Token, ...], Unit | None]:
    r"""An answer's tokens without the unit at its end or start, and the unit; None if there is none.

    Args:
        formula: whether letters are symbols and only words in `\text{...}` are units.
    """
    signed = int(bool(found) and found[0].text == "-")
    if len(found) > signed + 1 and found[signed].text in _CURRENCIES:
        value, behind = _behind((*found[:signed], *found[signed + 1 :]), formula)
        base, factor = _KNOWN[found[signed].text]
        behind = behind or Unit()
        if (base, 1) in behind.powers:  # $5 dollars
            return value, behind
        return value, Unit(behind.count, factor * behind.factor, tuple(sorted((*behind.powers, (base, 1)))))
    return sum_of(found) or _behind(found, formula)


def _behind(found: Sequence[Token], formula: bool) -> tuple[tuple[Token, ...], Unit | None]:
    """Like `unit_of`, for a unit at the end."""
    for start in range(max(1, len(found) - 2 * _MOST_WORDS), len(found)):
        if found[start - 1].kind == "word":
            break
        if _starts(found, start, formula) and (unit := _read(found[start:])):
            return tuple(found[:start]), unit
    return tuple(found), None


def sum_of(found: Sequence[Token]) -> tuple[tuple[Token, ...], Unit] | None:
    """Value and unit of `5 hours 30 minutes`, in the last unit; None if the tokens are not such a sum."""
    starts = [
        token_idx
        for token_idx, token in enumerate(found)
        if token.kind == "number" and (token_idx == 0 or found[token_idx - 1].text != "^")
    ]
    if len(starts) < 2 or starts[0]:
        return None
    terms = [found[start:end] for start, end in zip(starts, [*starts[1:], len(found)], strict=True)]
    read = [(rational(term[:1]), _read([token for token in term[1:] if token.text != "and"])) for term in terms]
    total, last = Fraction(0), read[-1][1]
    sizes = [unit.factor for _, unit in read if unit and last and unit.powers == last.powers != () and unit.count == 1]
    if last is None or len(sizes) < len(read) or sizes != sorted(set(sizes), reverse=True):
        return None
    for number, unit in read:
        assert unit is not None
        total += (number or 0) * unit.factor / last.factor
    return (Token("number", decimal(total)),), last


def is_unit(word: str) -> bool:
    """Whether a word in a sentence is a unit or part of one."""
    known = len(word) > 1 and word != "in" and _known(word) is not None
    return known or word == "per" or word in _COMPOUND or word in _POWERS


def _starts(found: Sequence[Token], start: int, formula: bool) -> bool:
    """Whether a unit may start here: after a value, with a word, a percent sign, a raised word or known letters."""
    before, token = found[start - 1], found[start]
    if before.kind == "mark" and before.text not in (")", "}", "!", "]", "|"):
        return False
    if before.text in ("\\times", "\\cdot", "\\pm"):
        return False
    if token.text == "/":
        return start + 1 < len(found) and found[start + 1].kind == "word"
    if token.text == "\\frac":
        return start + 2 < len(found) and found[start + 2].kind == "word"
    if token.text == "^":
        if _at(found, start + 1) == "\\circ":
            return not any(
                earlier.text in FUNCTIONS for earlier in found[:start]
            )  # in \sin 30^\circ it is the argument's
        return start + 1 < len(found) and found[start + 1].kind == "word"
    if token.kind == "letters" and formula:
        return False
    if token.kind == "letters" and len(token.text) == 1:
        return token.apart and token.text in _LETTERS and rational(found[:start]) is not None
    if token.kind == "letters":
        known = _known(token.text) is not None or token.text in _COMPOUND
        return known and (token.apart or before.kind == "number") and is_constant(tuple(found[:start]))
    return token.kind == "word" or token.text in ("%", *_CURRENCIES, "¢")


def _at(found: Sequence[Token], position: int) -> str:
    return found[position].text if position < len(found) else ""


def _read(found: Sequence[Token]) -> Unit | None:
    """The unit that the tokens form; None if they form none."""
    count, factor, powers = Fraction(1), Fraction(1), Counter[str]()
    below, ahead = 1, 1  # -1 after a slash or "per"; the power that "square" gives to the next unit
    texts = [token.text for token in found if token.text != "."]  # sq. ft.
    words = [word for text in texts for word in _COMPOUND.get(text, text).split()]
    position = 0
    if not words or len(words) > _MOST_WORDS:
        return None
    while position < len(words):
        word = words[position]
        position += 1
        if word in ("/", "per") or (word == "{" and position > 2):  # the lower brace of a fraction is the second
            below = -1
        elif word in _POWERS:
            ahead = _POWERS[word]
        elif word in ("^", "\\cdot", "-", "\\frac", "{", "}"):  # raised: a degree, an ordinal
            continue
        elif entry := _entry(word):
            power, position = _power(words, position)
            power *= below * ahead
            base, size = entry
            if base:
                factor *= size**power
                powers[base] += power
            else:
                count *= size
            ahead = 1
        else:
            return None
    return Unit(count, factor, tuple(sorted((base, power) for base, power in powers.items() if power)))


def _power(words: Sequence[str], position: int) -> tuple[int, int]:
    """The power that follows a word, `^2`, `^{-1}` or `squared`, and where it ends."""
    following = [*words[position : position + 5], ""]
    if following[0] in _RAISED:
        return _RAISED[following[0]], position + 1
    if following[0] == "^" and following[1] in ("2", "3"):
        return int(following[1]), position + 2
    if following[:3] == ["^", "{", "-"] and following[3] in ("1", "2", "3"):
        return -int(following[3]), position + 5
    return 1, position


def _entry(word: str) -> tuple[str, Fraction] | None:
    """Base unit and size of a word; an unknown word, in the singular, is its own base unit; None if not a unit."""
    single = word.lower().removesuffix("s") if len(word) > 3 else word
    unknown = None if len(word) < 2 or not word.isalpha() or single in _NO_UNIT or word.lower() in _NO_UNIT else single
    return _known(word) or (unknown and (unknown, Fraction(1))) or None


def _known(word: str) -> tuple[str, Fraction] | None:
    lower = word if word[0] == "M" and len(word) < 3 else word.lower()  # mg is not Mg
    names = (word, lower, lower.removesuffix("s"), lower.removesuffix("es"))
    return next((_KNOWN[name] for name in names if name in _KNOWN), None)
