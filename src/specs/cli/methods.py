"""`specs methods`: list the methods, or the options of one method."""

from __future__ import annotations

import argparse
import textwrap

from specs.config.describe import SPECULATION, Description, Option, describe
from specs.config.text import text_of
from specs.methods.registry import NAMES
from specs.methods.token_speculation import SUFFIX

WIDTH = 100


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("methods", help="list methods, or the options of one", description=__doc__)
    parser.add_argument("name", nargs="?", metavar="NAME", help="a method; without one all are listed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    print(page(describe(args.name)) if args.name else listing())
    return 0


def listing() -> str:
    """All methods, one line each."""
    width = max(map(len, NAMES)) + 2
    without = [name for name in NAMES if describe(name).speculating is None]
    notes = [
        f"NAME{SUFFIX}, where NAME is any of them except {' and '.join(without)}. {SPECULATION}",
        "Options follow the name: specs solve --example --method specs:n=16:tau=0.8",
        "'specs methods NAME' lists those of a method.",
    ]
    lines = [f"{name:<{width}}{describe(name).summary.rstrip('.')}" for name in NAMES]
    return "\n".join([*lines, "", *(line for note in notes for line in textwrap.wrap(note, WIDTH))])


def page(found: Description) -> str:
    """One method: what it is, what it needs, its options, examples."""
    lines = [found.summary.rstrip("."), f"models: {', '.join(found.roles)}"]
    if found.name.endswith(SUFFIX):
        lines.append(SPECULATION)
    if found.speculating:
        lines.append(f"{found.speculating}: {SPECULATION[0].lower()}{SPECULATION[1:]}")
    wrapped = [part for line in lines for part in textwrap.wrap(line, WIDTH)]
    width = max((len(_assigned(option)) for option in found.options), default=0) + 2
    options = [line for option in found.options for line in _option(option, width)]
    examples = [f"specs solve --example --method {example}" for example in found.examples]
    return "\n".join([*wrapped, "", *(options or ["no options of its own"]), "", *examples])


def _assigned(option: Option) -> str:
    return f"{option.name}={text_of(option.default)}"


def _option(option: Option, width: int) -> list[str]:
    """Name and default, what it does, and which values it may have."""
    values = option.values.replace("None", "none").replace("'", "")
    text = f"{option.text.rstrip('.')} ({values})"
    return textwrap.wrap(text, WIDTH, initial_indent=_assigned(option).ljust(width), subsequent_indent=" " * width)
