"""Parses the command line: one-line errors, types of values, and hints for flags of version 0.1."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any, NoReturn

from specs.errors import InputError
from specs.types.checks import suggestion

METHOD_OPTIONS = {
    "beta": "specs:beta=32",
    "tau": "specs:tau=0.8",
    "switch-on": "specs:switch_on=step",
    "start": "specs:start=target",
    "deferral": "specs:deferral=next",
    "select": "specs:select=best",
    "score": "specs:select_weight=0:accept_weight=0",
    "reward-as": "specs:reward_as=soft-value",
    "width": "beam:width=2",
    "threshold": "gsi:threshold=0.4",
    "fast": "ssr:fast=1",
    "speculate": "target+speculation:speculate=4",
    "draft-share": "random-switch:draft_share=0.3",
}
"""Flags of version 0.1 that are now options of a method, each with an example of how to write it."""
SETTINGS = {
    "top-p": "top_p=0.9",
    "top-k": "top_k=20",
    "min-p": "min_p=0.05",
    "max-steps": "max_steps=16",
    "max-step-tokens": "max_step_tokens=512",
    "draft-system": "draft_system=TEXT",
    "target-system": "target_system=TEXT",
    "tokenizer": "tokenizer=MODEL",
    "timeout": "timeout=60",
    "allow-text-scoring": "allow_text_scoring=true",
    "prm-format": "prm_format=judge",
}
"""Settings that someone may write as flags, as version 0.1 had most of them, each with an example."""


class Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage text; no abbreviations."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see '{self.prog} --help'")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._subparsers is None and args is not None:  # with subparsers, the flags belong to a command's parser
            self._check_flags(args)
        return super().parse_known_args(args, namespace)

    def _check_flags(self, words: Sequence[str]) -> None:
        """Refuse unknown flags before argparse, which would take the value of an unknown flag for another argument.

        Raises:
            InputError: a flag is unknown; the error gives its new form or a similar flag.
        """
        known = self._option_string_actions
        for word in words:
            flag = word.partition("=")[0]
            if word == "--":
                return
            if flag.startswith("--") and " " not in flag and flag not in known:
                raise InputError(self._instead(flag))

    def _instead(self, flag: str) -> str:
        name, known = flag.removeprefix("--"), self._option_string_actions
        if name in METHOD_OPTIONS and (given := [one for one in ("--methods", "--method") if one in known]):
            return f"{flag} is an option of the method now: {given[0]} {METHOD_OPTIONS[name]}"
        if name in METHOD_OPTIONS and "--replay" in known:
            return f"{flag}: --set {METHOD_OPTIONS[name].partition(':')[2]}"
        if name in SETTINGS and "--set" in known:
            return f"{flag}: --set {SETTINGS[name]}"
        if name == "models" and "--draft" in known:
            return "--models was removed: the bundled models are used unless --draft, --target or --prm name others"
        flags = sorted(one for one in known if one.startswith("--"))
        flags = [one for one in flags if one.startswith(flag)] or flags
        return f"{self.prog} has no option {flag}; {suggestion(flag, flags)}"


def count(text: str) -> int:
    """A whole number of at least 1."""
    value = _number(text, int, "a whole number")
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small; give at least 1")
    return value


def counts(text: str) -> list[int]:
    """Whole numbers of at least 1, separated by commas."""
    return [count(part) for part in text.split(",")]


def above_zero(text: str) -> float:
    """A finite number above 0."""
    value = _number(text, float, "a number")
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number above 0")
    return value


def not_negative(text: str) -> float:
    """A finite number of at least 0."""
    value = _number(text, float, "a number")
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number of at least 0")
    return value


def share(text: str) -> float:
    """A number in [0, 1]."""
    value = _number(text, float, "a number")
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number from 0 to 1")
    return value


def _number(text: str, kind: type, what: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
