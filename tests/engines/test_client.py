"""The HTTP client against faulty servers: every failure is reported by name, and no request hangs."""

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from specs.engines.event_loop import gather, wait
from specs.engines.protocol import Stopped, never_stop
from specs.engines.vllm import client as client_module
from specs.engines.vllm.client import Client, Refused
from specs.engines.vllm.facts import Facts
from specs.errors import EngineError
from specs.types import Finish


@contextmanager
def serving(answer):
    """A server on a free port; `answer(path, body, times)` returns status and bytes, waits, or raises to break off."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._answer(None)

        def do_POST(self):
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body):
            if self.path != "/health":
                seen.append((self.path, body, dict(self.headers)))
            try:
                status, content = answer(self.path, body, len(seen))
            except ConnectionError:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # the client has closed the connection

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def well(path, body, times):
    return 200, b'{"ok": true}'


def post(url, check_stop=never_stop, key=None, timeout_s=20.0):
    return wait(Client(url, key, timeout_s).post("/x", {"a": 1}), check_stop)


def test_an_object_is_sent_and_one_is_returned():
    with serving(well) as (url, seen):
        assert post(url, key="secret") == {"ok": True}
        ((path, body, headers),) = seen
        assert (path, json.loads(body)) == ("/x", {"a": 1})
        assert headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (200, b"<html>", "something that is not JSON; is it vLLM"),
        (200, b"[1]", "something other than a JSON object"),
        (400, b'{"error": {"message": "too\\n long"}}', "400, too long"),
        (404, b"nothing here", "404, nothing here"),
        (500, b"", "500, no reason given"),
        (401, b"", r"refuses the API key \(401\)"),
    ],
)
def test_invalid_answers_are_reported_by_name(status, content, message):
    with serving(lambda *_: (status, content)) as (url, seen):
        with pytest.raises(EngineError, match=f"^{url}.*{message}[^\n]*$") as failure:
            post(url)
        assert isinstance(failure.value, Refused) == (status != 200)
        assert len(seen) == 1


def test_a_request_to_an_overloaded_server_is_sent_again(monkeypatch):
    monkeypatch.setattr(client_module, "PAUSES_S", (0.01, 0.01))
    with serving(lambda path, body, times: (503, b"") if times < 3 else well(path, body, times)) as (url, seen):
        assert post(url) == {"ok": True}
        assert len(seen) == 3
    with serving(lambda *_: (429, b"")) as (url, seen):
        with pytest.raises(EngineError, match=r"takes no more requests \(429\)"):
            post(url)
        assert len(seen) == 3


def test_a_server_that_does_not_listen_is_reported(monkeypatch):
    monkeypatch.setattr(client_module, "PAUSES_S", (0.01,))
    with serving(well) as (url, _):
        pass
    with pytest.raises(EngineError, match=f"^{url} cannot be reached .*is the server running there"):
        post(url)
    with pytest.raises(EngineError, match=r"is not an address|broke off|cannot be reached"):
        post("http://[half")


def test_an_answer_that_breaks_off_is_reported():
    def broken(path, body, times):
        raise ConnectionError

    with serving(broken) as (url, _), pytest.raises(EngineError, match="broke off its answer"):
        post(url)


def test_a_silent_server_is_given_up_after_the_timeout():
    gone = threading.Event()

    def silent(path, body, times):
        if path != "/health":
            gone.wait(20)
        return well(path, body, times)

    with serving(silent) as (url, _):
        start = time.perf_counter()
        with pytest.raises(EngineError, match=r"gave no answer within 0\.5 s; raise timeout"):
            post(url, timeout_s=0.5)
        assert time.perf_counter() - start < 5
        gone.set()


def test_an_unhealthy_server_is_given_up_before_the_timeout(monkeypatch):
    monkeypatch.setattr(client_module, "HEALTH_S", 0.1)
    gone = threading.Event()

    def ill(path, body, times):
        if path == "/health":
            return 500, b""
        gone.wait(20)
        return well(path, body, times)

    with serving(ill) as (url, _):
        with pytest.raises(EngineError, match=r"fails its health checks \(health 500\)"):
            post(url)
        gone.set()


def test_requests_to_a_server_are_limited_and_share_one_health_check(monkeypatch):
    monkeypatch.setattr(client_module, "HEALTH_S", 0.1)
    monkeypatch.setattr(client_module, "AT_A_TIME", 5)
    lock, running, most, checks = threading.Lock(), [0], [0], [0]

    def slow(path, body, times):
        with lock:
            if path == "/health":
                checks[0] += 1
                return well(path, body, times)
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.2)
        with lock:
            running[0] -= 1
        return well(path, body, times)

    with serving(slow) as (url, _):
        client = Client(url)
        start = time.perf_counter()
        answers = wait(gather(client.post("/x", {}) for _ in range(20)), never_stop)
        took = time.perf_counter() - start
    assert answers == [{"ok": True}] * 20
    assert most == [5]
    assert 1 <= checks[0] <= took / 0.1 + 1


def test_stopping_the_solve_ends_its_request():
    """The coroutine is cancelled and not left running."""
    ended = threading.Event()

    async def long():
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    def stop():
        raise Stopped(Finish.DEADLINE)

    with pytest.raises(Stopped):
        wait(long(), stop)
    assert ended.wait(5)


def test_the_first_failure_cancels_the_other_requests():
    ended = []

    async def long():
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append(1)
            raise

    async def failing():
        await asyncio.sleep(0.01)
        raise EngineError("this one")

    start = time.perf_counter()
    with pytest.raises(EngineError, match="this one"):
        wait(gather([long(), failing(), long()]), never_stop)
    assert time.perf_counter() - start < 5
    for _ in range(100):
        if len(ended) == 2:
            break
        time.sleep(0.01)
    assert ended == [1, 1]


# What a test knows of a server to which it does not connect
FACTS = Facts("0.32.0", "m", "/m", 4096, 32, True, False, True, True, False, True, True, lists=True)
