"""Describes methods and their options for `specs methods`, from the docstrings of their classes.

A class's docstring has a summary in its first line and these sections:

    Attributes:     each option, as `name: what it does`
    Names:          if the class implements several methods, each as `name: summary`
    Examples:       values of `--method`, one per line
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

from specs.config.text import allowed, classes_of, defaults_of
from specs.methods.registry import GROUPS, NAMES, SPECULATING, make
from specs.methods.token_speculation import SUFFIX, WithSpeculation
from specs.types import Role

_SECTION = re.compile(r"^(Attributes|Names|Examples):$")


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a method.

    Attributes:
        values: the allowed values, in words.
        text: what the option does.
    """

    name: str
    default: Any
    values: str
    text: str


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a method for its users.

    Attributes:
        group: the kind of method, one of `specs.methods.registry.GROUPS`.
        roles: the models that it needs.
        examples: values of `--method`.
        speculating: its name with token-level speculation; None if it has no such variant.
    """

    name: str
    summary: str
    group: str
    roles: tuple[Role, ...]
    options: tuple[Option, ...]
    examples: tuple[str, ...]
    speculating: str | None


SPECULATION = (inspect.getdoc(WithSpeculation) or "").splitlines()[0]
"""What the suffix `+speculation` means, in one sentence."""


def describe(name: str) -> Description:
    """The description of the method called `name`.

    Raises:
        InputError: an unknown name.
    """
    parts = [_parts(one) for one in classes_of(name)]
    plain = name.removesuffix(SUFFIX)
    texts = {option: text for part in parts for option, text in _entries(part.get("Attributes", [])).items()}
    summary = _entries(parts[0].get("Names", [])).get(plain) or (parts[0][""] or [""])[0]
    examples = [one.strip() for part in parts for one in part.get("Examples", [])]
    return Description(
        name,
        summary,
        next(group for group, names in GROUPS.items() if plain in names),
        tuple(role for role in Role if role in make(name).roles),
        tuple(
            Option(option, default, allowed(name, option), texts.get(option, ""))
            for option, default in defaults_of(name).items()
        ),
        tuple(one for one in examples if one.partition(":")[0] == name) or (name,),
        f"{name}{SUFFIX}" if name in NAMES and f"{name}{SUFFIX}" in SPECULATING else None,
    )


def _parts(kind: type) -> dict[str, list[str]]:
    """The lines of a docstring by section; the lines before the first section are under an empty name."""
    parts: dict[str, list[str]] = {"": []}
    section = ""
    for line in (inspect.getdoc(kind) or "").splitlines():
        if found := _SECTION.match(line):
            section = found[1]
        elif line and not line.startswith(" "):
            section = ""
        if line.strip() and not found:
            parts.setdefault(section, []).append(line)
    return parts


def _entries(lines: list[str]) -> dict[str, str]:
    """The texts of `name: text` lines by name; lines that are indented further continue the text."""
    entries: dict[str, str] = {}
    name = ""
    for line in lines:
        if line.startswith("     "):
            entries[name] += f" {line.strip()}"
        else:
            name, _, text = line.strip().partition(":")
            entries[name] = text.strip()
    return entries
