"""The target does not score hopeless candidates, those with much lower rewards; the law of the others is unchanged."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from helpers import tiny, toy
from specs import api
from specs.bundled.problems import generate
from specs.config import Limits, SolveConfig
from specs.core.selection import softmax
from specs.decoding.stream import stream
from specs.errors import InputError
from specs.methods.specs import Specs
from specs.types import Role, SamplingParams, StepPolicy

LAW = SamplingParams(0.7, steps=StepPolicy(max_tokens=64))
HOT = SamplingParams(1.3, steps=StepPolicy(max_tokens=64))
"""So that candidates, and their rewards, differ."""


@pytest.fixture(scope="module")
def bundled():
    return api.load()


def solved(models, method, law, seed, steps=32):
    question = generate("hard", 2_463_000 + seed).question
    return stream(question, models, SolveConfig(method, law, Limits(max_steps=steps), seed=seed)).result


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0.5, 4.0])
def test_the_other_candidates_are_chosen_as_if_there_were_no_more(bundled, margin):
    """First steps only, so that both solves have the same candidates."""
    cuts = 0
    for seed in range(12):
        whole = solved(bundled, Specs(), HOT, seed, steps=1).steps[0]
        found = solved(bundled, Specs(hopeless=margin), HOT, seed, steps=1).steps[0]
        tilts = np.array([20.0 * one.reward for one in whole.candidates])
        gone = tilts < tilts.max() - margin
        cuts += gone.sum()
        assert [one.token_ids for one in found.candidates] == [one.token_ids for one in whole.candidates]
        assert [one.log_p == -np.inf for one in found.candidates] == gone.tolist()
        scores = np.where(gone, -np.inf, whole.decision.scores)
        assert found.decision.probabilities == pytest.approx(softmax(scores).tolist(), abs=1e-3)
    assert cuts > 0


@pytest.mark.slow
def test_an_unreachable_margin_changes_nothing(bundled):
    for seed in range(4):
        one, other = (solved(bundled, method, LAW, seed) for method in (Specs(), Specs(hopeless=1e6)))
        assert other.text == one.text
        assert [step.decision.chosen for step in other.steps] == [step.decision.chosen for step in one.steps]
        for role, use in one.usage.items():
            wanted = use.processed - use.speculated
            assert other.usage[role].processed - other.usage[role].speculated == wanted, role


def test_with_a_margin_near_zero_the_highest_reward_wins(bundled):
    for seed in range(6):
        for step in solved(bundled, Specs(hopeless=1e-12), HOT, seed).steps:
            if step.writer is Role.DRAFT and step.decision.chosen is not None:
                rewards = [one.reward for one in step.candidates]
                assert rewards[step.decision.chosen] == max(rewards)


def test_no_position_is_computed_twice_and_the_target_computes_less(bundled):
    computed = {None: 0, 1.0: 0}
    for seed in range(8):
        for margin in computed:
            result = solved(bundled, Specs(hopeless=margin), HOT, seed, steps=1)
            for role, use in result.usage.items():
                assert use.processed == use.minimum + use.speculated, role
            computed[margin] += result.usage[Role.TARGET].processed
    assert computed[1.0] < 0.95 * computed[None]


def test_the_ledger_adds_up_over_whole_solves():
    for seed in range(8):
        models = toy.models_for("specs", toy.table(1, end=-2.0), toy.table(2, end=-2.0))
        law = SamplingParams(0.8, 0.9, StepPolicy(max_tokens=10))
        result = stream(
            "a",
            models,
            SolveConfig(Specs(hopeless=0.5), law, Limits(max_steps=4, max_tokens=40), seed=seed),
        ).result
        assert result.error is None
        for role, use in result.usage.items():
            assert use.processed == use.minimum + use.speculated, role


class Target(tiny.CountingBackend):
    """Tells when the target scores: such a pass is over a tree, while one over the prompt is over a sequence."""

    def __init__(self, backend):
        super().__init__(backend)
        self.scores = threading.Event()

    def forward(self, cache, ids, positions, visible, want):
        if visible is not None:
            self.scores.set()
        return super().forward(cache, ids, positions, visible, want)


class Reward(tiny.CountingBackend):
    """Waits up to `seconds` for the target to score before it rates a step; `met` says whether the target did."""

    def __init__(self, backend, target, seconds):
        super().__init__(backend)
        self.target, self.seconds, self.met = target, seconds, None

    def forward(self, cache, ids, positions, visible, want):
        if visible is not None:
            self.met = self.target.scores.wait(self.seconds)
        return super().forward(cache, ids, positions, visible, want)


@pytest.mark.parametrize(("margin", "seconds"), [(None, 60.0), (1.0, 0.5)])
def test_the_target_waits_for_the_rewards(bundled, margin, seconds):
    """With a margin the target scores after the PRM; without one both work at the same time."""
    target = Target(bundled.target.backend)
    prm = Reward(bundled.prm.backend, target, seconds)
    models = replace(bundled, target=replace(bundled.target, backend=target), prm=replace(bundled.prm, backend=prm))
    result = solved(models, Specs(hopeless=margin), HOT, 0, steps=1)
    assert result.error is None
    assert prm.met is (margin is None)


@pytest.mark.parametrize("margin", [-1.0, float("nan")])
def test_a_negative_margin_is_refused(margin):
    with pytest.raises(InputError, match=r"hopeless is .*; give a number of at least 0"):
        Specs(hopeless=margin)
