"""The driver of a solve, apart from the laws of engines."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from unittest import mock

import pytest

from helpers import toy
from helpers.clocked import Clock, ticking
from specs import api
from specs.config import Limits, SolveConfig
from specs.core.latency import Estimate
from specs.decoding import clock as clock_of_solves
from specs.decoding.latency_model import LatencyModel
from specs.decoding.stream import astream, stream
from specs.engines.protocol import Models
from specs.errors import EngineError
from specs.methods.registry import make
from specs.methods.specs import Specs
from specs.types import Finish, Propose, SamplingParams, Seconds, StepPolicy

LAW, LIMITS = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=4)), Limits(max_steps=5, max_tokens=60)


def models():
    return toy.models(toy.table(1, end=-6.0), toy.table(2, end=-6.0))


@dataclass(frozen=True)
class Blind(Specs):
    """`specs` that never announces which candidate it will choose."""

    def solve(self, *args):
        flow, reply = Specs.solve(self, *args), None
        while True:
            try:
                request = flow.send(reply)
            except StopIteration as stop:
                return stop.value
            reply = yield replace(request, lookahead=None) if isinstance(request, Propose) else request


def test_a_method_that_does_not_announce_its_choice_solves_the_same():
    for seed in range(4):
        one, other = (
            stream("q", models(), SolveConfig(method, LAW, LIMITS, seed=seed)).result for method in (Specs(4), Blind(4))
        )
        steps = [[replace(record, seconds=Seconds()) for record in result.steps] for result in (one, other)]
        assert steps[0] == steps[1]
        assert all(use.speculated == 0 for use in other.usage.values())


@pytest.mark.parametrize("error", [EngineError("the engine is gone"), MemoryError()])
def test_an_engine_that_fails_ends_an_asyncio_solve_with_an_error(error):
    broken = models()

    def fail(*args):
        raise error

    broken.target.backend.forward = fail

    async def solve():
        running = astream("q", broken, SolveConfig(Specs(4), LAW, LIMITS))
        async for _ in running:
            pass
        return running.result

    result = asyncio.run(solve())
    assert result.finish_reason is Finish.ERROR
    assert result.error == (str(error) or "out of memory")


def test_a_solve_narrowed_by_its_deadline_does_not_update_the_share_of_rewrites():
    result = stream("q", models(), SolveConfig(Specs(4, tau=1.0), LAW, LIMITS)).result
    assert any(not record.accepted for record in result.steps)
    found = []
    for finish in (Finish.MAX_STEPS, Finish.DEADLINE):
        latency_model = LatencyModel()
        latency_model.learn(replace(result, finish_reason=finish, answer="1"))
        found.append(latency_model.estimate(LAW.steps).rewrites)
    assert found[0] > Estimate().rewrites
    assert found[1] == Estimate().rewrites


class Alone:
    """A model whose sessions do no work in the background."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        return getattr(self._model, name)

    def open(self, *args):
        session = self._model.open(*args)
        return Sequential(session)


class Sequential:
    overlap = None

    def __init__(self, session):
        self._session = session

    def __getattr__(self, name):
        return getattr(self._session, name)


def test_sessions_that_cannot_overlap_work_solve_the_same():
    """Nothing is prefetched or verified early, and every step equals that of sessions that can do so."""
    plain = models()
    alone = Models(*(Alone(model) for model in (plain.draft, plain.target, plain.prm)))
    for method in (Specs(4), make("gsi", n=4)):
        one, other = (stream("q", trio, SolveConfig(method, LAW, LIMITS, seed=3)).result for trio in (plain, alone))
        assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
        assert [record.candidates for record in one.steps] == [record.candidates for record in other.steps]


@pytest.mark.parametrize("method", ["target", "draft", "beam", "specs", "best-of-n"])
def test_what_a_deadline_cuts_off_counts_in_its_phase(method):
    """Time passes only while models compute, so all seconds of a solve are seconds of a phase, wherever it ends."""
    cut = 0
    with mock.patch.object(clock_of_solves, "time", Clock()) as clock:
        for deadline_s in (0.0005, 0.002, 0.005, 0.012, 0.02, 0.05, 0.08, 0.2):
            options = {} if method in ("target", "draft") else {"n": 2}
            result = api.solve(
                "q", ticking(clock), method, deadline_s=deadline_s, max_steps=6, max_step_tokens=4, **options
            )
            seconds = result.seconds
            busy = [seconds.draft, seconds.target_generate, seconds.target_score, seconds.prm]
            assert seconds.wall == pytest.approx(result.latency_s)
            assert seconds.orchestration == pytest.approx(0.0)
            assert max(busy) <= result.latency_s + 1e-9
            assert sum(busy) >= result.latency_s - 1e-9
            cut += result.finish_reason is Finish.DEADLINE and result.unfinished.wall > 0
    assert cut


@pytest.mark.parametrize(("role", "phase"), [("draft", "draft"), ("target", "target_score"), ("prm", "prm")])
def test_the_seconds_of_a_call_that_fails_count_in_its_phase(role, phase):
    with mock.patch.object(clock_of_solves, "time", Clock()) as clock:
        broken = ticking(clock)

        def fail(*args):
            clock.tick(3.0)
            raise EngineError("the engine is gone")

        getattr(broken, role).backend.forward = fail
        result = api.solve("q", broken, "specs", n=2, max_steps=3, max_step_tokens=4)
    assert result.finish_reason is Finish.ERROR
    assert getattr(result.unfinished, phase) >= 3.0
    assert result.seconds.wall == pytest.approx(result.latency_s)


def test_a_finished_solve_leaves_nothing_unfinished_where_nothing_works_ahead():
    config = SolveConfig(make("target"), LAW, LIMITS)
    assert stream("q", models(), config).result.unfinished == Seconds()
