"""Engines die, stop, hang and come back behind `specs serve` under load: every request is answered in time."""

import json
import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from live.servers import START_S, serving_trio
from server.process import ServerProcess
from specs.bundled.problems import generate

CHAT = "/v1/chat/completions"
CLIENTS = 4
DEADLINE_S = 10.0
LATE_S = 5.0
"""That an answer may come after its deadline: a step, on a machine that also runs three engines and their clients."""
FEW = 8
"""Answers that have to come in each phase."""


@pytest.fixture
def engines(vllm, tmp_path):
    """A trio of servers for this test."""
    with serving_trio(tmp_path) as trio:
        yield trio


@pytest.fixture
def served(engines, tmp_path):
    flags = [f"--{role}={engine.url}" for role, engine in engines.items()]
    with ServerProcess(tmp_path / "home", *flags, "--grace=5") as server:
        yield server
        server.stop()


class Load:
    """Clients that send requests continually, each with a deadline, alternately whole and streamed."""

    def __init__(self, server):
        self._server = server
        self.answers = []
        self._over = threading.Event()

    def client(self, number):
        with self._server.client() as client:
            for k in range(number, 1_000_000, CLIENTS):
                if self._over.is_set():
                    return
                body = {
                    "model": "specs",
                    "messages": [{"role": "user", "content": generate("easy", 2_460_000 + k).question}],
                    "seed": k,
                    "stream": k % 8 < 4,
                    "specs": {"n": 2, "max_steps": 6, "deadline_s": DEADLINE_S},
                }
                began = time.monotonic()
                answer = client.post(CHAT, json=body)
                self.answers.append((verdict(answer, body["stream"]), time.monotonic() - began))
                time.sleep(0.05)

    @contextmanager
    def running(self):
        threads = [threading.Thread(target=self.client, args=(k,)) for k in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def until(self, *verdicts, seconds=START_S):
        """Wait for a few more answers of one of these kinds; returns all that came until then."""
        begun = len(self.answers)
        self._server.until(lambda: sum(v in verdicts for v, _ in self.answers[begun:]) >= FEW, seconds)
        return Counter(v for v, _ in self.answers[begun:])


def verdict(answer, stream):
    """`good`, `deadline` (the best answer in time), or the code of an error in OpenAI's form."""
    if stream and answer.status_code == 200:
        events = answer.text.split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        parts = [json.loads(event.removeprefix("data: ")) for event in events[:-2] if not event.startswith(":")]
        last = parts[-1]
    else:
        last = answer.json()
    if "error" in last:
        assert set(last["error"]) == {"message", "type", "param", "code"}
        assert last["error"]["type"] == "server_error"
        assert answer.status_code in ((200,) if stream else ()) + (502, 503)
        return last["error"]["code"]
    assert answer.status_code == 200
    ours = last["specs"] if stream else last["choices"][0]["specs"]
    return "deadline" if ours["finish_reason"] == "deadline" else "good"


def test_engines_that_die_end_hang_and_come_back(engines, served):
    """SIGKILL, SIGTERM and SIGSTOP, one server each: errors by name or answers in time, and then good answers again."""
    load, seen = Load(served), {}
    with load.running():
        seen["before"] = load.until("good")
        engines["draft"].kill()
        seen["the draft is killed"] = load.until("engine_error")
        engines["draft"].start()
        engines["draft"].wait()
        seen["the draft is back"] = load.until("good")
        engines["target"].terminate()
        engines["target"].process.wait(60)
        seen["the target has been told to end"] = load.until("engine_error")
        engines["target"].start()
        engines["target"].wait()
        seen["the target is back"] = load.until("good")
        os.killpg(engines["prm"].process.pid, signal.SIGSTOP)
        try:
            seen["the PRM hangs"] = load.until("deadline", "engine_error")
            with served.client() as client:  # without a deadline
                question = {"role": "user", "content": "Tom has 4 nuts. He eats 1. How many nuts has he now?"}
                answer = client.post(CHAT, json={"model": "specs", "messages": [question], "seed": 1})
            assert answer.status_code == 502
            assert answer.json()["error"]["code"] == "engine_error"
            assert "fails its health checks" in answer.json()["error"]["message"]
        finally:
            os.killpg(engines["prm"].process.pid, signal.SIGCONT)
        seen["the PRM goes on"] = load.until("good")
    print(json.dumps(seen | {"slowest_s": max(seconds for _, seconds in load.answers)}))
    assert {v for v, _ in load.answers} <= {"good", "deadline", "engine_error"}
    assert max(seconds for _, seconds in load.answers) < DEADLINE_S + LATE_S
    for phase in ("before", "the draft is back", "the target is back", "the PRM goes on"):
        assert seen[phase]["good"] >= FEW
    assert {line["event"] for line in served.lines()} <= {"started", "request"}
