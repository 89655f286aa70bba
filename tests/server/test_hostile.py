"""2,000 hostile requests to a real process: each is refused by name, with no side effects."""

import ast
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.exchange import answer_to, check
from server.hostile import CHAT, MARK, cases
from server.process import ServerProcess, chat_body

pytestmark = pytest.mark.slow

SEED = 20_616
QUESTION = "Tom has 40 nuts. He gives 6 nuts to each of 3 friends. How many nuts does Tom have now?"
EVERY = 250
"""Hostile requests between two good ones."""
GROWTH_KB = 40_000
"""Of memory, at most, over all of them."""
UVICORN = {"Invalid HTTP request received."}
"""What the HTTP library says beside the server."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    audited = [str(Path(__file__).with_name("audited.py")), str(folder / "notes")]
    with ServerProcess(folder / "home", "--max-tokens=64", run=audited) as server:
        yield server
        server.stop()


def good(server):
    with server.client() as client:
        answer = client.post(CHAT, json=chat_body(QUESTION))
    assert answer.status_code == 200
    return answer.json()["choices"][0]["message"]["content"]


def files(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def test_hostile_requests(served):
    """Each request is refused by name or served; afterwards the test looks for anything that a request left behind."""
    hostile = cases(SEED)
    assert len(hostile) >= 2000
    expected, notes = good(served), served.folder.with_name("notes")
    # Take the largest request's memory now, so that later growth depends on the number of requests.
    assert answer_to(served, next(case for case in hostile if case.name == "long question"))[0] == 400
    before, noted, memory = files(served.folder), notes.stat().st_size, served.memory_kb()
    open_files = len(os.listdir(f"/proc/{served.process.pid}/fd"))
    for k, case in enumerate(hostile):
        check(case, *answer_to(served, case))
        if k % EVERY == 0:
            assert good(served) == expected
    assert good(served) == expected

    # No solve is left; no file was written, no process started, and only Python's own modules were read.
    served.until(lambda: served.metric("specs_running") == served.metric("specs_waiting") == 0)
    served.until(lambda: len(os.listdir(f"/proc/{served.process.pid}/fd")) <= open_files)
    assert served.memory_kb() - memory < GROWTH_KB
    assert files(served.folder) == before
    for line in notes.read_bytes()[noted:].decode().splitlines():
        event, path, _, flags = ast.literal_eval(line)
        assert event == "open", line
        assert not flags & WRITES, line
        assert str(path).endswith((".py", ".pyc", ".so")), line

    # Every line of the log is JSON, holds no text of a client, and reports no defect.
    assert MARK not in served.log.read_text()
    lines = served.lines()
    assert {line["event"] for line in lines} <= {"started", "request", *UVICORN}
    assert {line.get("status", 0) for line in lines if line.get("status", 0) >= 500} <= {503}  # of deadlines (check)


def test_concurrent_long_questions_take_the_memory_of_one(served):
    """When each was read in a thread of its own, each took 40 MB, which was not released."""
    long = next(case for case in cases(SEED) if case.name == "long question")
    assert answer_to(served, long)[0] == 400
    memory = served.memory_kb()
    with ThreadPoolExecutor(16) as clients:
        for status, _, _ in clients.map(lambda case: answer_to(served, case), [long] * 64):
            assert status == 400
    assert served.memory_kb() - memory < GROWTH_KB


def test_clients_that_reset_or_stall_a_connection_do_no_harm(served):
    """RST in the middle of requests and answers, and 50 connections that send half a request and stay open."""
    whole = next(case.data for case in cases(SEED) if case.name.startswith("special"))
    for k in range(100):
        with served.connect() as raw:
            raw.sendall(whole if k % 2 else whole[: k * len(whole) // 100])
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    expected = good(served)
    stay = [served.connect() for _ in range(50)]
    try:
        for k, raw in enumerate(stay):
            raw.sendall(whole[: k * len(whole) // 51])
        assert good(served) == expected
    finally:
        for raw in stay:
            raw.close()
    served.until(lambda: served.metric("specs_running") == served.metric("specs_waiting") == 0)
    assert good(served) == expected
