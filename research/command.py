"""Runs research commands like those of `specs`: one line for an error, the same exit codes."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence

from specs.cli.main import reported
from specs.cli.parsing import Parser


def main(
    module: str,
    description: str | None,
    add: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
    words: Sequence[str] | None = None,
) -> int:
    """Run `python -m MODULE` and return its exit code.

    Args:
        add: adds the command's options to the parser.
        run: does the work; returns the exit code.
        words: the command-line arguments; None for those of the process.
    """

    def command() -> int:
        given = sys.argv[1:] if words is None else words
        parser = Parser(prog=f"python -m {module}", description=description)
        add(parser)
        args = parser.parse_args(given)
        args.command = shlex.join(["python", "-m", module, *given])
        return run(args)

    return reported(command)
