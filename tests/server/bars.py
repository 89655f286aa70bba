"""Measures what the server withstands: hostile requests, and a client that floods it.

PYTHONPATH=src:tests python -m server.bars --out research/records/bars.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from server.exchange import answer_to, check
from server.hostile import CHAT, MARK, Case, cases, chat, dumped, head, post
from server.process import ServerProcess, chat_body
from specs.eval.environment import environment
from specs.traces.schema import write_json

SEED = 20_617
HOSTILE = 3000
EDGES = 600
"""How many of the hostile requests are of the kinds in `EDGE_CASES`."""
STALLED = 16
"""Connections that send half a request and stay open, and as many that send a body byte by byte."""
ALONE_S = 8.0
"""Seconds for which the health checks are measured alone, before and after."""
POLITE = 9
ROUNDS, ROUND_S = 3, 5.0
"""Rounds without and with the flood in turn, and the seconds of each."""
PAUSE_S = 0.05
"""Between an answer and the next question of a polite client."""
QUESTION = "Tom has 40 nuts. He gives 6 nuts to each of 3 friends. How many nuts does Tom have now?"


def _parts() -> Case:
    turns = [{"role": "user", "content": [{"t": 1}] * 230}] * 512
    body = json.dumps({"model": "specs", "messages": turns}, separators=(",", ":")).encode()
    return Case("512 x 230 parts", post(body), (400,))


EDGE_CASES: tuple[Callable[[], Case], ...] = (
    _parts,
    lambda: Case("question of 1 MB", post(dumped(chat("nuts " * 209_000))), (400,), "messages"),
    lambda: Case("deep", post(b"[" * 500_000), (400,), "*"),
    lambda: Case("deep field", post(dumped(chat(tools="@")).replace(b'"@"', b"[" * 900 + b"]" * 900)), (400,), "tools"),
    lambda: Case("17 stops", post(dumped(chat(stop=[MARK] * 17))), (400,), "stop"),
    lambda: Case("no content type", post(dumped(chat()), CHAT, "Accept: */*"), (400,)),
    lambda: Case(
        "gzip",
        post(gzip.compress(dumped(chat())), CHAT, "Content-Type: application/json", "Content-Encoding: gzip"),
        (400,),
    ),
    lambda: Case("wrong type", post(dumped(chat(messages={"role": "user"}))), (400,), "messages"),
    lambda: Case("80,000 unknown fields", post(dumped(chat() | {f"{k}": 0 for k in range(80_000)})), (400,)),
    lambda: Case("half a body", post(dumped(chat()))[:-5], (0,), leave=True),
)


def hostile_requests(seed: int, count: int, edges: int) -> list[Case]:
    """`count` hostile requests in random order, `edges` of them of the kinds in `EDGE_CASES`."""
    rng = random.Random(seed)
    others = [case for k in range(-(-count // 2000)) for case in cases(seed + k)]
    kinds = [make() for make in EDGE_CASES]
    found = [*others[: count - edges], *(kinds[k % len(kinds)] for k in range(edges))]
    rng.shuffle(found)
    return found


@contextmanager
def outsider(*words: str) -> Iterator[Callable[[], Any]]:
    """A program of `outsiders.py`; yields what ends it and returns what it found."""
    command = [sys.executable, str(Path(__file__).with_name("outsiders.py")), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def found() -> Any:
            output, _ = process.communicate(timeout=60)
            return json.loads(output)

        try:
            yield found
        finally:
            process.kill()


@contextmanager
def stalled(server: ServerProcess) -> Iterator[None]:
    """Half-open connections, and bodies that arrive byte by byte, as long as the block runs."""
    whole, ended = post(dumped(chat("nuts " * 5000))), threading.Event()
    with ExitStack() as stack:
        half, slow = ([stack.enter_context(server.connect()) for _ in range(STALLED)] for _ in range(2))
        for k, raw in enumerate(half):
            raw.sendall(whole[: 20 * k])
        start = len(head("POST", CHAT, "Host: localhost", "Content-Type: application/json", length=len(whole)))
        for raw in slow:
            raw.sendall(whole[:start])

        def drip() -> None:
            for at in range(start, len(whole)):
                if ended.wait(0.2):
                    return
                for raw in slow:
                    raw.sendall(whole[at : at + 1])

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def percentiles(seconds: Sequence[float]) -> dict[str, Any]:
    """The number of values, and percentiles in seconds."""
    return {"count": len(seconds)} | {f"p{p}": float(np.percentile(seconds, p)) for p in (50, 95, 99, 100)}


@contextmanager
def health_checks(server: ServerProcess) -> Iterator[Callable[[], dict[str, Any]]]:
    """Health checks as long as the block runs: yields what ends them and returns their percentiles.

    `own` leaves out the time for which other programs had the cores (`outsiders.health`).
    """
    with outsider("health", str(server.port), str(server.process.pid)) as ended:

        def found() -> dict[str, Any]:
            took, own = zip(*ended(), strict=True)
            return percentiles(took) | {"own": percentiles(own)}

        yield found


def health_alone(server: ServerProcess) -> dict[str, Any]:
    """Health checks of a server that has nothing else to do: the noise of the machine."""
    with health_checks(server) as ended:
        time.sleep(ALONE_S)
        return ended()


def hostile_bar(folder: Path) -> dict[str, Any]:
    """`HOSTILE` hostile requests, one after another, while another process measures health checks.

    Raises:
        AssertionError: an answer is none of those that its request may get.
    """
    with ServerProcess(folder / "home", "--max-tokens=64") as server:
        with stalled(server):
            for case in hostile_requests(SEED + 100, 1000, 200):  # a warm-up of the same kind
                check(case, *answer_to(server, case))
        before, memory = health_alone(server), server.memory_kb()
        statuses: Counter[str] = Counter()
        begun = time.perf_counter()
        with health_checks(server) as ended, stalled(server):
            for case in hostile_requests(SEED, HOSTILE, EDGES):
                status, headers, body = answer_to(server, case)
                check(case, status, headers, body)
                statuses[str(status)] += 1
            took, health = time.perf_counter() - begun, ended()
        server.until(lambda: server.metric("specs_running") == server.metric("specs_waiting") == 0)
        after_kb = server.memory_kb()
        found = {
            "requests": sum(statuses.values()),
            "seconds": took,
            "by_status": dict(sorted(statuses.items())),
            "health": health,
            "health_alone": [before, health_alone(server)],
            "memory_kb": [memory, after_kb],
            "events": sorted({line["event"] for line in server.lines()}),
        }
        server.stop()
    return found


def flood_bar(folder: Path) -> dict[str, Any]:
    """`POLITE` clients ask one question after another, which keeps the server busy; in every second round another one
    floods it.
    """
    keys = [f"key-{k}" for k in range(POLITE + 1)]
    folder.mkdir(exist_ok=True)
    (folder / "keys").write_text("\n".join(keys))
    rounds: dict[bool, list[list[float]]] = {False: [], True: []}
    floods: Counter[str] = Counter()
    with ServerProcess(folder / "home", "--concurrency=1", f"--api-key-file={folder / 'keys'}") as server:
        body = chat_body(QUESTION, max_tokens=12)

        def polite(key: str, until: float, pause_s: float, found: list[float]) -> None:
            headers = {"Authorization": f"Bearer {key}"}
            with httpx2.Client(base_url=server.url, headers=headers, timeout=60) as client:
                time.sleep(pause_s)
                while time.monotonic() < until:
                    begun = time.perf_counter()
                    answer = client.post(CHAT, json=body)
                    assert answer.status_code == 200, answer.text
                    found.append(time.perf_counter() - begun)
                    time.sleep(PAUSE_S)

        def ask() -> list[float]:
            found: list[list[float]] = [[] for _ in range(POLITE)]
            until = time.monotonic() + ROUND_S
            threads = [
                threading.Thread(target=polite, args=(keys[k], until, PAUSE_S * k / POLITE, found[k]))
                for k in range(POLITE)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert all(found), "a polite client had no answer"
            return [seconds for one in found for seconds in one]

        ask()  # a warm-up
        for _ in range(ROUNDS):
            rounds[False].append(ask())
            with outsider("flood", str(server.port), keys[-1], json.dumps(body)) as ended:
                server.until(lambda: server.metric("specs_waiting") > 0)
                rounds[True].append(ask())
                floods.update({str(status): count for status, count in ended().items()})
        server.until(lambda: server.metric("specs_running") == server.metric("specs_waiting") == 0)
        server.stop()
    ratios = [
        float(np.percentile(flooded, 95) / np.percentile(alone, 95))
        for alone, flooded in zip(rounds[False], rounds[True], strict=True)
    ]
    return {
        "clients": POLITE,
        "alone": [percentiles(one) for one in rounds[False]],
        "flooded": [percentiles(one) for one in rounds[True]],
        "ratio": statistics.median(ratios),
        "flood": dict(sorted(floods.items())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "hostile": hostile_bar(folder / "hostile"),
            "flood": flood_bar(folder / "flood"),
            "environment": environment(),
        }
    if args.out is not None:
        write_json(args.out, found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
