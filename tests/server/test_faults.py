"""Clients that read slowly or disconnect, and servers that are told to stop, with real sockets and processes."""

import json
import signal
import time

import pytest

from server.process import WAIT_S, ServerProcess, chat_body, post_bytes, read_all
from specs.bundled.problems import generate

QUESTION = "Maya has 12 shells. She buys 3 bags with 5 shells in each bag. How many shells does Maya have now?"
CHAT = "/v1/chat/completions"
HARD = generate("hard", 1_000_007).question
# Fourteen steps of over a second each: no test waits for the end.
LONG = {"model": "specs", "temperature": 2, "specs": {"n": 256, "max_steps": 1000}}
# Half a megabyte: all candidates of all steps of twelve answers.
LARGE = {"n": 12, "stream": True, "specs": {"n": 16, "trace": True}}


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with ServerProcess(tmp_path_factory.mktemp("faults") / "home", "--max-n=256", "--queue=64") as server:
        yield server
        server.stop()


@pytest.fixture
def own(tmp_path):
    """`own(*flags)`: a server for this test only, which may be told to stop."""
    servers = []

    def start(*flags):
        servers.append(ServerProcess(tmp_path / "home", "--max-n=256", *flags))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def streamed(answer):
    """The complete events of a stream, the last of which is [DONE]."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    text = body
    parts = []
    while True:  # chunked encoding
        size, _, text = text.partition(b"\r\n")
        if not (length := int(size, 16)):
            break
        parts.append(text[:length])
        assert text[length : length + 2] == b"\r\n"
        text = text[length + 2 :]
    assert text == b"\r\n"
    events = [event.removeprefix("data: ") for event in b"".join(parts).decode().split("\n\n")[:-1]]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events if not event.startswith(":")]


def text_of(events, choice=0):
    return "".join(
        one.get("text") or one.get("delta", {}).get("content", "")
        for event in events
        for one in event.get("choices", ())
        if one["index"] == choice
    )


def ended(events):
    """Finish reason of each choice."""
    said = [one for event in events for one in event.get("choices", ()) if one["finish_reason"] is not None]
    return {one["index"]: one["finish_reason"] for one in said}


def test_a_slow_reader_delays_nobody_and_gets_its_whole_answer_once_it_reads(served):
    """Its solves end although it reads nothing, others are served meanwhile, and its answer is complete in the end."""
    before = served.metric("specs_solves_total")
    with served.connect(narrow=True) as slow, served.client() as client:
        slow.sendall(post_bytes(CHAT, chat_body(QUESTION, **LARGE)))
        served.until(lambda: served.metric("specs_running") or served.metric("specs_solves_total") > before)
        for seed in range(5):
            answer = client.post(CHAT, json=chat_body(QUESTION, seed=seed))
            assert answer.status_code == 200
            assert answer.json()["choices"][0]["finish_reason"] == "stop"
        served.until(lambda: served.metric("specs_solves_total") == before + LARGE["n"] + 5)
        assert not any(line.get("solves") == LARGE["n"] for line in served.lines())  # the server still holds its answer
        events = streamed(read_all(slow))
    assert set(ended(events)) == set(range(LARGE["n"]))
    assert all(text_of(events, k) for k in range(LARGE["n"]))
    served.until(lambda: any(line.get("solves") == LARGE["n"] for line in served.lines()))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_disconnects_ends_its_solve_within_a_step(served, stream):
    """The running solve counts as cancelled, and the next one starts at once."""
    cancelled = served.metric("specs_solves_total", finish="cancelled")
    steps = served.metric("specs_steps_total")
    with served.connect() as raw:
        raw.sendall(post_bytes(CHAT, chat_body(HARD, **LONG, stream=stream)))
        served.until(lambda: served.metric("specs_running") == 1)
        if stream:
            while b"content" not in raw.recv(1 << 16):
                pass
    served.until(lambda: served.metric("specs_solves_total", finish="cancelled") == cancelled + 1)
    served.until(lambda: served.metric("specs_running") == 0)
    assert served.metric("specs_steps_total") - steps <= 2
    served.until(lambda: served.lines()[-1]["event"] == "request")


@pytest.mark.parametrize("stream", [True, False])
def test_the_solve_of_a_client_that_leaves_the_queue_never_starts(served, stream):
    solves = served.metric("specs_solves_total")
    with served.connect() as first:
        first.sendall(post_bytes(CHAT, chat_body(HARD, **LONG)))
        served.until(lambda: served.metric("specs_running") == 1)
        with served.connect() as second:
            second.sendall(post_bytes(CHAT, chat_body(QUESTION, n=7, stream=stream)))
            served.until(lambda: served.metric("specs_waiting") == 7)
        served.until(lambda: served.metric("specs_waiting") == 0)
        assert served.metric("specs_running") == 1
    served.until(lambda: served.metric("specs_running") == 0)
    assert served.metric("specs_solves_total") == solves + 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_deadline_also_holds_in_the_queue(served, stream):
    """A request that waits longer than its deadline is told so, while the solve before it still runs."""
    served.until(lambda: served.metric("specs_running") == 0)
    with served.connect() as first, served.client() as client:
        first.sendall(post_bytes(CHAT, chat_body(HARD, **LONG)))
        served.until(lambda: served.metric("specs_running") == 1)
        answer = client.post(CHAT, json=chat_body(QUESTION, stream=stream, specs={"deadline_s": 0.2}))
        assert served.metric("specs_running") == 1
        assert served.metric("specs_waiting") == 0
    if stream:
        assert answer.text.endswith("data: [DONE]\n\n")
        assert '"code": "deadline"' in answer.text
    else:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "deadline"


def test_a_server_that_is_told_to_stop_ends_its_streams_properly(own):
    """Running solves return what they have, waiting ones get 503, new ones no connection; it exits with 0 in time."""
    server = own("--grace=1")
    with server.connect() as running, server.connect() as waiting, server.connect() as idle:
        running.sendall(post_bytes(CHAT, chat_body(HARD, **LONG, stream=True)))
        answer = b""
        while b'"content": "' not in answer.replace(b'"content": ""', b""):
            answer += running.recv(1 << 16)
        waiting.sendall(post_bytes(CHAT, chat_body(QUESTION)))
        server.until(lambda: server.metric("specs_waiting") == 1)
        server.signal(signal.SIGTERM)
        refused = read_all(waiting)
        assert refused.startswith(b"HTTP/1.1 503")
        assert b'"code":"shutting_down"' in refused
        assert read_all(idle) == b""
        with pytest.raises(OSError):  # noqa: PT011
            server.connect().close()
        events = streamed(answer + read_all(running))
        assert server.process.wait(WAIT_S) == 0
    assert ended(events) == {0: "length"}
    assert events[-1]["specs"]["finish_reason"] == "cancelled"
    assert text_of(events)
    assert [line["event"] for line in server.lines()][-1] == "stopped"


def test_a_solve_that_ends_within_the_grace_is_complete(own):
    server = own("--grace=60")
    body = chat_body(QUESTION, stream=True, specs={"n": 64})
    with server.client() as client:
        alone = client.post(CHAT, json=chat_body(QUESTION, specs={"n": 64})).json()["choices"][0]["message"]["content"]
    with server.connect() as running:
        running.sendall(post_bytes(CHAT, body))
        answer = running.recv(1 << 16)  # the first event is sent when the request is accepted
        server.signal(signal.SIGTERM)
        events = streamed(answer + read_all(running))
        assert server.process.wait(WAIT_S) == 0
    assert ended(events) == {0: "stop"}
    assert text_of(events) == alone


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_server_at_once(own, second):
    """Although a solve of a minute runs and the grace is an hour."""
    server = own("--grace=3600")
    with server.connect() as running:
        running.sendall(post_bytes(CHAT, chat_body(HARD, **LONG)))
        server.until(lambda: server.metric("specs_running") == 1)
        server.signal(signal.SIGTERM)
        server_says = server.log.read_text
        end = time.monotonic() + WAIT_S
        while '"stopping"' not in server_says() and time.monotonic() < end:
            time.sleep(0.02)
        server.signal(second)
        assert server.process.wait(WAIT_S) == 0


def test_a_client_that_never_reads_does_not_keep_the_server_from_stopping(own):
    server = own("--grace=0")
    with server.connect(narrow=True) as slow:
        slow.sendall(post_bytes(CHAT, chat_body(QUESTION, **LARGE)))
        server.until(lambda: server.metric("specs_solves_total") == LARGE["n"])
        server.signal(signal.SIGTERM)
        assert server.process.wait(WAIT_S) == 0
