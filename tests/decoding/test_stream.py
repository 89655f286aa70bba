"""The driver of a solve, apart from the laws of engines."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from helpers import toy
from specs.config import Limits, SolveConfig
from specs.core.latency import Estimate
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
