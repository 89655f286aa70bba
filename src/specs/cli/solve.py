"""`specs solve`: one question, step by step."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from specs.bundled.problems import generate
from specs.cli.options import (
    add_early_exit,
    add_models,
    add_n,
    add_preset,
    add_sampling,
    add_settings,
    early_exit_of,
    method_of,
    models_of,
)
from specs.cli.show import Screen
from specs.config import SolveConfig
from specs.config.text import method_from_text
from specs.decoding.latency_model import LatencyModel
from specs.decoding.stream import Stream, stream
from specs.errors import InputError
from specs.traces.schema import check_writable, json_text, result_json, write_json
from specs.types import Finish

EXAMPLE_SEED = 1_000_004


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("solve", help="solve one question, step by step", description=__doc__)
    parser.add_argument("question", nargs="?", help="the question; - reads it from standard input")
    parser.add_argument("--example", action="store_true", help="use a built-in question")
    parser.add_argument(
        "--method", type=method_from_text, metavar="NAME",
        help="a method with its options: specs:n=16:tau=0.8 (default: specs); 'specs methods' lists them",
    )  # fmt: skip
    add_n(parser)
    add_sampling(parser)
    add_early_exit(parser)
    add_settings(parser)
    add_preset(parser)
    add_models(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--candidates", action="store_true", help="show all candidates of every step")
    output.add_argument(
        "--trace", type=Path, metavar="FILE", help="write the full record as JSON, gzipped if FILE ends in .gz"
    )
    output.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    question, right = _question(args)
    method, sampling, limits = method_of(args)
    config = SolveConfig(method, sampling, limits, args.seed, early_exit_of(args))
    if args.trace is not None:
        check_writable(args.trace)
    models = models_of(args, [method])
    screen = None if args.json else Screen(sys.stdout, args.candidates)
    running = stream(question, models, config, latency_model=LatencyModel())
    if screen:
        screen.question(question, {str(role): getattr(models, role).name for role in sorted(method.roles)})
    for note in models.notes(question):
        print(f"specs: {note}", file=sys.stderr)
    with _interruptible(running):
        for step in running:
            if screen:
                screen.step(step)
        result = running.result
    if args.trace is not None:
        write_json(args.trace, result_json(result, candidates=True))
    if screen:
        screen.result(result, right)
        if args.trace is not None:
            screen.line(f"trace    {args.trace}")
    else:
        print(json_text(result_json(result)))
    if result.finish_reason is Finish.CANCELLED:
        print("specs: interrupted; this is the best trace so far", file=sys.stderr)
    elif result.finish_reason is Finish.ERROR:
        print(f"specs: {result.error}", file=sys.stderr)
    return 1 if result.finish_reason in (Finish.CANCELLED, Finish.ERROR) else 0


def _question(args: argparse.Namespace) -> tuple[str, str | None]:
    """The question, and its right answer if it is known."""
    if args.example:
        if args.question:
            raise InputError("give a question or --example, not both")
        problem = generate("medium", EXAMPLE_SEED)
        return problem.question, problem.answer
    if args.question is None:
        raise InputError("no question; give one, - for standard input, or --example")
    try:
        question = sys.stdin.read() if args.question == "-" else args.question
    except UnicodeDecodeError:
        raise InputError("standard input is not UTF-8 text") from None
    if not question.strip():
        raise InputError("the question is empty; write what to solve")
    return question.strip(), None


@contextmanager
def _interruptible(running: Stream) -> Iterator[None]:
    """While inside, Ctrl-C ends the solve within a token and keeps its trace; a second one ends the program."""

    def stop(signum: int, frame: object) -> None:
        running.cancel()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
