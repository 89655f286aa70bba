"""Clients in a process of their own, which measure or flood a server until their standard input ends.

python outsiders.py health PORT PID       prints a JSON list of pairs, one every 10 ms: seconds of a GET /health, and
                                          those without waits for a core
python outsiders.py flood PORT KEY BODY   posts BODY on 32 connections without pause, whatever the server answers;
                                          prints how often it had which status, as a JSON object
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException

CHAT = "/v1/chat/completions"
CONNECTIONS = 32
PAUSE_S = 0.01
ended = threading.Event()


def waited_s(pid: int) -> float:
    """Seconds for which the main thread of a process was ready to run and had no core, since it began."""
    with open(f"/proc/{pid}/task/{pid}/schedstat") as file:
        return int(file.read().split()[1]) / 1e9


def health(port: int, pid: str) -> list[tuple[float, float]]:
    """Seconds from each request to its last byte, on a kept connection; and without those for which the event loop of
    the server or this program, whichever waited longer, had no core. They may wait at the same time, so the second
    number is rather too large than too small.
    """
    connection, found = HTTPConnection("127.0.0.1", port, timeout=60), []
    pids = int(pid), os.getpid()
    while not ended.wait(PAUSE_S):
        before, begun = [waited_s(one) for one in pids], time.perf_counter()
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        took = time.perf_counter() - begun
        waited = max(waited_s(one) - start for one, start in zip(pids, before, strict=True))
        found.append((took, max(0.0, took - waited)))
    return found


def flood(port: int, key: str, body: str) -> dict[int, int]:
    """How often the server answered with which status; 0 if it closed the connection."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    statuses: Counter[int] = Counter()

    def post() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while not ended.is_set():
            try:
                connection.request("POST", CHAT, body, headers)
                answer = connection.getresponse()
                answer.read()
                statuses[answer.status] += 1
            except (OSError, HTTPException):
                statuses[0] += 1
                connection.close()

    threads = [threading.Thread(target=post) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return dict(statuses)


if __name__ == "__main__":
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    what, port, *rest = sys.argv[1:]
    print(json.dumps({"health": health, "flood": flood}[what](int(port), *rest)))
