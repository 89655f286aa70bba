"""Several servers of one model: solves leave a server that fails or hangs, avoid it, and come back to it."""

import asyncio
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from engines.test_answers import vllm
from engines.test_client import FACTS, serving
from specs.engines.event_loop import gather, wait
from specs.engines.protocol import Stopped, never_stop
from specs.engines.vllm import client as client_module
from specs.engines.vllm import replicas as replicas_module
from specs.engines.vllm.client import Client, Refused
from specs.engines.vllm.replicas import Replicas, connect_replicas
from specs.engines.vllm.server import Server
from specs.errors import EngineError, InputError
from specs.types import Finish


def servers(names="ab"):
    return [Server(Client(f"http://{name}"), FACTS) for name in names]


def asked(replicas, broken=(), error=EngineError, times=1):
    """The servers that a solve sends its requests to, in order."""
    calls = []

    async def request(server):
        calls.append(server)
        if server in broken:
            raise error("no")
        return server

    chosen = replicas.next()
    for _ in range(times):
        wait(chosen.send(request), never_stop)
    return calls


def firsts(replicas, solves=6):
    return {asked(replicas)[0] for _ in range(solves)}


def test_solves_take_replicas_in_turn_and_keep_theirs():
    one, two = servers()
    replicas = Replicas([one, two])
    assert [asked(replicas, times=3) for _ in range(3)] == [[one] * 3, [two] * 3, [one] * 3]


def test_a_solve_leaves_a_failed_replica_and_new_solves_avoid_it():
    one, two, three = servers("abc")
    replicas = Replicas([one, two, three])
    assert asked(replicas, [one], times=2) == [one, two, two]
    assert firsts(replicas) == {two, three}


def test_once_all_replicas_have_failed_all_are_tried_and_the_one_that_answers_is_kept():
    some = servers("abc")
    replicas = Replicas(some)
    for _ in range(2):
        with pytest.raises(EngineError, match="no"):
            asked(replicas, some)
    tried = asked(replicas, some[:2])
    assert tried[-1] is some[2]
    assert len(tried) == len(set(tried))
    assert firsts(replicas) == {some[2]}


def test_a_solve_leaves_a_replica_that_has_failed_for_another_solve():
    one, two = servers()
    replicas = Replicas([one, two])
    chosen = replicas.next()
    one.client.failed_at = time.monotonic()

    async def request(server):
        return server

    assert wait(chosen.send(request), never_stop) is two


def test_requests_that_fail_together_change_the_replica_once():
    one, two = servers()
    chosen = Replicas([one, two]).next()

    async def request(server):
        await asyncio.sleep(0.01)
        if server is one:
            raise EngineError("no")
        return server

    assert wait(gather(chosen.send(request) for _ in range(4)), never_stop) == [two] * 4


@pytest.mark.parametrize(("status", "moves"), [(400, False), (401, False), (422, False), (404, True), (500, True)])
def test_a_request_goes_to_another_replica_unless_the_request_is_at_fault(status, moves):
    """404: the server serves another model by now. 500: its engine has died."""
    one, two = servers()

    def refused(message):
        return Refused(message, status)

    if moves:
        assert asked(Replicas([one, two]), [one], refused) == [one, two]
    else:
        with pytest.raises(Refused):
            asked(Replicas([one, two]), [one], refused)
        assert one.client.failed_at is None


def test_replicas_that_differ_are_refused():
    one, _ = servers()
    with pytest.raises(InputError, match=r"^http://a and http://d are not alike \(context 4096 and 2048\)"):
        Replicas([one, Server(Client("http://d"), replace(FACTS, context=2048))])


# Over HTTP ---------------------------------------------------------------------------------


class Trouble:
    """Answers like vLLM until told otherwise.

    Attributes:
        state: `well`, `dead` (500 to every request but health checks), `hangs` or `other` (serves another model).
        begun: requests of solves that arrived.
        seen: those that it did not leave waiting.
    """

    def __init__(self):
        self.state, self.begun, self.seen, self.resume = "well", 0, 0, threading.Event()

    def __call__(self, path, body, times):
        self.begun += path == "/solve"
        if self.state == "hangs":
            self.resume.wait(20)
        if path == "/solve":
            self.seen += 1
            return (500, b"EngineDeadError") if self.state == "dead" else (200, b'{"ok": 1}')
        if path == "/health":
            return 200, b""
        changes = {"/v1/models": {"data": [{"id": "m", "max_model_len": 32}]}} if self.state == "other" else {}
        return vllm(path, body, times, **changes)


@pytest.fixture
def pair(monkeypatch):
    """Two replicas and what they answer; health checks that fail take a quarter of a second."""
    monkeypatch.setattr(client_module, "HEALTH_S", 0.04)
    monkeypatch.setattr(client_module, "PAUSES_S", ())
    monkeypatch.setattr(replicas_module, "REST_S", 0.2)
    troubles = [Trouble(), Trouble()]
    with ExitStack() as running:
        urls = [running.enter_context(serving(trouble))[0] for trouble in troubles]
        yield wait(connect_replicas(urls, None, 20.0), never_stop), troubles
        for trouble in troubles:
            trouble.resume.set()


def solve(replicas, check_stop=never_stop):
    return wait(replicas.next().send(lambda server: server.client.post("/solve", {})), check_stop)


def seen(troubles):
    before = [trouble.seen for trouble in troubles]
    return lambda: [trouble.seen - count for trouble, count in zip(troubles, before, strict=True)]


def test_a_replica_whose_engine_died_is_left_and_used_again_once_it_is_back(pair):
    replicas, troubles = pair
    troubles[0].state = "dead"
    for _ in range(4):
        assert solve(replicas) == {"ok": 1}
    assert troubles[0].seen == 1
    troubles[0].state, since = "well", seen(troubles)
    deadline = time.monotonic() + 10
    while not since()[0] and time.monotonic() < deadline:
        time.sleep(0.02)
        solve(replicas)
    assert since()[0]


def test_a_hanging_replica_is_given_up_after_one_health_check_and_avoided(pair):
    replicas, troubles = pair
    troubles[0].state = "hangs"
    began = time.monotonic()
    for _ in range(4):
        assert solve(replicas) == {"ok": 1}
    # One solve waits 6 x HEALTH_S; the checks whether it is back keep no solve waiting.
    assert 0.24 <= time.monotonic() - began < 2
    assert troubles[1].seen == 4


def test_a_replica_at_which_a_deadline_cut_a_request_off_is_found_to_hang(pair):
    """Otherwise every second solve would wait for it until its own deadline."""
    replicas, troubles = pair
    troubles[0].state = "hangs"

    def stop():
        raise Stopped(Finish.DEADLINE)

    with pytest.raises(Stopped):
        solve(replicas, stop)
    hanging = replicas.servers[0].client
    deadline = time.monotonic() + 10
    while hanging.failed_at is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert hanging.failed_at is not None
    before = troubles[0].begun
    for _ in range(4):
        assert solve(replicas) == {"ok": 1}
    assert troubles[0].begun == before  # nobody waits for it
    assert troubles[1].seen == 4


def test_a_healthy_replica_at_which_a_deadline_cut_a_request_off_stays_in_use(pair):
    replicas, _ = pair

    async def slow(server):
        await server.client.post("/solve", {})
        await asyncio.sleep(20)

    def stop():
        raise Stopped(Finish.DEADLINE)

    with pytest.raises(Stopped):
        wait(replicas.next().send(slow), stop)
    time.sleep(0.2)
    assert [server.client.failed_at for server in replicas.servers] == [None, None]


def test_a_replica_that_comes_back_with_another_model_is_not_used(pair, caplog):
    replicas, troubles = pair
    troubles[0].state = "dead"
    for _ in range(2):
        solve(replicas)
    troubles[0].state, since = "other", seen(troubles)
    deadline = time.monotonic() + 10
    while "are not alike" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.02)
        solve(replicas)
    assert "the other replicas are not alike" in caplog.text
    solve(replicas)
    assert since()[0] == 0


def test_a_replica_that_is_down_at_the_start_is_used_once_it_answers(monkeypatch, caplog):
    monkeypatch.setattr(client_module, "PAUSES_S", ())
    monkeypatch.setattr(replicas_module, "REST_S", 0.1)
    up, late = Trouble(), Trouble()
    late.state = "dead"

    def not_yet(path, body, times):
        return (500, b"not yet") if late.state == "dead" else late(path, body, times)

    with serving(up) as (gone_url, _):
        pass
    with serving(up) as (up_url, _), serving(not_yet) as (late_url, _):
        replicas = wait(connect_replicas([gone_url, up_url, late_url], None, 20.0), never_stop)
        assert f"starting without a replica: {gone_url} cannot be reached" in caplog.text
        for _ in range(3):
            solve(replicas)
        assert (up.seen, late.seen) == (3, 0)
        late.state = "well"
        deadline = time.monotonic() + 10
        while not late.seen and time.monotonic() < deadline:
            time.sleep(0.02)
            solve(replicas)
        assert late.seen
    with pytest.raises(EngineError, match="cannot be reached"):
        wait(connect_replicas([gone_url, gone_url], None, 20.0), never_stop)


@pytest.mark.parametrize(
    ("status", "content", "error", "message"),
    [(401, b"", EngineError, "refuses the API key"), (200, b'{"data": []}', InputError, "serves , not x")],
)
def test_a_replica_that_is_up_but_wrong_is_an_error_at_the_start(status, content, error, message):
    def wrong(path, body, times):
        return status, content

    with serving(Trouble()) as (well, _), serving(wrong) as (url, _), pytest.raises(error, match=message):
        wait(connect_replicas([well, f"{url}#x"], None, 20.0), never_stop)
