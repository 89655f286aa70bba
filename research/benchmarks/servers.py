"""Speed of the vLLM engine with models large enough to hide its overhead.

    python -m research.benchmarks.servers [--repeats N] [--solves N] [--out FILE]

Three servers on this machine's CPU (`specs launch --cpu`, so `vllm` has to be on PATH and this package
installed beside it) with random weights: target and PRM of about 100 M parameters, a draft of about 10 M.
Steps are always `LENGTH` tokens long, n = 8.

1. Scoring the candidates of one step after a prefix of `PREFIX` tokens: with the prefix cached, and with
   log-probabilities of the whole prompt, as an unmodified server computes them.
2. A step that the draft writes and target and PRM verify (`specs`, the draft first, tau 0), compared with
   a step of beam search. The first step of a solve, which computes the prompt, does not count.
3. Latency and throughput of 1 to 32 solves at the same time.

Everything is warmed up and takes turns; medians with 10th and 90th percentiles; JSON last.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from research.benchmarks.light_backend import random_model
from specs import load
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.deploy.commands import cpu_commands
from specs.deploy.memory_plan import Workload
from specs.deploy.processes import ServerProcesses
from specs.deploy.sizes import read_model
from specs.engines.event_loop import wait
from specs.engines.folders import BUNDLED
from specs.engines.protocol import Models, never_stop
from specs.engines.vllm.server import Server, connect
from specs.methods import Method
from specs.methods.beam import Beam
from specs.methods.specs import Specs
from specs.traces.schema import write_json
from specs.types import Role, SamplingParams, StepPolicy, StepRecord

SHAPES = {  # hidden, mlp, layers, heads, head width, labels (0: a language model)
    Role.DRAFT: (256, 704, 12, 4, 64, 0),
    Role.TARGET: (768, 2048, 14, 12, 64, 0),
    Role.PRM: (768, 2048, 14, 12, 64, 2),
}
PREFIX, LENGTH, N = 1200, 16, 8
STEPS, STEPS_AT_A_TIME = 9, 4
WIDTHS = (1, 2, 4, 8, 16, 32)
LAW = SamplingParams(0.7, 1.0, StepPolicy.chunks(LENGTH))
QUESTION = "Ann has 3 apples and buys 41 more. " * 20


def folders(scratch: Path) -> dict[Role, str]:
    """Write folders of random models with the bundled vocabulary; returns their paths by role."""
    found: dict[Role, str] = {}
    for role, shape in SHAPES.items():
        folder = random_model(scratch / role, *shape)
        for file in (BUNDLED / role).glob("*"):
            if "token" in file.name or file.suffix == ".jinja":
                shutil.copy(file, folder)
        found[role] = str(folder)
    return found


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, 10th and 90th percentile."""
    low, median, high = np.quantile(seconds, (0.1, 0.5, 0.9))
    return {"median": round(float(median), 4), "p10": round(float(low), 4), "p90": round(float(high), 4)}


def scoring(url: str, repeats: int) -> dict[str, Any]:
    """Seconds to score the candidates of one step, with a cached prefix and without."""
    server = wait(connect(url, None, 600.0), never_stop)
    if not server.facts.suffix:
        raise SystemExit("the target does not score after a cached prefix: is this package installed beside vLLM?")
    bare = replace(server.facts, plugin=False, v2=False, lists=False)
    ways = {"cached": server, "whole": Server(server.client, bare)}
    rng = np.random.default_rng(0)
    prefix = rng.integers(10, 790, PREFIX).tolist()
    wait(server.next_tokens([prefix]), never_stop)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    worst = 0.0
    for repeat in range(repeats + 1):
        paths = rng.integers(10, 790, (N, LENGTH)).tolist()
        found: dict[str, list[list[float]]] = {}
        for name in ways if repeat % 2 else reversed(ways):
            begun = time.perf_counter()
            found[name], _ = wait(ways[name].score(prefix, paths, SamplingParams(1.0)), never_stop)
            if repeat:  # the first one warms up
                seconds[name].append(time.perf_counter() - begun)
        worst = max(worst, float(np.abs(np.subtract(found["cached"], found["whole"])).max()))
    ratios = [one / other for one, other in zip(seconds["cached"], seconds["whole"], strict=True)]
    return {
        "prefix": PREFIX, "candidates": N, "tokens": LENGTH, "largest_difference_nats": worst,
        "seconds": {name: spread(found) for name, found in seconds.items()}, "ratio": spread(ratios),
    }  # fmt: skip


def solve(models: Models, method: Method, seed: int, steps: int) -> Any:
    limits = Limits(max_steps=steps, max_tokens=steps * LENGTH)
    result = stream(QUESTION, models, SolveConfig(method, LAW, limits, seed=seed)).result
    if result.error is not None:
        raise SystemExit(f"a solve failed: {result.error}")
    return result


def later(records: Sequence[StepRecord]) -> list[float]:
    """Seconds of every step but the first."""
    return [record.seconds.wall for record in records[1:]]


def steps(models: Models, repeats: int) -> dict[str, Any]:
    """Seconds of a drafted and verified step, and of a step of beam search, after the prompt is computed."""
    methods: dict[str, Method] = {"draft": Specs(N, tau=0.0, accept_weight=0.0, verify="all"), "beam": Beam(N)}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for seed in range(repeats + 1):
        order = list(methods) if seed % 2 else list(reversed(methods))
        walls = {name: later(solve(models, methods[name], seed, STEPS).steps) for name in order}
        if seed and all(walls.values()):  # random weights may end a solve with its first step
            for name in methods:
                seconds[name].append(sum(walls[name]) / len(walls[name]))
        print({name: len(found) for name, found in walls.items()}, file=sys.stderr, flush=True)
    ratios = [one / other for one, other in zip(seconds["draft"], seconds["beam"], strict=True)]
    return {"seconds": {name: spread(found) for name, found in seconds.items()}, "ratio": spread(ratios)}


def at_a_time(models: Models, solves: int) -> list[dict[str, Any]]:
    """Latency and throughput of `specs` for each number of concurrent solves in `WIDTHS`."""
    method, found = Specs(N, accept_weight=0.0, verify="all"), []
    for width in WIDTHS:
        count = max(solves, width)
        begun = time.perf_counter()
        with ThreadPoolExecutor(width) as pool:
            results = list(pool.map(lambda seed: solve(models, method, seed, STEPS_AT_A_TIME), range(count)))
        wall = time.perf_counter() - begun
        row = {"at_a_time": width, "solves": count, "solves_per_minute": round(60 * count / wall, 2),
               "latency_s": spread([result.latency_s for result in results])}  # fmt: skip
        print(f"{width:>3} at a time: {row['solves_per_minute']:.1f} solves a minute, {row['latency_s']}", flush=True)
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--solves", type=int, default=8, help="least number of solves for each number at the same time")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        names = folders(Path(scratch))
        size = Workload(context=2048, step_tokens=LENGTH, n=N)
        commands = cpu_commands(
            {role: read_model(name, role) for role, name in names.items()}, size, "127.0.0.1", port, True
        )
        with ServerProcesses(commands, Path(scratch) / "logs", lambda line: print(line, file=sys.stderr)) as servers:
            servers.start(900.0, {})
            urls = {command.role: command.url for command in commands}
            models = load(urls[Role.DRAFT], urls[Role.TARGET], urls[Role.PRM])
            record: dict[str, Any] = {"scoring": scoring(urls[Role.TARGET], args.repeats)}
            print("scoring", record["scoring"], flush=True)
            record["step"] = steps(models, args.repeats)
            print("step", record["step"], flush=True)
            record["concurrency"] = at_a_time(models, args.solves)
    if args.out is not None:
        write_json(args.out, record, indent=1)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
