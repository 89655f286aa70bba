"""Requests are parsed in one thread, in which no client waits for more than one request of each other client."""

import asyncio
import select
import threading
from contextlib import ExitStack

import pytest

from server.process import ServerProcess, chat_body, post_bytes
from specs.server.turns import FairThread, TooMany

CHAT = "/v1/chat/completions"


async def here():
    return False


async def gone():
    return True


def test_clients_take_turns_however_many_calls_each_has():
    order, begin = [], threading.Event()

    async def work():
        thread = FairThread(8, "test")

        def call(name):
            begin.wait(10)
            order.append(name)

        names = ["a", "a", "a", "a", "b", "c", "b"]
        calls = [asyncio.create_task(thread.run(name, here, lambda name=name: call(name))) for name in names]
        await asyncio.sleep(0.01)
        begin.set()
        await asyncio.gather(*calls)
        assert not thread._calls
        assert not thread._locks

    asyncio.run(work())
    assert order[:3] == ["a", "b", "c"]
    assert order[3:5] == ["a", "b"]
    assert order[5:] == ["a", "a"]


def test_a_client_has_only_so_many_calls_and_what_they_raise_is_raised():
    async def work():
        thread = FairThread(2, "test")
        begin = threading.Event()
        waiting = [asyncio.create_task(thread.run("a", here, lambda: begin.wait(10))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await thread.run("a", here, lambda: None)
        begin.set()
        await asyncio.gather(*waiting)
        with pytest.raises(ZeroDivisionError):
            await thread.run("a", here, lambda: 1 / 0)
        assert await thread.run("a", here, lambda: 7) == 7
        assert not thread._calls

    asyncio.run(work())


def test_nothing_is_called_for_a_client_that_has_gone():
    called = []
    assert asyncio.run(FairThread(1, "test").run("a", gone, lambda: called.append(1))) is None
    assert not called


def test_a_client_with_many_long_questions_delays_no_other(tmp_path):
    """When every request came in turn, another client waited for all of them: a minute for a thousand."""
    (tmp_path / "keys").write_text("many\nother\n")
    long = chat_body("7 " * 32_000)
    with ServerProcess(tmp_path / "home", f"--api-key-file={tmp_path / 'keys'}") as server, ExitStack() as stack:
        data = post_bytes(CHAT, long).replace(b"\r\n", b"\r\nAuthorization: Bearer many\r\n", 1)
        many = [stack.enter_context(server.connect()) for _ in range(30)]
        for raw in many:
            raw.sendall(data)
        with server.client() as client:
            short = chat_body("Tom has 4 nuts.", max_tokens=1, specs={"method": "draft"})
            answer = client.post(CHAT, json=short, headers={"Authorization": "Bearer other"})
        assert answer.status_code == 200
        answered, _, _ = select.select(many, [], [], 0)
        assert len(answered) < len(many) / 2
        for raw in many:
            assert raw.recv(12).endswith(b"400")
        server.stop()
