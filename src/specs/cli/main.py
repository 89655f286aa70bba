"""`specs`: the entry point. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence

from specs import __version__
from specs.cli import calibrate, doctor, evaluate, grade, launch, methods, report, serve, solve, view
from specs.cli.parsing import Parser
from specs.errors import InputError, ModelError, SpecsError, described
from specs.types.checks import shown, suggestion


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every error is one line on standard error."""

    def command() -> int:
        args = _arguments(sys.argv[1:] if argv is None else argv)
        return args.run(args)

    return reported(command)


def reported(command: Callable[[], int]) -> int:
    """The exit code of a command, its errors printed as one line each."""
    try:
        code = command()
        sys.stdout.flush()  # while an error can still be reported
        return code
    except (InputError, ModelError) as error:
        print(f"specs: {error}", file=sys.stderr)
        return 2
    except SpecsError as error:
        print(f"specs: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print("specs: out of memory; use smaller models, fewer candidates (--n) or a smaller --dtype", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("specs: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails again
        return 1
    except OSError as error:  # for example a full disk
        print(f"specs: {described(error)}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


MOVED = {
    "plan": "specs launch --dry-run",
    "check-prm": "specs doctor --prm MODEL",
    "problems": "specs eval --list",
    "replay": "specs report --replay FILE",
    "bench": "python -m research.benchmarks.quick, with --suite python -m research.cost_suite",
    "study": "python -m research.study",
    "theory": "python -m research.theory",
}
"""The new names of commands of version 0.1; those of `research` run from a clone of the repository."""
COMMANDS = {
    "solve": solve,
    "methods": methods,
    "eval": evaluate,
    "report": report,
    "view": view,
    "grade": grade,
    "calibrate": calibrate,
    "serve": serve,
    "launch": launch,
    "doctor": doctor,
}


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    command = words[0] if words else ""
    if command in MOVED:
        clone = " from a clone of the repository" if MOVED[command].startswith("python") else ""
        raise InputError(f"'specs {command}' is now{clone}: {MOVED[command]}")
    if command and not command.startswith("-") and command not in COMMANDS:
        raise InputError(f"there is no command {shown(command)}; {suggestion(command, COMMANDS)}")
    try:
        args = parser().parse_args(words)
    except SystemExit:  # after --help and --version, which have been printed
        sys.stdout.flush()
        raise
    args.command = shlex.join(["specs", *words])
    return args


def parser() -> Parser:
    """Reads the arguments of all commands."""
    top = Parser(prog="specs", description="Faster test-time scaling through speculative drafts (arXiv 2506.15733).")
    top.add_argument("--version", action="version", version=f"specs {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS.values():
        module.add(commands)
    return top
