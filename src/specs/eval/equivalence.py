r"""Decides whether two answers are the same: lists, sets, tuples, intervals, names and units here, formulas elsewhere.

This module takes structured answers apart until numbers or formulas are left. It compares numbers exactly; the caller
compares formulas (`specs.eval.grading` asks math-verify). So no comma, bracket, unit or word reaches a library that
would drop it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from specs.core.answer_tokens import render
from specs.core.answers import is_date, parts, rational
from specs.eval.latex import latex_pair
from specs.eval.structure import (
    ABOVE,
    BELOW,
    Tokens,
    answers_of,
    enclosed,
    is_equation,
    name_and_value,
    split,
    unparenthesised,
)
from specs.eval.units import Unit, sum_of, unit_of

_DERIVATIVE = re.compile(r"\\partial|\\frac\{d(\^\w)?\w*\}\{d[a-z](\^\w)?\}")
_MOST_COMPARED = 50
"""Most list entries that are compared pairwise; longer lists are undecided."""
_CHOICES = tuple("ABCDEFGHIJ")
CompareFormulas = Callable[[str, str], bool | None]
"""Tells whether two LaTeX formulas (prediction, answer) are the same; None if the comparison took too long."""


def same(prediction: str, answer: str, compare: CompareFormulas) -> bool | None:
    """Whether a prediction equals the reference answer, with lists in any order; None if undecided."""
    given, wanted = _summed(answers_of(prediction)), _summed(answers_of(answer))
    if len(given) == 1 < len(wanted):
        given = _entries(prediction, len(wanted)) or given
    if len(given) == len(wanted):
        return bool(given) and _same_in_any_order(given, wanted, compare)
    unions = _union(given), _union(wanted)
    return all(unions) and _same_in_any_order(*unions, compare)


def _summed(found: list[Tokens]) -> list[Tokens]:
    """`5 hours and 30 minutes` as one answer; other lists as they are."""
    together = tuple(token for part in found for token in part)
    return [together] if len(found) > 1 and sum_of(together) else found


def _entries(text: str, count: int) -> list[Tokens]:
    """`100,200,300` as a list of `count` entries; [] if it cannot be one."""
    entries = text.strip("$ .").split(",")
    plain = len(entries) == count and all(entry.isdecimal() and (entry == "0" or entry[0] != "0") for entry in entries)
    return [answer for entry in entries for answer in answers_of(entry)] if plain else []


def _union(found: list[Tokens]) -> list[Tokens]:
    r"""The pieces of `(1,2) \cup (3,4)`, or the inequalities `x < 1` and `x > 3`; [] for another list."""
    if len(found) == 1:
        return split(name_and_value(found[0])[1], "\\cup")
    related = all(any(token.text in (*BELOW, *ABOVE) for token in part) for part in found)
    return found if related else []


def _same_in_any_order(given: Sequence[Tokens], wanted: Sequence[Tokens], compare: CompareFormulas) -> bool | None:
    """Whether two collections hold the same answers, each equally often."""
    if len(given) != len(wanted):
        return False
    left, unmatched = _without_equals(given, wanted)
    if len(left) > _MOST_COMPARED:
        return None
    undecided = False
    for answer in unmatched:
        verdicts = [_same(other, answer, compare) for other in left]
        if True in verdicts:
            left.pop(verdicts.index(True))
        elif None in verdicts:
            undecided = True
        else:
            return False
    return None if undecided else True


def _without_equals(given: Sequence[Tokens], wanted: Sequence[Tokens]) -> tuple[list[Tokens], list[Tokens]]:
    """Both collections without the answers that are spelled the same; only the rest needs comparing."""
    spelled = Counter(map(render, wanted))
    left: list[Tokens] = []
    for answer in given:
        name = render(answer)
        if spelled[name]:
            spelled[name] -= 1
        else:
            left.append(answer)
    unmatched: list[Tokens] = []
    for answer in wanted:
        name = render(answer)
        if spelled[name]:
            spelled[name] -= 1
            unmatched.append(answer)
    return left, unmatched


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    undecided = False
    for verdict in verdicts:
        if verdict is False:
            return False
        undecided = undecided or verdict is None
    return None if undecided else True


def _same(given: Tokens, wanted: Tokens, compare: CompareFormulas) -> bool | None:
    """Whether two single answers are the same."""
    given, wanted = _choice(given, wanted), _choice(wanted, given)
    if render(given) == render(wanted) or _same_word(given, wanted):
        return True
    (given_name, given_value), (wanted_name, wanted_value) = name_and_value(given), name_and_value(wanted)
    if given_name and wanted_name and given_name != wanted_name:
        return False
    if (given_name and wanted_name) or not (is_equation(given_value) or is_equation(wanted_value)):
        given, wanted = given_value, wanted_value
    elif not (is_equation(given) and is_equation(wanted)):
        return False  # 2x + y = 3 has no value; only a whole equation equals it
    sides = unit_of(given), unit_of(wanted)
    if any(token.kind == "letters" for value, _ in sides for token in value):
        sides = unit_of(given, formula=True), unit_of(wanted, formula=True)
    (given, given_unit), (wanted, wanted_unit) = sides
    units = [given_unit or Unit(), wanted_unit or Unit()]
    converted = [unit.count * unit.factor for unit in units]
    if units[0].powers and units[1].powers:
        return units[0].powers == units[1].powers and _same_value(given, wanted, converted, compare)
    if sorted(unit.powers for unit in units) == [(), (("%", 1),)]:
        share = rational(wanted)
        if (verdict := _same_value(given, wanted, converted, compare)) is not False or (share and abs(share) < 1):
            return verdict  # 50% is 0.5 and 50, but 0.5% is not 0.5
    return _same_value(given, wanted, [unit.count for unit in units], compare)  # a unit on one side only is dropped


def _same_word(given: Tokens, wanted: Tokens) -> bool:
    r"""Whether one is a word in `\text{...}` and the other the same letters without it."""
    pair = (*given, *wanted)
    kinds = {token.kind for token in pair}
    folded = {token.text.lower() for token in pair}
    return len(given) == len(wanted) == len(folded) == 1 and kinds == {"word", "letters"} and len(given[0].text) > 2


def _choice(given: Tokens, other: Tokens) -> Tokens:
    """The letter of a choice such as `(C)`, `C. 14` or `option C`, if the other side is such a letter.

    Otherwise, the 14 of `(C) 14`.
    """
    if render(given[:1]) in ("option", "choice"):
        given = given[1:]
    open_bracket = render(given[:1]) == "("
    behind = given[1:] if open_bracket else given
    letter, mark = render(behind[:1]), render(behind[1:2])
    if letter not in _CHOICES or mark not in ((")",) if open_bracket else (")", ".", ":")):
        return given
    if render(unparenthesised(other)) in _CHOICES:
        return behind[:1]
    chosen = open_bracket and len(behind) > 2 and behind[2].kind in ("number", "command")
    return behind[2:] if chosen and other[:1] != given[:1] else given


def _same_value(given: Tokens, wanted: Tokens, scales: Sequence[Fraction], compare: CompareFormulas) -> bool | None:
    """Whether two values without name and unit are the same after each is multiplied by its scale."""
    given, wanted = unparenthesised(given), unparenthesised(wanted)
    numbers = rational(given), rational(wanted)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] * scales[0] == numbers[1] * scales[1]
    if render(given) == render(wanted):
        return scales[0] == scales[1]
    if not given or not wanted or _spelled(given) or _spelled(wanted):
        return False
    words = [[token.text for token in side if token.kind == "word" or token.text == "'"] for side in (given, wanted)]
    if words[0] != words[1]:
        return False
    for separators in (words[0], [":"]):
        pieces = split(given, *separators), split(wanted, *separators)
        if max(map(len, pieces)) > 1:
            if len(pieces[0]) != len(pieces[1]):
                return False
            return _all(
                render(a) == render(b) or _same_value(a, b, scales, compare) for a, b in zip(*pieces, strict=True)
            )
    pairs = enclosed(given), enclosed(wanted)
    if pairs[0] and pairs[1] and max(len(parts(pair[1])) for pair in pairs if pair) > 1:
        return _same_entries(pairs[0], pairs[1], compare)
    unions = split(given, "\\cup"), split(wanted, "\\cup")
    if len(unions[0]) == len(unions[1]) > 1 and (verdict := _same_in_any_order(*unions, compare)) is not False:
        return verdict
    if (given[0].text == "\\{") != (wanted[0].text == "\\{"):
        return False
    formulas = latex_pair(given, wanted, scales)
    return formulas is not None and compare(*formulas)


def _spelled(value: Tokens) -> bool:
    r"""Whether a value equals only an identical spelling: `\angle ABC`, `101_2`, a date, a derivative."""
    if is_date(value) or _DERIVATIVE.search(render(value)):
        return True
    points = [token for token in value if token.kind == "letters" and len(token.text) > 1 and token.text.isupper()]
    formal = [token for token in value if token.kind == "command" or token.text in ("{", "}")]
    based = any(before.kind == "number" and token.text == "_" for before, token in pairwise(value))
    return based or (bool(points) and len(points) + len(formal) == len(value))


def _same_entries(
    given: tuple[str, Tokens, str], wanted: tuple[str, Tokens, str], compare: CompareFormulas
) -> bool | None:
    """Whether two tuples, intervals or sets are the same; brackets count, and order unless they are sets."""
    entries = parts(given[1]), parts(wanted[1])
    if (given[0], given[2]) != (wanted[0], wanted[2]) or len(entries[0]) != len(entries[1]):
        return False
    if given[0] == "\\{":
        return _same_in_any_order(*entries, compare)
    return _all(_same(a, b, compare) for a, b in zip(*entries, strict=True))
