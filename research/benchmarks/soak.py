"""Puts a real `specs serve` under mixed load that fills its queue, and looks for leaks and wrong answers.

    python -m research.benchmarks.soak [--minutes M] [--seed N] [--out FILE]

The server runs the bundled models with a short queue. `CLIENTS` clients with `KEYS` keys send one request after
another, with pauses: chats and completions, streamed and whole, by several methods, with stop strings, deadlines,
several answers and traces. Some clients hang up while they wait or in mid-stream, some read slowly, some send
requests that the server must refuse. Each response must be what was asked for, a 429, or the error that the request
provoked (`Outcome`).

Engines keep memory of long solves for the next ones, up to a bound. So every model first gets long and wide
solves, which do not count. Every other second the program reads the server's memory, open files and threads
from /proc. Memory at the start is the median resident memory from 20% to 33% of the run (minutes 3 to 5 of
15), memory at the end that of the last 20%. The verdicts come at the end; JSON last.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from specs.bundled.problems import generate
from specs.eval.environment import environment
from specs.traces.schema import write_json

CLIENTS, KEYS, QUEUE = 24, 6, 8
WIDE = 3
"""Number of questions for the long and wide solves before the run."""
PAUSE_S = (0.05, 1.0)
SAMPLE_S = 2.0
START, END = (0.20, 1 / 3), (0.80, 1.0)
"""Parts of the run, as shares of its time, whose memory is compared."""
WITHIN = 0.05
"""Largest allowed growth or fall of memory, as a share."""
PATIENCE_S = 300.0
"""Seconds after which a client gives up; the request then counts as wrong."""
CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
METHODS = ("specs", "specs", "specs-fast", "specs-wide", "beam", "beam-draft", "gsi", "rsd", "best-of-n", "majority")
ALSO = ("target", "draft", "specreason", "ssr", "dvts", "hard-reject", "random-switch")
REFUSED: tuple[tuple[bytes, int], ...] = (
    (b"{", 400),
    (b"[" * 50_000, 400),
    (b'{"model": "specs"}', 400),
    (b'{"model": "no-such", "messages": [{"role": "user", "content": "x"}]}', 404),
    (b'{"model": "specs", "messages": [{"role": "user", "content": "x"}], "tools": [{}]}', 400),
    (b'{"model": "specs", "messages": [{"role": "user", "content": 7}]}', 400),
    (b" " * (2 << 20), 413),
)


@dataclass(frozen=True)
class Outcome:
    """How a request ended.

    Attributes:
        kind: a key of `MIX`.
        verdict: `good`, `full` (429), `provoked` (the client left, or caused the refusal or timeout), or `wrong`.
        status: HTTP status; 0 if there was no response.
        seconds: from the request to the last byte.
        why: what is wrong; empty otherwise.
    """

    kind: str
    verdict: str
    status: int
    seconds: float
    why: str = ""


@dataclass
class Minute:
    """Ended requests and samples of the server (`sample`) within one minute."""

    outcomes: list[Outcome] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)


class Load:
    """The clients of one run."""

    def __init__(self, url: str, keys: list[str], seed: int) -> None:
        self._url, self._keys, self._rng = url, keys, random.Random(seed)
        self._host, self._port = "127.0.0.1", int(url.rpartition(":")[2])
        self.ended: list[tuple[float, Outcome]] = []

    async def client(self, number: int, until: float) -> None:
        """One client that asks, waits, and asks again."""
        key = self._keys[number % len(self._keys)]
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(base_url=self._url, headers=headers, timeout=PATIENCE_S) as http:
            while time.monotonic() < until:
                kind, ask = self._rng.choices(KINDS, WEIGHTS)[0]
                began = time.monotonic()
                try:
                    verdict, status, why = await ask(self, http, key)
                except Exception as error:  # a broken connection is what we look for
                    verdict, status, why = "wrong", 0, f"{type(error).__name__}: {error}"
                now = time.monotonic()
                self.ended.append((now, Outcome(kind, verdict, status, now - began, why)))
                await asyncio.sleep(self._rng.uniform(*PAUSE_S))

    def _body(self, **more: Any) -> tuple[str, dict[str, Any]]:
        """Path and body of a request: a question with random options."""
        rng = self._rng
        question = generate(rng.choice(["easy", "medium", "hard"]), 2_450_000 + rng.randrange(5000)).question
        body: dict[str, Any] = {"model": rng.choice(METHODS if rng.random() < 0.9 else ALSO)}
        path = CHAT if rng.random() < 0.7 else COMPLETION
        if path == CHAT:
            body["messages"] = [{"role": "user", "content": question}]
        else:
            body["prompt"] = f"{question}\n\n"
        if rng.random() < 0.3:
            body["stop"] = rng.choice(["\n\n", "The answer", ["7", "="]])
        if rng.random() < 0.2:
            body["n"] = rng.choice([2, 3, 4])
        if rng.random() < 0.2:
            body["temperature"] = rng.choice([0, 0.3, 1.0])
        if rng.random() < 0.3:
            body["seed"] = rng.randrange(100)
        if rng.random() < 0.2:
            body["max_tokens"] = rng.choice([1, 8, 40, 200])
        if rng.random() < 0.1:
            body["specs"] = {"trace": True}
        return path, body | more

    async def whole(self, http: httpx2.AsyncClient, key: str) -> tuple[str, int, str]:
        path, body = self._body()
        return _whole(await http.post(path, json=body), body)

    async def stream(self, http: httpx2.AsyncClient, key: str) -> tuple[str, int, str]:
        path, body = self._body(stream=True, stream_options={"include_usage": True})
        async with http.stream("POST", path, json=body) as answer:
            text = (await answer.aread()).decode()
        return _streamed(answer.status_code, text, body)

    async def late(self, http: httpx2.AsyncClient, key: str) -> tuple[str, int, str]:
        path, body = self._body(stream=self._rng.random() < 0.5)
        body["specs"] = {"deadline_s": self._rng.choice([0.01, 0.1, 0.3, 1.0, 3.0])}
        answer = await http.post(path, json=body)
        if '"code":"deadline"' in answer.text.replace(": ", ":"):
            well = answer.status_code == 503 or answer.text.endswith("data: [DONE]\n\n")
            return ("provoked" if well else "wrong"), answer.status_code, "" if well else answer.text[-300:]
        if body["stream"]:
            return _streamed(answer.status_code, answer.text, body)
        return _whole(answer, body)

    async def leave_waiting(self, http: httpx2.AsyncClient, key: str) -> tuple[str, int, str]:
        path, body = self._body(stream=False)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._rng.uniform(0.0, 0.5)):
                return _whole(await http.post(path, json=body), body)
        return "provoked", 0, ""

    async def leave_stream(self, http: httpx2.AsyncClient, key: str) -> tuple[str, int, str]:
        path, body = self._body(stream=True)
        left = self._rng.randrange(6)
        async with http.stream("POST", path, json=body) as answer:
            if answer.status_code != 200:
                return _streamed(answer.status_code, (await answer.aread()).decode(), body)
            async for line in answer.aiter_lines():
                left -= line.startswith("data: ")
                if left <= 0:
                    break
        return "provoked", 200, ""

    async def slow(self, http: httpx2.AsyncClient, key: str) -> tuple[str, int, str]:
        """Read slowly: nothing for up to five seconds, then two kilobytes at a time with a small buffer."""
        path, body = self._body(stream=True, n=2, specs={"trace": True})
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=1024)
        try:
            writer.write(head.encode() + data)
            await writer.drain()
            await asyncio.sleep(self._rng.uniform(0, 5))
            came = bytearray()
            while part := await asyncio.wait_for(reader.read(2048), PATIENCE_S):
                came += part
                await asyncio.sleep(0.01)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        status = int(came.split(b" ", 2)[1])
        _, _, chunks = bytes(came).partition(b"\r\n\r\n")
        if status != 200:
            return _streamed(status, chunks.decode(), body)
        if not chunks.endswith(b"0\r\n\r\n"):
            return "wrong", status, "the stream has no end"
        text = re.sub(rb"(?:^|\r\n)[0-9a-f]+\r\n", b"", chunks).removesuffix(b"\r\n").decode()
        return _streamed(status, text, body)

    async def refused(self, http: httpx2.AsyncClient, key: str) -> tuple[str, int, str]:
        data, status = self._rng.choice(REFUSED)
        answer = await http.post(CHAT, content=data, headers={"Content-Type": "application/json"})
        well = answer.status_code == status and set(answer.json()["error"]) == {"message", "type", "param", "code"}
        return ("provoked" if well else "wrong"), answer.status_code, "" if well else answer.text[:300]

    async def stranger(self, http: httpx2.AsyncClient, key: str) -> tuple[str, int, str]:
        path, body = self._body()
        answer = await http.post(path, json=body, headers={"Authorization": "Bearer nobody"})
        return ("provoked" if answer.status_code == 401 else "wrong"), answer.status_code, answer.text[:300]

    async def look(self, http: httpx2.AsyncClient, key: str) -> tuple[str, int, str]:
        paths = ("/health", "/version", "/metrics", "/v1/models", "/v1/models/specs", "/", "/openapi.json")
        answer = await http.get(self._rng.choice(paths))
        return ("good" if answer.status_code == 200 else "wrong"), answer.status_code, answer.text[:300]


Ask = Callable[[Load, httpx2.AsyncClient, str], Awaitable[tuple[str, int, str]]]
MIX: dict[str, tuple[Ask, float]] = {
    "whole": (Load.whole, 25),
    "stream": (Load.stream, 25),
    "late": (Load.late, 10),
    "leave waiting": (Load.leave_waiting, 8),
    "leave stream": (Load.leave_stream, 10),
    "slow": (Load.slow, 7),
    "refused": (Load.refused, 5),
    "stranger": (Load.stranger, 3),
    "look": (Load.look, 7),
}
KINDS = [(kind, ask) for kind, (ask, _) in MIX.items()]
WEIGHTS = [weight for _, weight in MIX.values()]


def _whole(answer: httpx2.Response, body: dict[str, Any]) -> tuple[str, int, str]:
    """The verdict on an answer that does not stream."""
    status = answer.status_code
    if status == 429:
        return _full(answer.text)
    if status != 200:
        return "wrong", status, answer.text[:300]
    choices = answer.json()["choices"]
    well = len(choices) == body.get("n", 1) and all(one["finish_reason"] in ("stop", "length") for one in choices)
    return ("good" if well else "wrong"), status, "" if well else answer.text[:300]


def _streamed(status: int, text: str, body: dict[str, Any]) -> tuple[str, int, str]:
    """The verdict on a stream that was read to its end."""
    if status == 429:
        return _full(text)
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    if status != 200 or not events or events[-1] != "[DONE]":
        return "wrong", status, f"no end: {text[-300:]}"
    ended: set[int] = set()
    for event in map(json.loads, events[:-1]):
        if "error" in event:
            return "wrong", status, str(event)[:300]
        ended |= {one["index"] for one in event["choices"] if one["finish_reason"] in ("stop", "length")}
    well = len(ended) == body.get("n", 1)
    return ("good" if well else "wrong"), status, "" if well else f"ended: {sorted(ended)}"


def _full(text: str) -> tuple[str, int, str]:
    well = json.loads(text)["error"]["code"] == "queue_full"
    return ("full" if well else "wrong"), 429, "" if well else text[:300]


def sample(pid: int) -> dict[str, Any]:
    """The server's memory in kilobytes, open files, threads, and CPU seconds so far."""
    proc = Path(f"/proc/{pid}")
    status = dict(re.findall(r"^(\w+):\s+(\d+)", (proc / "status").read_text(), re.MULTILINE))
    rollup = dict(re.findall(r"^(\w+):\s+(\d+)", (proc / "smaps_rollup").read_text(), re.MULTILINE))
    times = (proc / "stat").read_text().rpartition(")")[2].split()
    return {
        "rss_kb": int(status["VmRSS"]),
        "pss_kb": int(rollup["Pss"]),
        "files": len(os.listdir(proc / "fd")),
        "threads": int(status["Threads"]),
        "cpu_s": (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"),
    }


async def widen(url: str, keys: list[str]) -> None:
    """Ask every model for solves that are as wide and as long as any in the load."""
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
        for k in range(WIDE):
            question = generate("hard", 2_450_000 + k).question
            asked = {
                CHAT: {"messages": [{"role": "user", "content": question}]},
                COMPLETION: {"prompt": f"{question}\n\n"},  # without a chat template, solves are longer
            }
            for name, (path, words) in itertools.product(dict.fromkeys((*METHODS, *ALSO)), asked.items()):
                body = {"model": name, "temperature": 1.0, "seed": k, "specs": {"trace": True}} | words
                headers = {"Authorization": f"Bearer {keys[k % len(keys)]}"}
                (await http.post(path, json=body, headers=headers)).raise_for_status()


async def soak(url: str, pid: int, keys: list[str], seconds: float, seed: int) -> list[Minute]:
    """Run the load for `seconds`; returns what happened, by minute."""
    began = time.monotonic()
    until = began + seconds
    load = Load(url, keys, seed)
    clients = [asyncio.create_task(load.client(k, until)) for k in range(CLIENTS)]
    minutes = [Minute() for _ in range(-int(-seconds // 60))]
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
        while (now := time.monotonic()) < until:
            health = (await http.get("/health")).json()
            at = {"at_s": now - began, "running": health["running"], "waiting": health["waiting"]}
            minutes[int((now - began) // 60)].samples.append(at | sample(pid))
            await asyncio.sleep(min(SAMPLE_S, max(0.0, until - time.monotonic())))
    await asyncio.gather(*clients)
    for at, outcome in load.ended:
        minutes[min(len(minutes) - 1, int((at - began) // 60))].outcomes.append(outcome)
    return minutes


def summary(minute: Minute) -> dict[str, Any]:
    """Summary of a minute for the record."""
    seconds = [one.seconds for one in minute.outcomes if one.verdict == "good" and one.kind in ("whole", "stream")]
    samples = minute.samples
    return {
        "requests": len(minute.outcomes),
        "by_status": dict(sorted(Counter(str(one.status) for one in minute.outcomes).items())),
        "by_verdict": dict(sorted(Counter(one.verdict for one in minute.outcomes).items())),
        "latency_s": {f"p{p}": float(np.percentile(seconds, p)) for p in (50, 95)} if seconds else None,
        "waiting": statistics.mean(one["waiting"] for one in samples) if samples else None,
        **({name: max(one[name] for one in samples) for name in ("files", "threads")} if samples else {}),
        **({name: statistics.median(one[name] for one in samples) for name in ("rss_kb", "pss_kb")} if samples else {}),
        "cpu_s": samples[-1]["cpu_s"] - samples[0]["cpu_s"] if samples else None,
    }


def memory(minutes: list[Minute], seconds: float, name: str) -> dict[str, float]:
    """Medians of a sampled value at the start and at the end of the run, in kilobytes, and the relative growth."""
    samples = [one for minute in minutes for one in minute.samples]

    def median(part: tuple[float, float]) -> float:
        return statistics.median(one[name] for one in samples if part[0] <= one["at_s"] / seconds <= part[1])

    start, end = median(START), median(END)
    return {"start_kb": start, "end_kb": end, "growth": end / start - 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    seconds = 60 * args.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = [f"key-{k}" for k in range(KEYS)]
        (folder / "keys").write_text("\n".join(keys))
        flags = ["--port=0", f"--queue={QUEUE}", f"--api-key-file={folder / 'keys'}", "--grace=10"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([sys.executable, "-m", "specs", "serve", *flags], stdout=log, stderr=log)
        try:
            while '"started"' not in (said := (folder / "log").read_text()):
                if server.poll() is not None:
                    raise SystemExit(f"the server did not start: {said}")
                time.sleep(0.1)
            (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", said))
            asyncio.run(widen(url, keys))
            fresh = sample(server.pid)
            minutes = asyncio.run(soak(url, server.pid, keys, seconds, args.seed))
            time.sleep(6)  # kept-alive connections are closed after 5
            health = httpx2.get(f"{url}/health").json()
            after = sample(server.pid)
            server.send_signal(signal.SIGTERM)
            exit_status = server.wait(60)
        finally:
            server.kill()
            server.wait()
        lines = [json.loads(line) for line in (folder / "log").read_text().splitlines() if line.startswith("{")]
    outcomes = [one for minute in minutes for one in minute.outcomes]
    wrong = [vars(one) for one in outcomes if one.verdict == "wrong"]
    rss, pss = (memory(minutes, seconds, name) for name in ("rss_kb", "pss_kb"))
    counts = Counter(one.kind for one in outcomes)
    verdicts = {
        f"memory within {WITHIN:.0%}": abs(rss["growth"]) <= WITHIN,
        "nothing but answers, 429 and what was provoked": not wrong,
        "no defect in the log": {line["event"] for line in lines} <= {"started", "request", "stopping", "stopped"},
        "nothing left running or waiting": health["running"] == health["waiting"] == 0,
        "no file left open": after["files"] <= fresh["files"] + 2,
        "exit status 0": exit_status == 0,
    }
    found = {
        "minutes": args.minutes,
        "seed": args.seed,
        "clients": CLIENTS,
        "keys": KEYS,
        "queue": QUEUE,
        "requests": len(outcomes),
        "by_kind": dict(sorted(counts.items())),
        "by_verdict": dict(sorted(Counter(one.verdict for one in outcomes).items())),
        "by_status": dict(sorted(Counter(str(one.status) for one in outcomes).items())),
        "rss": rss,
        "pss": pss,
        "fresh": fresh,
        "after": after,
        "by_minute": [summary(minute) for minute in minutes],
        "wrong": wrong[:20],
        "verdicts": verdicts,
        "environment": environment(),
    }
    for k, minute in enumerate(found["by_minute"]):
        print(k, json.dumps(minute), file=sys.stderr)
    for verdict, holds in verdicts.items():
        print(f"{'yes' if holds else 'NO ':4}{verdict}", file=sys.stderr)
    if args.out is not None:
        write_json(args.out, found)
    print(json.dumps(found))
    if not all(verdicts.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
