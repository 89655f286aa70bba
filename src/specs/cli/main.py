"""`specs`: the entry point. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import errno
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
from specs.errors import InputError, ModelError, SpecsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every error is one line on standard error."""
    try:
        words = sys.argv[1:] if argv is None else argv
        args = parser().parse_args(words)
        args.command = shlex.join(["specs", *words])
        return args.run(args)
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
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the last flush fails once more
        if error.errno == errno.ENOSPC:  # a closed pipe is no error: its reader, such as `head`, has seen enough
            print("specs: the disk is full; free some space, or write elsewhere", file=sys.stderr)
        return 1


def parser() -> Parser:
    """Reads the arguments of all commands."""
    top = Parser(prog="specs", description="Faster test-time scaling through speculative drafts (arXiv 2506.15733).")
    top.add_argument("--version", action="version", version=f"specs {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    running = (solve, problems, bench, evaluate, report, calibrate, replay, view, grade, check_prm, theory, study)
    for command in (*running, serve, doctor, plan, launch):
        command.add(commands)
    return top
