"""A memory plan on one screen, and as JSON."""

from __future__ import annotations

from typing import Any

from specs.deploy.memory_plan import CEILING, Plan, Server, Workload, gigabytes


def table(plan: Plan) -> str:
    """The plan on one screen."""
    titles = ("role", "model", "weights", "KV a token", "GPU", "utilisation", "tokens of KV", "solves")
    rows = [titles, *(_cells(server, plan.load) for server in plan.servers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(cells))
        for cells in (tuple(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([*lines, _solves(plan)])


def _solves(plan: Plan) -> str:
    """How many solves fit at the same time."""
    load = plan.load
    step = f"with {load.n} candidates a step, steps of at most {load.step_tokens} tokens"
    if load.thinking_tokens is None:
        return f"solves at the same time: {plan.solves} ({step}, {load.context} tokens in all)"
    parts = f"thinking at most {load.thinking_tokens:,}, answer and question {load.context - load.thinking_tokens:,}"
    return f"traces of {load.context:,} tokens at the same time: {plan.solves} ({parts}; {step})"


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
        **(
            {}
            if plan.load.thinking_tokens is None
            else {"thinking_tokens": plan.load.thinking_tokens, "max_num_seqs": plan.sequences}
        ),
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
