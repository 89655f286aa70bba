"""Reads options from text, as on the command line.

    method_from_text("specs:n=16:tau=0.8")              ("specs", {"n": 16, "tau": 0.8})
    early_exit_from_text("deer:threshold=0.9")          Deer(threshold=0.9)

The annotation of an option decides how its value is read: as a number (including `inf`), a word of a `Literal`, `true`
or `false`, or `none`. Making the method checks whether the options go together.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, cast, get_args, get_origin

from specs.errors import InputError
from specs.methods import settings_of
from specs.methods.early_exit import RULES, EarlyExit
from specs.methods.registry import NAMES, SPECULATING, make, options_of
from specs.methods.token_speculation import WithSpeculation
from specs.types.checks import alternatives, check_names, check_value, field_kinds, shown

UNREADABLE = object()
"""The result of reading a text that is no value of the wanted kind; every check refuses it."""
_SWITCHES = {"true": True, "false": False}


def method_from_text(text: str) -> tuple[str, dict[str, Any]]:
    """The name and the options of `NAME:option=value:option=value`; `switch-on` and `switch_on` are the same option.

    Raises:
        InputError: an unknown name, an option that the method lacks or that is given twice, or a value that it
            cannot have.
    """
    name = text.strip().split(":")[0]
    kinds = kinds_of(name)
    given = _assignments(text.strip(), f"method {name}", kinds)
    return name, {option: _checked(name, option, value, kinds[option]) for option, value in given.items()}


def early_exit_from_text(text: str) -> EarlyExit:
    """The rule for early exits of `RULE:option=value:option=value`.

    Raises:
        InputError: an unknown rule, an option that the rule lacks or that is given twice, or a value that it cannot
            have.
    """
    name = text.strip().split(":")[0]
    check_names("there is no rule for early exits", [name], RULES)
    kinds = field_kinds(RULES[name])
    options: dict[str, Any] = {}
    for option, value in _assignments(text.strip(), f"rule {name}", kinds).items():
        found = value_from_text(value, kinds[option])
        options[option] = value if found is UNREADABLE else found  # the rule's own check names the value
    return RULES[name](**options)


def _assignments(text: str, owner: str, kinds: Mapping[str, Any]) -> dict[str, str]:
    """The options, as text, of `NAME:option=value:option=value`; `kinds` are those that the owner has."""
    found: dict[str, str] = {}
    for change in text.split(":")[1:]:
        option, value = assignment_from_text(change)
        check_names(f"{owner} has no option", [option], kinds)
        if option in found:
            raise InputError(f"{text}: {option} is given twice")
        found[option] = value
    return found


def option_from_text(text: str) -> tuple[str, Any]:
    """The name and value of an option of any method, from text such as `tau=0.7`.

    Raises:
        InputError: no method has such an option, or the option cannot have this value.
    """
    option, value = assignment_from_text(text)
    of = {known: (name, kind) for name in (*SPECULATING, *NAMES) for known, kind in kinds_of(name).items()}
    check_names("no method has an option", [option], of)
    name, kind = of[option]
    return option, _checked(name, option, value, kind)


def assignment_from_text(text: str) -> tuple[str, str]:
    """The two sides of `name=value`, the name with underscores.

    Raises:
        InputError: there is no `=`, or no name.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"{shown(text)} gives no value; write NAME=VALUE, such as n=4")
    return name.strip().replace("-", "_"), value


def value_from_text(text: str, kind: Any) -> Any:
    """The value of this kind that a text gives; `UNREADABLE` if it gives none.

    Args:
        kind: an annotation: int, float, bool, str, None, a `Literal`, or a union of such.
    """
    for one in sorted(alternatives(kind), key=lambda one: one is not NoneType):  # `none` is None, not text
        found = _read(text, one)
        if found is not UNREADABLE:
            return found
    return UNREADABLE


def text_of(value: object) -> str:
    """The text that `value_from_text` reads as this value."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def kinds_of(name: str) -> dict[str, Any]:
    """The annotations of the options of the method called `name`.

    Raises:
        InputError: an unknown name.
    """
    known = options_of(name)
    kinds = {option: kind for one in classes_of(name) for option, kind in field_kinds(one).items()}
    return {option: kind for option, kind in kinds.items() if option in known}


def defaults_of(name: str) -> dict[str, Any]:
    """The default values of the options of the method called `name`, by option."""
    settings: Mapping[str, Any] = settings_of(make(name))
    return {option: settings[option] for option in kinds_of(name)}


def classes_of(name: str) -> list[type]:
    """The classes whose fields are options of the method called `name`: its own, and perhaps `WithSpeculation`.

    Raises:
        InputError: an unknown name.
    """
    method = make(name)
    return [type(method.method), WithSpeculation] if isinstance(method, WithSpeculation) else [type(method)]


def allowed(name: str, option: str) -> str:
    """The allowed values of an option, in the words of its error message: "a number from 0 to 1"."""
    try:
        make(name, **cast(dict[str, Any], {option: UNREADABLE}))
        check_value(option, UNREADABLE, kinds_of(name)[option])  # for a method that checks nothing
    except InputError as error:
        return str(error).rpartition("; give ")[2]
    return "anything"


def _checked(name: str, option: str, text: str, kind: Any) -> Any:
    """The value of one option of a method, checked without regard to the other options."""
    value = value_from_text(text, kind)
    if value is UNREADABLE:
        raise InputError(f"{option} is {shown(text)}; give {allowed(name, option)}")
    try:
        make(name, **{option: value})
    except InputError as error:
        if str(error).endswith(f"; give {allowed(name, option)}"):
            raise
    return value


def _read(text: str, kind: Any) -> Any:
    word = text.strip()
    if kind in (None, NoneType):
        return None if word.lower() == "none" else UNREADABLE
    if get_origin(kind) is Literal:
        return next((one for one in get_args(kind) if str(one) == word), UNREADABLE)
    if kind is bool:
        return _SWITCHES.get(word.lower(), UNREADABLE)
    if kind is str:
        return text
    try:
        return kind(word)
    except ValueError:
        return UNREADABLE
