"""`specs plan`: will the three models fit, where, and how many solves at a time?

Reads the sizes of the models (a folder, or headers on the hub) and of the GPUs, and says on which GPU
vLLM should serve each model, with what share of its memory. Exit code 1 if there is no room.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from specs.cli.options import count
from specs.deploy.memory_plan import CEILING, Model, Plan, Server, Workload, gigabytes, plan
from specs.deploy.sizes import parse_gpus, read_model
from specs.errors import InputError
from specs.methods.specs import Specs
from specs.types import Role

ORDER = (Role.DRAFT, Role.TARGET, Role.PRM)


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("plan", help="which model fits on which GPU", description=__doc__)
    add_servers(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(run=run)


def add_servers(parser: argparse.ArgumentParser) -> None:
    """Models, GPUs and the largest solve: what `plan_of` reads."""
    for role in ORDER:
        parser.add_argument(f"--{role}", metavar="MODEL", help=f"{role} model: a folder or a hub id")
    parser.add_argument(
        "--gpus", default="auto", metavar="GB,GB,...",
        help="gigabytes of each GPU; auto asks nvidia-smi (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--context", type=count, default=4096, help="most tokens of prompt and solution (default: %(default)s)"
    )
    parser.add_argument("--max-step-tokens", type=count, default=512, help="of one step (default: %(default)s)")
    parser.add_argument("--n", type=count, default=Specs().n, help="candidates a step (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    found = plan_of(args)
    print(json.dumps(plan_json(found)) if args.json else table(found))
    return 0


def load_of(args: argparse.Namespace) -> Workload:
    return Workload(args.context, args.max_step_tokens, args.n)


def models_of(args: argparse.Namespace, load: Workload) -> dict[Role, Model]:
    """The models by role; the bundled ones if none is named."""
    given = {role: getattr(args, role) for role in ORDER}
    if not any(given.values()):
        given = dict.fromkeys(ORDER, "bundled")
    if missing := [f"--{role}" for role, name in given.items() if not name]:
        raise InputError(f"give {' and '.join(missing)} too: a plan is for three models")
    models = {role: read_model(name, role) for role, name in given.items()}
    for role, model in models.items():
        load.check(role, model)
    return models


def plan_of(args: argparse.Namespace) -> Plan:
    load, gpus = load_of(args), parse_gpus(args.gpus)  # bad values are told before the hub is asked
    return plan(models_of(args, load), gpus, load)


def table(plan: Plan) -> str:
    """The plan on one screen."""
    titles = ("role", "model", "weights", "KV a token", "GPU", "utilisation", "tokens of KV", "solves")
    rows = [titles, *(_cells(server, plan.load) for server in plan.servers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(cells))
        for cells in (tuple(zip(row, widths, strict=True)) for row in rows)
    ]
    load = plan.load
    most = f"with {load.n} candidates a step, steps of at most {load.step_tokens} tokens, {load.context} tokens in all"
    return "\n".join([*lines, f"solves at the same time: {plan.solves} ({most})"])


def _cells(server: Server, load: Workload) -> tuple[str, ...]:
    model = server.model
    return (
        server.role,
        model.name,
        f"{gigabytes(model.weights)} GB",
        f"{'<= ' if model.windowed else ''}{model.kv_per_token() / 1000:.1f} kB",
        ",".join(gpu.name for gpu in server.gpus),
        f"{server.utilisation:.3f}",
        f"{server.kv_tokens:,}",
        str(server.kv_tokens // load.kv_tokens()),
    )


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain values: bytes, tokens, shares of a GPU."""
    return {
        "solves": plan.solves,
        "context": plan.load.context,
        "max_step_tokens": plan.load.step_tokens,
        "n": plan.load.n,
        "ceiling": CEILING,
        "servers": [
            {
                "role": str(server.role),
                "model": server.model.name,
                "architecture": server.model.architecture,
                "weights_bytes": server.model.weights,
                "kv_bytes_per_token": server.model.kv_per_token(),
                "kv_is_upper_bound": server.model.windowed,
                "gpus": [{"name": gpu.name, "bytes": gpu.memory} for gpu in server.gpus],
                "gpu_memory_utilization": server.utilisation,
                "kv_tokens": server.kv_tokens,
            }
            for server in plan.servers
        ],
    }
