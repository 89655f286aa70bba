"""`specs launch`: serve draft, target and PRM with vLLM.

Prints a command for each server, and the command that solves a question on them. With `--start` it runs the
servers itself: it starts those that share a GPU one after another, waits until all answer, and ends all on
Ctrl-C, SIGTERM, or when one ends. With `--dry-run` it only says which model fits on which GPU, with what
share of its memory, and how many solves fit at the same time; exit code 1 if the models do not fit. It reads
sizes from a model's folder or from headers on the hub. The API key comes from SPECS_API_KEY. With `--think` the
context holds a question, thinking and an answer, and no PRM is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from specs.cli.parsing import above_zero, count
from specs.cli.plan_table import plan_json, table
from specs.config import Limits
from specs.config.solve_config import MAX_THINKING_STEP_TOKENS
from specs.deploy.commands import Command, cpu_commands, gpu_commands, solve_command
from specs.deploy.memory_plan import Model, Plan, Workload, plan
from specs.deploy.processes import SIGNALS, ServerProcesses
from specs.deploy.sizes import parse_gpus, read_model
from specs.deploy.thinking_plan import plan_thinking, thinking_load
from specs.engines.event_loop import wait
from specs.engines.protocol import never_stop
from specs.engines.vllm.server import connect
from specs.errors import InputError
from specs.methods.specs import Specs
from specs.types import Role

CONTEXT, STEP_TOKENS = 4096, 512
"""Planned tokens of a solve and of a step without thinking."""
LAW = (
    "The target scores at temperature 1, so steps must be sampled at temperature 1. For another temperature or top_p,",
    "install this package in vLLM's environment as well and give --plugins.",
)
"""A note about scores without the plugin."""
NO_PARSER = (
    "No --reasoning-parser: with one, vLLM may pass over the blank lines at which steps end inside the thinking.",
)
"""A note about servers of models that think."""


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("launch", help="serve the models with vLLM", description=__doc__)
    for role in Role:
        parser.add_argument(f"--{role}", metavar="MODEL", help=f"{role} model: a folder or a hub id")
    parser.add_argument(
        "--gpus", default="auto", metavar="GB,GB,...",
        help="gigabytes of each GPU; auto asks nvidia-smi (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--context", type=count, metavar="TOKENS",
        help=f"most tokens of prompt and solution (default: {CONTEXT}; with --think what that takes)",
    )  # fmt: skip
    parser.add_argument(
        "--max-step-tokens", type=count, metavar="TOKENS",
        help=f"most tokens of one step (default: {STEP_TOKENS}, or {MAX_THINKING_STEP_TOKENS} inside the thinking)",
    )  # fmt: skip
    parser.add_argument(
        "--think", action="store_true",
        help="for models that think: contexts and sequences for long traces; a PRM is optional",
    )  # fmt: skip
    parser.add_argument(
        "--thinking-tokens", type=count, metavar="TOKENS",
        help=f"most tokens inside the thinking (default: {Limits().max_thinking_tokens})",
    )  # fmt: skip
    parser.add_argument("--n", type=count, default=Specs().n, help="candidates a step (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="only show which model fits where")
    parser.add_argument("--json", action="store_true", help="with --dry-run: print the plan as one JSON object")
    parser.add_argument("--cpu", action="store_true", help="without GPUs: small models, in float32")
    parser.add_argument(
        "--plugins", action="store_true",
        help="this package is installed beside vLLM: scores at any temperature, rewards after a cached prefix",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8000, help="the draft's port; the others follow (default: %(default)s)"
    )
    parser.add_argument("--start", action="store_true", help="run the servers until this command ends")
    parser.add_argument(
        "--logs",
        type=Path,
        default=Path("logs"),
        metavar="DIR",
        help="with --start: one log per server (default: logs)",
    )
    parser.add_argument(
        "--wait", type=above_zero, default=1800.0, metavar="SECONDS",
        help="with --start: longest wait until all answer, downloads included (default: %(default)g)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    """A port with two more after it."""
    if not text.isdecimal() or not 1 <= int(text) <= 65533:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give one from 1 to 65533")
    return int(text)


def run(args: argparse.Namespace) -> int:
    if args.dry_run:
        for flag in ("start", "cpu"):
            if getattr(args, flag):
                raise InputError(f"--dry-run starts nothing and plans for GPUs; leave out --{flag}")
        found = plan_of(args)
        print(json.dumps(plan_json(found)) if args.json else table(found))
        return 0
    if args.json:
        raise InputError("--json is for --dry-run; give that too")
    commands = commands_of(args)
    if args.start:
        return _start(args, commands)
    print(script(args, commands))
    return 0


def _start(args: argparse.Namespace, commands: list[Command]) -> int:
    """Run the servers until a signal comes; while they are still starting, a signal is an interruption."""
    for one in SIGNALS:
        signal.signal(one, signal.default_int_handler)
    key = os.environ.get("SPECS_API_KEY")
    with ServerProcesses(commands, args.logs, _say) as servers:
        servers.start(args.wait, {"VLLM_API_KEY": key} if key else {})
        target = next(command for command in commands if command.role is Role.TARGET)
        raw = wait(connect(target.url, key, 60.0), never_stop).facts.raw_scores
        with suppress(KeyboardInterrupt):
            for note in _notes(args, commands, bool(key), raw):
                _say(note)
            print(solve_command(commands, load_of(args), raw), flush=True)  # last: whoever reads it may use the servers
            servers.watch()
    _say("all servers have ended")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def load_of(args: argparse.Namespace) -> Workload:
    if args.think:
        return thinking_load(args.n, args.thinking_tokens, args.max_step_tokens, args.context)
    if args.thinking_tokens is not None:
        raise InputError("--thinking-tokens is the budget of thinking; add --think")
    return Workload(args.context or CONTEXT, args.max_step_tokens or STEP_TOKENS, args.n)


def models_of(args: argparse.Namespace, load: Workload) -> dict[Role, Model]:
    """The models by role; without thinking the bundled ones if none is named."""
    given = {role: getattr(args, role) for role in Role}
    if not any(given.values()) and not args.think:
        given = dict.fromkeys(Role, "bundled")
    optional = {Role.PRM} if args.think else set[Role]()
    if missing := [f"--{role}" for role, name in given.items() if not name and role not in optional]:
        needed = "a draft and a target that can think" if args.think else "three models"
        raise InputError(f"give {' and '.join(missing)} too: a plan needs {needed}")
    models = {role: read_model(name, role) for role, name in given.items() if name}
    for role, model in models.items():
        load.check(role, model)
    return models


def plan_of(args: argparse.Namespace) -> Plan:
    load, gpus = load_of(args), parse_gpus(args.gpus)  # report bad values before asking the hub
    return (plan_thinking if args.think else plan)(models_of(args, load), gpus, load)


def commands_of(args: argparse.Namespace) -> list[Command]:
    if not args.cpu:
        return gpu_commands(plan_of(args), args.host, args.port, args.plugins)
    if args.gpus != "auto":
        raise InputError("--cpu is for a machine without GPUs; leave out --gpus, or --cpu")
    load = load_of(args)
    return cpu_commands(models_of(args, load), load, args.host, args.port, args.plugins)


def script(args: argparse.Namespace, commands: list[Command]) -> str:
    """The commands as lines for a shell, with comments."""
    secret = "SPECS_API_KEY" in os.environ
    lines = []
    for command in commands:
        after = f", once {' and '.join(command.after)} answer{'s' * (len(command.after) == 1)}" if command.after else ""
        lines += [f"# {command.role}{after}", command.line(secret)]
    lines += ["# when all answer /health", solve_command(commands, load_of(args), not args.plugins)]
    if any(command.after for command in commands):
        lines.append("# vLLM measures the memory of a GPU while it starts: one server after another on each.")
    return "\n".join([*lines, *(f"# {note}" for note in _notes(args, commands, secret, not args.plugins))])


def _notes(args: argparse.Namespace, commands: list[Command], secret: bool, raw: bool) -> list[str]:
    """What the reader of the commands should know; `raw`: whether the target scores at temperature 1."""
    return [*_openness(commands, secret), *(NO_PARSER if args.think else ()), *(LAW if raw else ())]


def _openness(commands: list[Command], secret: bool) -> list[str]:
    if secret or commands[0].host == "127.0.0.1":
        return []
    return ["Whoever reaches this host can use the servers: set SPECS_API_KEY here and where specs runs."]
