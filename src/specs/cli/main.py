"""`specs`: the entry point. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

from specs import __version__
from specs.cli import (
    bench,
    calibrate,
    check_prm,
    doctor,
    evaluate,
    grade,
    launch,
    plan,
    problems,
    replay,
    report,
    serve,
    solve,
    study,
    theory,
    view,
)
from specs.cli.options import Parser
from specs.errors import InputError, ModelError, SpecsError, described


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every error is one line on standard error."""
    try:
        args = _arguments(sys.argv[1:] if argv is None else argv)
        code = args.run(args)
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the last flush fails once more
        return 1
    except OSError as error:  # a full disk, say
        print(f"specs: {described(error)}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _arguments(words: Sequence[str]) -> argparse.Namespace:
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
    running = (solve, problems, bench, evaluate, report, calibrate, replay, view, grade, check_prm, theory, study)
    for command in (*running, serve, doctor, plan, launch):
        command.add(commands)
    return top
