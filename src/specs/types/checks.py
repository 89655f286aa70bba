"""Checks values by type and range, with one wording for Python, presets, the server and the command line."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from specs.errors import InputError
from specs.types.enums import Role


@dataclass(frozen=True, slots=True)
class Range:
    """Allowed numbers; `words` describe them after "a number" or "a whole number", and `holds` tests one."""

    words: str
    holds: Callable[[float], bool]


def at_least(low: float) -> Range:
    return Range(f"of at least {low:g}", lambda value: low <= value < math.inf)


def above(low: float) -> Range:
    return Range(f"above {low:g}", lambda value: low < value < math.inf)


UNIT = Range("from 0 to 1", lambda value: 0 <= value <= 1)
POSITIVE = Range("above 0", lambda value: value > 0)
"""Includes infinity, which `at_least` and `above` exclude."""
SHARE = Range("above 0 and up to 1", lambda value: 0 < value <= 1)
OptionValue = str | int | float | bool | None
"""A value of a method's option, a setting or a limit."""
ANY = Range("", lambda value: True)
"""Infinity included, NaN excluded."""
REMOVED = {"hopeless": None, "enough": 1.0}
"""Options of version 0.1 that this version no longer has, with the values at which they had no effect."""


def check_fields(instance: Any, **ranges: Range) -> None:
    """Check the fields of a dataclass against their annotations, and its numbers against `ranges`.

    Numbers of other libraries (numpy) are replaced by Python's own. A field without a range takes any number but NaN.

    Raises:
        InputError: a field is wrong; the message names the first one, its value, and what to give.
    """
    kinds = field_kinds(instance.__class__)
    for name in kinds:
        value = getattr(instance, name)
        checked = check_value(name, value, kinds[name], ranges.get(name, ANY))
        if checked is not value:
            object.__setattr__(instance, name, checked)


def check_value(name: str, value: Any, kind: Any, allowed: Range = ANY) -> Any:
    """The value if it is allowed; numbers of other libraries as Python numbers.

    Args:
        name: the value's name for the error message.
        kind: an annotation: a class, a `Literal`, or a union of such.

    Raises:
        InputError: the value does not fit the annotation, or is a number outside `allowed`.
    """
    for one in alternatives(kind):
        found = _as(value, one, allowed)
        if found is not _WRONG:
            return found
    raise InputError(f"{name} is {shown(value)}; give {_wanted(kind, allowed)}")


def check_names(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `InputError` if a name is unknown: "method beam has no option 'tau'; ..."."""
    known = sorted(known)
    for name in given:
        if name not in known:
            raise InputError(f"{what} {shown(name)}; {suggestion(name, known)}")


def check_removed(what: str, given: Iterable[str]) -> None:
    """Raise `InputError` if one of the names is that of a removed option."""
    check_names(what, (name for name in given if name in REMOVED), ())


def suggestion(name: object, known: Iterable[str]) -> str:
    """A hint for an unknown name: the most similar known name, or all known names."""
    if str(name).removeprefix("--") in REMOVED:
        return "version 0.1 has it, this version no longer does"
    known = list(known)
    begun = sorted((one for one in known if len(str(name)) > 2 and one.startswith(str(name))), key=len)
    if near := begun or get_close_matches(str(name), known, 1):
        return f"did you mean {near[0]!r}?"
    return f"choose from {', '.join(known)}" if known else "it has none"


def shown(value: object, most: int = 60) -> str:
    """A value for a message: on one line, printable, cut to `most` characters."""
    try:
        text = repr(value)
    except Exception:  # another library's __repr__ may raise
        text = f"<{type(value).__name__}>"
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= most else f"{text[: most - 3]}..."


_WRONG = object()


def _as(value: Any, kind: Any, allowed: Range) -> Any:
    """The value if it fits the annotation `kind`; else `_WRONG`."""
    if kind in (None, NoneType):
        return None if value is None else _WRONG
    if get_origin(kind) is Literal:
        return next((one for one in get_args(kind) if type(one) is type(value) and one == value), _WRONG)
    if kind is Role:
        return Role(value) if value in list(Role) else _WRONG
    if kind not in (int, float):
        return value if isinstance(value, get_origin(kind) or kind) else _WRONG
    if isinstance(value, bool) or not isinstance(value, Integral if kind is int else Real):
        return _WRONG
    try:
        number = operator.index(value) if isinstance(value, Integral) else float(value)
        size = float(number)  # refuses whole numbers that are too large for a float
    except (OverflowError, ValueError):
        return _WRONG
    return number if not math.isnan(size) and allowed.holds(size) else _WRONG


def _wanted(kind: Any, allowed: Range) -> str:
    """The allowed values in words, for the error message."""
    if len(parts := alternatives(kind)) > 1:
        return " or ".join(_wanted(one, allowed) for one in parts)
    if get_origin(kind) is Literal:
        return _joined([repr(one) for one in get_args(kind)])
    if kind is Role:
        return _joined([repr(str(role)) for role in Role])
    if kind in (int, float):
        words = "a whole number" if kind is int else "a number"
        return f"{words} {allowed.words}" if allowed.words else words
    return {None: "None", NoneType: "None", bool: "True or False", str: "text"}.get(kind) or _with_article(
        (get_origin(kind) or kind).__name__
    )


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _joined(names: list[str]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


@cache
def field_kinds(kind: type[Any]) -> dict[str, Any]:
    """The annotations of a dataclass's fields by name, as types."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}
