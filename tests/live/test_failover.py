"""Two servers of one model: a solve leaves the one that dies, hangs or is down at the start, and others avoid it.

The tests run in this order, since the first server is broken for good by the one before the last.
"""

import os
import signal
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from live.servers import PROCESSED, Server
from live.solving import QUESTION
from specs import api
from specs.engines.vllm import client as client_module
from specs.engines.vllm import replicas as replicas_module
from specs.types import Finish

SEED = 3
GIVEN_UP_S = client_module.HEALTH_S * 6
"""Seconds until a request to a replica that hangs moves to another one: a pause and a health check."""


@pytest.fixture(scope="module")
def pair(vllm, tmp_path_factory):
    """Two servers of the bundled target whose engines are processes of their own, as on a GPU."""
    logs = tmp_path_factory.mktemp("pair")
    with ExitStack() as running:
        started = []
        for name in ("one", "two"):
            started.append(Server("target", logs / f"{name}.log", PROCESSED, VLLM_ENABLE_V1_MULTIPROCESSING="1"))
            running.callback(started[-1].stop)
        yield [server.wait() for server in started]


@pytest.fixture
def models(pair, monkeypatch):
    """The pair as replicas, of which the first gets the first solve; a failed one is checked every second."""
    monkeypatch.setattr(replicas_module, "REST_S", 1.0)
    return replicas(pair)


@pytest.fixture(scope="module")
def alone(pair):
    """The steps that the second server writes by itself."""
    result = solve(api.load(None, pair[1].url, None))
    assert len(result.steps) > 2
    return steps(result)


def replicas(pair):
    return api.load(None, ",".join(server.url for server in pair), None)


def solve(models, **limits):
    return api.solve(QUESTION, models, "target", seed=SEED, **limits)


def steps(result):
    return [record.candidates[0].token_ids for record in result.steps]


def broken_after_a_step(models, trouble):
    """The result of a solve during which `trouble` happens, after its first step."""
    running = api.stream(QUESTION, models, "target", seed=SEED)
    for at, _ in enumerate(running):
        if at == 0:
            trouble()
    return running.result


@contextmanager
def hanging(server):
    """SIGSTOP to all processes of a server; it goes on afterwards."""
    os.killpg(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(server.process.pid, signal.SIGCONT)


def kill_engine(server):
    """SIGKILL to the engine's process, which the server has started."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    for child in children.split():
        os.kill(int(child), signal.SIGKILL)


def failed(models):
    return [server.client.failed_at is not None for server in models.target.replicas.servers]


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def seconds_of(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began


def test_a_solve_leaves_a_replica_that_hangs_and_writes_the_same_steps_on_the_other(pair, models, alone):
    usual_s = seconds_of(lambda: solve(models))  # the first server writes
    solve(models)
    with ExitStack() as stopped:
        result = broken_after_a_step(models, lambda: stopped.enter_context(hanging(pair[0])))
        assert steps(result) == alone
        assert result.finish_reason in (Finish.ANSWER, Finish.END_OF_TEXT)
        assert GIVEN_UP_S <= result.seconds.target_generate <= GIVEN_UP_S + 10 * usual_s + 2
        assert failed(models) == [True, False]
        for _ in range(2):
            assert seconds_of(lambda: solve(models)) < GIVEN_UP_S / 2, "others avoid it"
    until(lambda: solve(models) and failed(models) == [False, False])


def test_a_deadline_that_comes_before_the_move_counts_its_seconds_and_the_next_solve_avoids_the_replica(pair, models):
    with hanging(pair[0]):
        result = solve(models, deadline_s=2.0)
        assert result.finish_reason is Finish.DEADLINE
        assert result.steps == ()
        assert 2.0 <= result.latency_s < 4.0
        assert result.seconds.target_generate == pytest.approx(result.latency_s, abs=0.2)
        until(lambda: failed(models) == [True, False], GIVEN_UP_S + 10)
        for _ in range(2):
            assert solve(models, deadline_s=GIVEN_UP_S / 2).finish_reason is not Finish.DEADLINE
    until(lambda: solve(models) and failed(models) == [False, False])


def test_a_solve_leaves_a_replica_whose_engine_dies(pair, models, alone, caplog):
    """The server answers 500 to the request under way, and ends."""
    assert steps(broken_after_a_step(models, lambda: kill_engine(pair[0]))) == alone
    assert f"another replica takes over: {pair[0].url}" in caplog.text
    assert failed(models) == [True, False]
    assert steps(solve(models)) == alone


def test_a_replica_that_is_down_at_the_start_is_used_once_it_is_up(pair, models, alone):
    pair[0].kill()
    late = replicas(pair)
    assert failed(late) == [True, False]
    assert steps(solve(late)) == alone
    pair[0].start()
    pair[0].wait()
    until(lambda: solve(late) and failed(late) == [False, False])
    before = pair[0].metrics()["request_success_total"]
    assert [steps(solve(late)) for _ in range(2)] == [alone] * 2
    assert pair[0].metrics()["request_success_total"] > before
