r"""Units behind an answer: `5 \text{ cm}`, `15\mbox{ cm}^2`, `\$32`, `90^\circ`, `5 million dollars`, `50\%`.

A unit is a factor times powers of base units: `cm^2` is 1/10000 of metre squared. Words that are in no
table (`apples`) are base units of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from specs.core.answer_lexer import Token

_TABLE = {
    "m": "m=1 metre=1 meter=1 km=1000 kilometer=1000 kilometre=1000 dm=1/10 cm=1/100 centimeter=1/100 "
    "centimetre=1/100 mm=1/1000 millimeter=1/1000 millimetre=1/1000",
    "inch": "inch=1 in=1 inches=1 ft=12 foot=12 feet=12 yd=36 yard=36 mi=63360 mile=63360",
    "g": "g=1 gram=1 kg=1000 kilogram=1000 mg=1/1000 milligram=1/1000 tonne=1000000",
    "ounce": "oz=1 ounce=1 lb=16 lbs=16 pound=16",
    "s": "s=1 sec=1 second=1 min=60 minute=60 h=3600 hr=3600 hour=3600 day=86400 week=604800",
    "litre": "l=1 L=1 liter=1 litre=1 ml=1/1000 mL=1/1000 milliliter=1/1000 millilitre=1/1000",
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
_COMPOUND = {"mph": "mile per hour", "kph": "km per hour", "kmh": "km per hour", "kmph": "km per hour"}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_CURRENCIES = ("$", "€", "£")
_LETTERS = frozenset("mgshL")
"""Units of one letter that are read outside `\\text{...}`, behind white space."""
_MOST_WORDS = 12
"""Words and marks of a unit; more are a text."""
_FRACTIONS = frozenset("half halve third quarter fourth fifth tenth hundredth thousandth".split())


@dataclass(frozen=True, slots=True)
class Unit:
    """`count` (5 million has a million) times `factor` times base units, each with its power, sorted by name."""

    count: Fraction = Fraction(1)
    factor: Fraction = Fraction(1)
    powers: tuple[tuple[str, int], ...] = ()


def unit_of(found: Sequence[Token]) -> tuple[tuple[Token, ...], Unit | None]:
    """An answer's tokens without the unit that it ends or starts with, and the unit; None without one."""
    signed = int(bool(found) and found[0].text == "-")
    if len(found) > signed + 1 and found[signed].text in _CURRENCIES:
        value, behind = _behind((*found[:signed], *found[signed + 1 :]))
        base, factor = _KNOWN[found[signed].text]
        behind = behind or Unit()
        if (base, 1) in behind.powers:  # $5 dollars
            return value, behind
        return value, Unit(behind.count, factor * behind.factor, tuple(sorted((*behind.powers, (base, 1)))))
    return _behind(found)


def _behind(found: Sequence[Token]) -> tuple[tuple[Token, ...], Unit | None]:
    """As `unit_of`, of what an answer ends with."""
    for start in range(1, len(found)):
        if found[start - 1].kind == "word":
            break
        if _starts(found, start) and (unit := _read(found[start:])):
            return tuple(found[:start]), unit
    return tuple(found), None


def is_unit(word: str) -> bool:
    """Whether a word of a sentence is a unit, or a part of one."""
    known = len(word) > 1 and word != "in" and _known(word) is not None
    return known or word == "per" or word in _COMPOUND or word in _POWERS


def _starts(found: Sequence[Token], start: int) -> bool:
    """Whether a unit may start here: behind a value, with a word, a percent sign, a raised word or known letters."""
    before, token = found[start - 1], found[start]
    if before.kind == "mark" and before.text not in (")", "}", "!", "]", "|"):
        return False
    if before.text in ("\\times", "\\cdot", "\\pm"):
        return False
    if token.text == "/":
        return start + 1 < len(found) and found[start + 1].kind == "word"
    if token.text == "^":
        return _at(found, start + 1) == "\\circ" or (start + 1 < len(found) and found[start + 1].kind == "word")
    if token.kind == "letters" and len(token.text) == 1:
        return token.apart and token.text in _LETTERS
    if token.kind == "letters":
        known = _known(token.text) is not None or token.text in _COMPOUND
        return known and (token.apart or before.kind == "number")
    return token.kind == "word" or token.text in ("%", *_CURRENCIES, "¢")


def _at(found: Sequence[Token], position: int) -> str:
    return found[position].text if position < len(found) else ""


def _read(found: Sequence[Token]) -> Unit | None:
    """The unit that all these tokens make; None if they make none."""
    count, factor, powers = Fraction(1), Fraction(1), Counter[str]()
    below, ahead = 1, 1  # -1 behind a slash or "per"; the power that "square" gives to what follows
    words = [word for token in found for word in _COMPOUND.get(token.text, token.text).split()]
    position = 0
    if len(words) > _MOST_WORDS:
        return None
    while position < len(words):
        word = words[position]
        position += 1
        if word in ("/", "per"):
            below = -1
        elif word in _POWERS:
            ahead = _POWERS[word]
        elif word in ("^", "\\cdot", "-"):  # raised: a degree, an ordinal
            continue
        elif entry := _entry(word):
            power = ahead
            if _follows(words, position):
                power, position = int(words[position + 1]), position + 2
            base, size = entry
            if base:
                factor *= size ** (below * power)
                powers[base] += below * power
            else:
                count *= size
            ahead = 1
        else:
            return None
    return Unit(count, factor, tuple(sorted((base, power) for base, power in powers.items() if power)))


def _follows(words: Sequence[str], position: int) -> bool:
    """Whether a power such as `^2` follows."""
    return position + 1 < len(words) and words[position] == "^" and words[position + 1] in ("2", "3")


def _entry(word: str) -> tuple[str, Fraction] | None:
    """Base unit and size of a word; of an unknown one itself, in the singular; None for what is no unit."""
    single = word.lower().removesuffix("s") if len(word) > 3 else word
    unknown = None if not word.isalpha() or single in _FRACTIONS else (single, Fraction(1))
    return _known(word) or unknown


def _known(word: str) -> tuple[str, Fraction] | None:
    lower = word if word[0] == "M" and len(word) < 3 else word.lower()  # mg is not Mg
    names = (word, lower, lower.removesuffix("s"), lower.removesuffix("es"))
    return next((_KNOWN[name] for name in names if name in _KNOWN), None)
