"""Deadlines through `solve`: one latency model for many solves, records that can be read and replayed, overtime."""

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest

import specs
from helpers import tiny, toy
from specs.bundled.problems import HELD_OUT_SEED, generate
from specs.config import Limits, SolveConfig
from specs.core.latency import Estimate
from specs.core.selection import choose_best
from specs.decoding.latency_model import LatencyModel, kind_of
from specs.decoding.stream import stream
from specs.traces.codec import result_from
from specs.traces.replay import ReplayEnd, replay
from specs.traces.schema import result_json
from specs.types import Accept, Finish, Propose, Role, SamplingParams, StepPolicy, Trace

LAW = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=4))
OPTIONS = dict(n=4, max_steps=6, max_step_tokens=4, temperature=0.9)


def long_models():
    return toy.models(toy.table(1, end=-6.0), toy.table(2, end=-6.0))


@pytest.fixture(scope="module")
def bundled():
    return specs.load()


def test_solve_stream_and_asolve_all_update_the_latency_model():
    latency_model = LatencyModel()
    specs.solve("q", long_models(), latency_model=latency_model, **OPTIONS)
    known = [latency_model.estimate(LAW.steps)]
    assert specs.stream("q", long_models(), latency_model=latency_model, **OPTIONS).result.steps
    known.append(latency_model.estimate(LAW.steps))
    asyncio.run(specs.asolve("q", long_models(), latency_model=latency_model, **OPTIONS))
    known.append(latency_model.estimate(LAW.steps))
    assert len({Estimate(), *known}) == 4


def test_settings_hold_the_options_and_the_estimate():
    result = specs.solve("q", long_models(), deadline_s=1e5, **OPTIONS)
    assert result.method == "specs"
    assert result.settings["method"]["n"] == 4
    assert result.settings["limits"]["deadline_s"] == 1e5
    assert len(result.settings["method"]["estimate"]["mean"]) == 6


def hurried(seed=0):
    """A solve with too little time for all candidates: without experience, the prior expects steps of seconds."""
    return specs.solve(
        "q", long_models(), deadline_s=0.5, tau=0.0, switch_on="trace", accept_weight=0.0, seed=seed, **OPTIONS
    )


def test_a_solve_narrowed_by_its_deadline_is_recorded_read_and_replayed_up_to_there():
    result = hurried()
    assert len(result.steps[0].candidates) == 1
    read = result_from(result_json(result, candidates=True), "here")
    assert replay(read).ended is ReplayEnd.MORE_CANDIDATES
    assert replay(read, n=1).ended is ReplayEnd.NO_REWARD
    relaxed = specs.solve("q", long_models(), deadline_s=1e5, **OPTIONS)
    assert replay(result_from(result_json(relaxed, candidates=True), "here")).ended is ReplayEnd.COMPLETE


def test_a_step_may_use_its_overtime_and_no_more():
    """A step of 100 passes of 10 ms each; the deadline passes after ten of them."""

    @dataclass
    class One:
        overtime_s: float
        name = "one"
        roles = frozenset({Role.DRAFT})

        def solve(self, question, law, key):
            yield Propose(Role.DRAFT, Trace(question), 1, frozenset(), law, overtime_s=self.overtime_s)
            yield Accept(choose_best([0.0]))
            return Finish.MAX_STEPS

    models = long_models()
    models.draft.backend = tiny.SlowBackend(models.draft.backend, 0.01)
    law, limits = SamplingParams(1.0, 1.0, StepPolicy.chunks(100)), Limits(deadline_s=0.1)
    for overtime_s in (0.0, 0.3):
        result = stream("q", models, SolveConfig(One(overtime_s), law, limits)).result
        assert result.finish_reason is Finish.DEADLINE
        assert 0.1 + overtime_s <= result.latency_s < 0.1 + overtime_s + 0.2


@pytest.mark.slow
def test_most_answers_of_the_bundled_models_are_in_time(bundled):
    """The deadline is half the usual latency, which is measured in between. At least 20 of 30 solves end within the
    deadline plus a usual step. If each does with probability 0.95, this fails once in 10^7 runs; with 0.9, in 10^4.
    """
    share, latency_model, question = (
        0.5,
        LatencyModel(),
        [generate("medium", HELD_OUT_SEED + k).question for k in range(40)],
    )
    usual = [specs.solve(one, bundled, latency_model=latency_model) for one in question[:10]]
    answered = met = narrowed = 0
    for one in question[10:]:
        usual = [*usual[1:], specs.solve(one, bundled, latency_model=latency_model)]
        latency_s = float(np.median([result.latency_s for result in usual]))
        step_s = float(np.mean([record.seconds.wall for result in usual for record in result.steps]))
        result = specs.solve(one, bundled, latency_model=latency_model, deadline_s=share * latency_s)
        met += result.latency_s <= share * latency_s + step_s
        answered += result.answer is not None
        narrowed += any(kind_of(record) != kind_of(usual[-1].steps[0]) for record in result.steps)
    assert met >= 20
    assert answered >= 20
    assert narrowed >= 20
