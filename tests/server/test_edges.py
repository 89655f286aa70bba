"""What clients and operators do at the edges, against a real process."""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from helpers import toy
from server.process import ServerProcess, chat_body, post_bytes
from specs.bundled.problems import generate
from specs.cli import main
from specs.config import Limits, configure
from specs.server.jobs import JobRunner, SolveFailed, SolveJob
from specs.server.metrics import Metrics
from specs.server.middleware import parse_keys
from specs.server.queue import SolveQueue
from specs.server.request_parsing import SolveRequest
from specs.server.streaming import _sse
from specs.types import NO_CONTEXT

CHAT = "/v1/chat/completions"
QUESTION = "Tom has 40 nuts. He gives 6 nuts to each of 3 friends. How many nuts does Tom have now?"
HARD = generate("hard", 1_000_007).question
KEY = "clé-ключ-鍵à"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with ServerProcess(tmp_path_factory.mktemp("edges") / "home", "--concurrency=1", "--queue=3") as server:
        yield server
        server.stop()


@pytest.fixture
def client(served):
    with served.client() as client:
        yield client


def refused(answer, status=400):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def test_many_content_parts_are_refused_before_each_is_looked_at(client):
    """A body of 956 kB with 512 x 230 parts; before, the server was silent for seconds."""
    for each, param, says in ((3, "messages", "content parts"), (40, None, "10,000 fields and list items")):
        turns = [{"role": "user", "content": [{"type": "text", "text": ""}] * each} for _ in range(512)]
        begun = time.perf_counter()
        error = refused(client.post(CHAT, json={"model": "specs", "messages": turns}))
        assert says in error["message"]
        assert error["param"] == param
        assert time.perf_counter() - begun < 2.0
    parts = [{"type": "text", "text": word} for word in QUESTION.split(" ")]
    assert client.post(CHAT, json=chat_body(parts, max_tokens=8)).status_code == 200


def test_a_question_that_cannot_fit_is_refused_by_its_bytes(client):
    begun = time.perf_counter()
    error = refused(client.post(CHAT, json=chat_body("nuts " * 200_000)))
    assert error["code"] == "context_length_exceeded"
    assert "bytes" in error["message"]
    assert time.perf_counter() - begun < 2.0


def test_more_answers_than_the_queue_ever_holds_are_a_wrong_request(client):
    error = refused(client.post(CHAT, json=chat_body(QUESTION, n=5)))
    assert error["param"] == "n"
    assert "4 at a time" in error["message"]
    assert client.post(CHAT, json=chat_body(QUESTION, n=4, max_tokens=8)).status_code == 200


def test_a_full_queue_answers_429_with_a_time_to_wait(served, client):
    with served.connect() as first, served.connect() as second:
        for raw in (first, second):
            raw.sendall(post_bytes(CHAT, chat_body(HARD, n=2, specs={"n": 64})))
        served.until(lambda: (served.metric("specs_running"), served.metric("specs_waiting")) == (1, 3))
        error = refused(answer := client.post(CHAT, json=chat_body(QUESTION)), 429)
        assert error["code"] == "queue_full"
        assert int(answer.headers["retry-after"]) >= 1
    served.until(lambda: served.metric("specs_running") == 0)


def test_the_seeds_of_all_answers_are_in_range(client):
    assert refused(client.post(CHAT, json=chat_body(QUESTION, n=2, seed=2**63 - 1)))["param"] == "seed"
    assert client.post(CHAT, json=chat_body(QUESTION, n=1, seed=2**63 - 1, max_tokens=8)).status_code == 200


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "says"),
    [
        (CHAT, chat_body(QUESTION), {"content-type": "text/plain"}, 400, "send 'Content-Type: application/json'"),
        (CHAT, chat_body(QUESTION), {"content-encoding": "gzip"}, 400, "encoded as 'gzip'"),
        (CHAT, chat_body(QUESTION, stop=["x"] * 17), {}, 400, "at most 16"),
        (CHAT, chat_body([{"type": "text", "text": "What is this?"}, IMAGE]), {}, 400, "no images"),
        ("/chat/completions", chat_body(QUESTION), {}, 404, "the API is at /v1"),
        ("/v1/chat/completion", chat_body(QUESTION), {}, 404, "the API is at /v1"),
    ],
)
def test_a_wrong_request_is_told_what_to_send(client, path, body, headers, status, says):
    content = json.dumps(body).encode()
    if headers.get("content-encoding") == "gzip":
        content = gzip.compress(content)
    answer = client.post(path, content=content, headers={"content-type": "application/json", **headers})
    assert says in refused(answer, status)["message"]


NAN = '{"method": "specs", "options": {"tau": NaN}, "law": {}, "provenance": {}}'


@pytest.mark.parametrize("content", ["[" * 100_000, NAN])
def test_a_preset_that_cannot_be_used_is_refused_at_start(content, tmp_path, capsys):
    file = tmp_path / "strange.json"
    file.write_text(content)
    assert main(["serve", "--port", "0", "--preset", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_question_of_another_kind_gets_a_note(client):
    body = chat_body("What is the capital of France?", max_tokens=8)
    assert "bundled models" in client.post(CHAT, json=body).json()["choices"][0]["specs"]["notes"][0]
    assert client.post(CHAT, json=chat_body(QUESTION)).json()["choices"][0]["specs"]["notes"] == []


def test_events_are_one_line_for_every_client():
    """U+2028 and its like end lines for some clients; numbers that JSON lacks are text."""
    event = _sse({"text": "a\u2028b\u2029c\x85d\ud800", "value": float("nan")})
    assert event.isascii()
    assert json.loads(event.removeprefix("data: ")) == {"text": "a\u2028b\u2029c\x85d\ud800", "value": "nan"}


def test_a_deadline_counts_from_the_arrival_of_the_request():
    """Half a second was spent before the solve is queued, and the deadline is as long."""

    async def work():
        models = toy.models()
        queue = SolveQueue(1, 1)
        runner = JobRunner(models, queue, Metrics(queue))
        config = configure("target", max_step_tokens=4, deadline_s=0.5)
        request = SolveRequest("specs", "q", NO_CONTEXT, config, (), ())
        events = []
        (place,) = queue.reserve("a", 1)
        await SolveJob(request, place, events.append, runner, time.perf_counter() - 0.5).run()
        return events, queue.running

    (event,), running = asyncio.run(work())
    assert isinstance(event, SolveFailed)
    assert event.refusal.code == "deadline"
    assert running == 0
    assert Limits(deadline_s=0.5).deadline_s == 0.5


@pytest.mark.parametrize("given", ["", ",", " , ", "# no key"])
def test_a_variable_without_a_key_does_not_open_the_server(given, monkeypatch, capsys):
    monkeypatch.setenv("SPECS_SERVER_KEYS", given)
    assert main(["serve", "--port", "0"]) == 2
    assert "SPECS_SERVER_KEYS is set but holds no key" in capsys.readouterr().err


def test_keys_of_a_file_are_utf_8(tmp_path):
    file = tmp_path / "keys"
    file.write_bytes(b"\xef\xbb\xbf" + f"first\n{KEY}\n".encode())
    with ServerProcess(tmp_path / "home", f"--api-key-file={file}") as server, server.client() as client:
        for key, status in ((KEY, 200), ("first", 200), ("\ufefffirst", 401), ("clé", 401)):
            headers = {"Authorization": f"Bearer {key}".encode()}
            assert client.post(CHAT, json=chat_body(QUESTION, max_tokens=8), headers=headers).status_code == status
        server.stop()
    assert parse_keys(KEY) == (KEY,)


def test_answers_on_a_kept_connection_do_not_wait_for_each_other(client):
    """Without TCP_NODELAY each takes 40 ms longer, after the first ones; the quickest of 20 is not a matter of load."""

    def took():
        begun = time.perf_counter()
        assert client.get("/health").status_code == 200
        return time.perf_counter() - begun

    for _ in range(40):
        took()
    assert min(took() for _ in range(20)) < 0.03


CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED += b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


def in_chunks(body, size):
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("size", "length", "status"), [(1, 900, b"200"), (100, 50_000, b"200"), (1, 20_000, b"400"), (63, 200_000, b"400")]
)
def test_a_body_in_many_tiny_chunks_is_refused(served, size, length, status):
    """A million chunks of a byte kept the server busy for seconds."""
    body = json.dumps(chat_body(QUESTION, max_tokens=4)).encode().ljust(length)
    with served.connect() as raw:
        with suppress(OSError):  # the server closes the connection before it has read everything
            raw.sendall(in_chunks(body, size))
        with suppress(ConnectionResetError):
            assert raw.recv(12) == b"HTTP/1.1 " + status
    with served.client() as client:
        assert client.get("/health").status_code == 200


def test_a_head_without_end_is_refused(served):
    """Whatever HTTP libraries are installed."""
    with served.connect() as raw, suppress(OSError):
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        for number in range(1000):
            raw.sendall(b"X-%d: %s\r\n" % (number, b"a" * 10_000))
        pytest.fail("10 MB of headers were read")


@pytest.mark.slow
def test_a_log_that_nobody_reads_does_not_stop_the_server(tmp_path):
    """The pipe of standard error is full after some 200 requests."""
    import httpx2

    command = [sys.executable, "-m", "specs", "serve", "--port=0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            url = process.stderr.readline().split()[1]
            with httpx2.Client(base_url=url, timeout=20) as client:
                for _ in range(1_000):
                    assert client.get("/health").status_code == 200
                assert "specs_log_lines_dropped 0.0" in client.get("/metrics").text
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
