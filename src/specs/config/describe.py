"""What methods are and what their options do, from the docstrings of their classes.

A class's docstring has a summary in its first line and these sections:

    Attributes:     each option, `name: what it does`
    Names:          where the class has several names, `name: summary`
    Examples:       what follows `--method`, one a line
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

from specs.config.text import allowed, classes_of, defaults_of
from specs.methods.registry import NAMES, SPECULATING, make
from specs.methods.token_speculation import SUFFIX, WithSpeculation
from specs.types import Role

_SECTION = re.compile(r"^(Attributes|Names|Examples):$")


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a method.

    Attributes:
        values: which ones it may have, in words.
        text: what it does.
    """

    name: str
    default: Any
    values: str
    text: str


@dataclass(frozen=True, slots=True)
class Description:
    """What there is to know about a method before it is used.

    Attributes:
        roles: the models that it needs.
        examples: what may follow `--method`.
        speculating: its name with token-level speculation; None where there is no such method.
    """

    name: str
    summary: str
    roles: tuple[Role, ...]
    options: tuple[Option, ...]
    examples: tuple[str, ...]
    speculating: str | None


SPECULATION = (inspect.getdoc(WithSpeculation) or "").splitlines()[0]
"""What the suffix of `SPECULATING` means."""


def describe(name: str) -> Description:
    """The method called `name`.

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
        tuple(role for role in Role if role in make(name).roles),
        tuple(
            Option(option, default, allowed(name, option), texts.get(option, ""))
            for option, default in defaults_of(name).items()
        ),
        tuple(one for one in examples if one.partition(":")[0] == name) or (name,),
        f"{name}{SUFFIX}" if name in NAMES and f"{name}{SUFFIX}" in SPECULATING else None,
    )


def _parts(kind: type) -> dict[str, list[str]]:
    """The lines of a docstring by section; those before the first one under an empty name."""
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
    """`name: text` of each line; lines that are indented further go on with the text before."""
    entries: dict[str, str] = {}
    name = ""
    for line in lines:
        if line.startswith("     "):
            entries[name] += f" {line.strip()}"
        else:
            name, _, text = line.strip().partition(":")
            entries[name] = text.strip()
    return entries
