"""`specs launch`: the commands that serve draft, target and PRM with vLLM.

Plans as `specs plan` does and prints a command a server, and the line that solves a question on them.
An API key is taken from SPECS_API_KEY.
"""

from __future__ import annotations

import argparse
import os

from specs.cli.plan import add_servers, load_of, models_of, plan_of
from specs.errors import InputError
from specs.serving.commands import Command, on_cpu, on_gpus, solve_line
from specs.serving.memory import Load

LAW = (
    "Given tokens are scored at temperature 1. For scores under --temperature and --top-p install this package",
    "beside vLLM (pip install specs-llm) and set VLLM_USE_V2_MODEL_RUNNER=0 for the servers.",
)
CPU_LAW = (
    "Given tokens are scored at temperature 1, and their whole prefix with them. For scores under --temperature",
    "and --top-p that read the prefix from the cache install this package beside vLLM (pip install specs-llm).",
)


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("launch", help="serve the models with vLLM", description=__doc__)
    add_servers(parser)
    parser.add_argument("--cpu", action="store_true", help="without GPUs: small models, in float32")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8000, help="of the draft; the others follow (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    """A port with two more behind it."""
    if not text.isdecimal() or not 1 <= int(text) <= 65533:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give one from 1 to 65533")
    return int(text)


def run(args: argparse.Namespace) -> int:
    print(script(commands_of(args), load_of(args), args.cpu))
    return 0


def commands_of(args: argparse.Namespace) -> list[Command]:
    if not args.cpu:
        return on_gpus(plan_of(args), args.host, args.port)
    if args.gpus != "auto":
        raise InputError("--cpu is for a machine without GPUs; leave out --gpus, or --cpu")
    load = load_of(args)
    return on_cpu(models_of(args, load), load, args.host, args.port)


def script(commands: list[Command], load: Load, cpu: bool) -> str:
    """Lines for a shell, and comments."""
    secret = "SPECS_API_KEY" in os.environ
    lines = []
    for command in commands:
        after = f", once {' and '.join(command.after)} answer{'s' * (len(command.after) == 1)}" if command.after else ""
        lines += [f"# {command.role}{after}", command.line(secret)]
    lines += ["# when all answer /health", solve_line(commands, load)]
    return "\n".join([*lines, *(f"# {note}" for note in notes(commands, cpu, secret))])


def notes(commands: list[Command], cpu: bool, secret: bool) -> list[str]:
    found = []
    if any(command.after for command in commands):
        found.append("vLLM measures the memory of a GPU while it starts: one server after another on each.")
    if commands[0].host != "127.0.0.1" and not secret:
        found.append("Whoever reaches this host may use the servers: set SPECS_API_KEY, here and where specs runs.")
    return [*found, *(CPU_LAW if cpu else LAW)]
