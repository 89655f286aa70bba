"""Requests that a problem takes on vLLM servers, and latency, of this checkout and of an older one.

    python -m research.benchmarks.requests [--old FOLDER] [--runs N] [--limit N] [--tier TIER] [--out FILE]

Three servers on this machine's CPU with the bundled models (`specs launch --cpu`, so `vllm` has to be on PATH and this
package installed beside it). Each run solves `--limit` problems of its own with every method, one at a time and several
at a time, and all ways take turns. With `--old`, a second process solves the same problems on the same servers with the
code of another checkout (`git worktree add FOLDER COMMIT`). The servers forget what they have cached before each turn.

1. Requests a problem, counted in the client, by role and endpoint.
2. Latency, and its ratio to that of `beam` by problem: medians with 95% intervals; busy seconds by phase.
3. With `--old`: the ratio of both to those of the older checkout, and how many solves wrote the same tokens.

Measurements of latency need a machine that does nothing else. JSON last.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from research.benchmarks.bundled import LIMITS, finish, paired, solve
from specs import load
from specs.config.text import method_from_text
from specs.deploy.commands import cpu_commands
from specs.deploy.memory_plan import Workload
from specs.deploy.processes import ServerProcesses
from specs.deploy.sizes import read_model
from specs.engines.folders import BUNDLED
from specs.engines.vllm.client import Client
from specs.methods.registry import make
from specs.types import Role

METHODS = ("specs:verify=drawn", "specs:verify=all", "beam")
WIDTHS = (1, 8)
"""Numbers of solves at the same time."""
WARM_UP = 1_000
"""Added to the problem seeds of solves that do not count."""
Way = tuple[str, str, int]
"""A checkout, a method and a number of solves at the same time."""


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """The bundled models on three servers; yields their addresses by role."""
    with tempfile.TemporaryDirectory() as scratch, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        models = {role: read_model(str(BUNDLED / role), role) for role in (Role.DRAFT, Role.TARGET, Role.PRM)}
        commands = cpu_commands(models, Workload(2 * LIMITS.max_tokens, 64, 8), "127.0.0.1", port, True)
        forgetful = {"VLLM_SERVER_DEV_MODE": "1"}  # for /reset_prefix_cache
        commands = [replace(one, environment={**one.environment, **forgetful}) for one in commands]
        with ServerProcesses(commands, Path(scratch) / "logs", lambda line: print(line, file=sys.stderr)) as servers:
            servers.start(900.0, {})
            yield {str(command.role): command.url for command in commands}


class Checkout:
    """A process that solves problems with the code of a checkout, one order at a time."""

    def __init__(self, folder: Path, urls: Mapping[str, str]) -> None:
        environment = os.environ | {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}"}
        # -P: this file must not hide the package `requests`.
        command = [sys.executable, "-P", str(Path(__file__).resolve()), "--serve", json.dumps(urls)]
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def solve(self, method: str, tier: str, seeds: Sequence[int], at_a_time: int) -> dict[str, Any]:
        """Latencies, digests of the tokens and requests of some problems."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([method, tier, list(seeds), at_a_time]), file=self._process.stdin, flush=True)
        if not (line := self._process.stdout.readline()):
            raise SystemExit("a solve failed; see above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def serve(urls: Mapping[str, str]) -> None:
    """Solve what standard input orders; this also runs with the code of older checkouts."""
    role_of, sent = {url: role for role, url in urls.items()}, Counter[str]()
    post = Client.post

    def counted(client: Client, path: str, body: dict[str, Any]) -> Any:
        sent[f"{role_of[client.url]} {path}"] += 1
        return post(client, path, body)

    Client.post = counted  # type: ignore[method-assign]
    models = load(urls["draft"], urls["target"], urls["prm"])
    for line in sys.stdin:
        name, tier, seeds, at_a_time = json.loads(line)
        method_name, options = method_from_text(name)
        method = make(method_name, **options)
        sent.clear()
        with ThreadPoolExecutor(at_a_time) as pool:
            results = list(pool.map(partial(solve, models, method, tier), seeds))
        tokens = [[step.token_ids for record in one.steps for step in record.candidates] for one in results]
        answer = {
            "latency_s": [result.latency_s for result in results],
            "digests": [hashlib.sha256(repr(one).encode()).hexdigest() for one in tokens],
            "requests": dict(sent),
            "phases_s": [asdict(result.seconds) for result in results],
        }
        print(json.dumps(answer), flush=True)


def forget(urls: Mapping[str, str]) -> None:
    """Empty the prefix caches of the servers."""
    for url in urls.values():
        with urlopen(Request(f"{url}/reset_prefix_cache", method="POST")):
            pass


def measured(
    checkouts: Mapping[str, Checkout], urls: Mapping[str, str], args: argparse.Namespace
) -> dict[Way, list[dict[str, Any]]]:
    """The answers of every way, run by run."""
    ways: list[Way] = list(product(checkouts, METHODS, WIDTHS))
    found: dict[Way, list[dict[str, Any]]] = {way: [] for way in ways}
    for name, method, width in ways:
        checkouts[name].solve(method, args.tier, [args.problem_seed + WARM_UP + k for k in range(width)], width)
    for run in range(args.runs):
        seeds = [args.problem_seed + run * args.limit + k for k in range(args.limit)]
        turn = run % len(ways)
        for name, method, width in (*ways[turn:], *ways[:turn]):
            forget(urls)
            found[name, method, width].append(checkouts[name].solve(method, args.tier, seeds, width))
        print(f"run {run + 1} of {args.runs}", file=sys.stderr, flush=True)
    return found


def by_problem(answers: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    return [value for answer in answers for value in answer[key]]


def mean_phases(solves: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean busy seconds of a solve by phase."""
    return {phase: round(sum(one[phase] for one in solves) / len(solves), 4) for phase in solves[0]}


def summary(found: Mapping[Way, list[dict[str, Any]]], way: Way) -> dict[str, Any]:
    """Requests and latency of one way, and how they compare with `beam` and with the older checkout."""
    name, method, width = way
    problems = sum(len(answer["latency_s"]) for answer in found[way])
    sent = sum((Counter[str](answer["requests"]) for answer in found[way]), Counter[str]())
    latency = by_problem(found[way], "latency_s")
    row: dict[str, Any] = {
        "checkout": name, "method": method, "at_a_time": width, "problems": problems,
        "requests_a_problem": round(sum(sent.values()) / problems, 1),
        "by_endpoint": {place: round(count / problems, 1) for place, count in sorted(sent.items())},
        "mean_latency_s": round(sum(latency) / problems, 4),
        "phases_s": mean_phases(by_problem(found[way], "phases_s")),
    }  # fmt: skip
    if method != "beam":
        row["latency_to_beam"] = paired(latency, by_problem(found[name, "beam", width], "latency_s"))
    if name == "new" and (old := found.get(("old", method, width))) is not None:
        before = sum(sum(answer["requests"].values()) for answer in old)
        row["requests_to_old"] = round(sum(sent.values()) / before, 3)
        row["latency_to_old"] = paired(latency, by_problem(old, "latency_s"))
        pairs = zip(by_problem(found[way], "digests"), by_problem(old, "digests"), strict=True)
        row["same_tokens"] = sum(one == other for one, other in pairs)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="folder of an older checkout")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--limit", type=int, default=8, help="problems a run")
    parser.add_argument("--tier", default="hard")
    parser.add_argument("--problem-seed", type=int, default=1_022_500)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        serve(args.serve)
        return
    folders = {"new": Path(__file__).resolve().parents[2]}
    if args.old is not None:
        folders["old"] = args.old.resolve()
    with ExitStack() as running:
        urls = running.enter_context(serving())
        checkouts = {name: Checkout(folder, urls) for name, folder in folders.items()}
        for checkout in checkouts.values():
            running.callback(checkout.close)
        found = measured(checkouts, urls, args)
    rows = [summary(found, way) for way in found]
    for row in rows:
        print({name: value for name, value in row.items() if name not in ("by_endpoint", "phases_s")}, flush=True)
    record = {"tier": args.tier, "problem_seed": args.problem_seed, "runs": args.runs, "limit": args.limit}
    finish({**record, "ways": rows}, args.out)


if __name__ == "__main__":
    main()
