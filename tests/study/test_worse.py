"""Worse models: worse by a known amount, and still functions of their input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from helpers import toy
from research.study.worse import biased, models_called, noisy_draft, noisy_reward
from specs.config import SolveConfig
from specs.decoding.stream import stream
from specs.engines.folders import BUNDLED
from specs.engines.protocol import never_stop
from specs.methods.specs import Specs
from specs.types import Candidate, End, Trace


def _session(nats, rate=toy.reward):
    models = toy.models(rate=rate)
    assert models.prm is not None
    noisy = noisy_reward(models.prm, nats)
    return noisy.open(noisy.prompt("q"), never_stop)


def _candidate(ids):
    return Candidate(ids, "".join(toy.TEXT.pieces[k] for k in ids), End.DELIMITER)


STEPS = [_candidate((a, b, c, 3)) for a in range(3) for b in range(3) for c in range(3)]


def test_noise_is_a_function_of_the_text():
    trace = Trace("q")
    first = _session(2.0).score([(trace, STEPS)], "\n\n")
    again = _session(2.0)
    assert [again.score([(trace, [step])], "\n\n")[0] for step in STEPS] == pytest.approx(first)
    assert again.score([(trace, [STEPS[3], STEPS[3]])], "\n\n") == pytest.approx([first[3]] * 2)
    other = _session(2.0).score([(Trace("another question"), STEPS)], "\n\n")
    assert not np.allclose(other, first)


def test_noise_has_the_stated_spread():
    """729 rewards of 0.5: the mean and variance of normal noise leave these bounds with probability 1e-6."""
    session = _session(2.0, rate=lambda steps: 0.5)
    noise = []
    for before in STEPS:
        trace = Trace("q").extend(before, "draft")
        noise += [math.log(r / (1 - r)) for r in session.score([(trace, STEPS)], "\n\n")]
    assert abs(np.mean(noise)) < 5 * 2.0 / math.sqrt(len(noise))
    assert abs(np.var(noise) / 4.0 - 1) < 5 * math.sqrt(2 / len(noise))


def test_without_noise_and_for_blank_steps_the_reward_is_unchanged():
    exact = toy.models()
    assert exact.prm is not None
    plain = exact.prm.open(exact.prm.prompt("q"), never_stop)
    groups = [(Trace("q"), STEPS)]
    assert _session(0.0).score(groups, "\n\n") == pytest.approx(plain.score(groups, "\n\n"), abs=2e-6)
    assert _session(2.0).query(groups, "\n\n") == plain.query(groups, "\n\n")
    blank = [(Trace("q"), [_candidate((3,))])]
    assert _session(2.0).score(blank, "\n\n") == plain.score(blank, "\n\n")


def test_solves_with_a_noisy_prm_are_reproducible():
    models = toy.models()
    assert models.prm is not None
    noisy = type(models)(models.draft, models.target, noisy_reward(models.prm, 4.0))

    def steps(trio):
        return [
            [(c.token_ids, c.reward) for c in record.candidates]
            for seed in range(5)
            for record in stream("q", trio, SolveConfig(Specs(n=4), seed=seed)).result.steps
        ]  # fmt: skip

    assert steps(noisy) == steps(noisy)
    assert steps(noisy) != steps(models)


def test_a_noisy_draft_is_reproducible_and_not_the_bundled_one(tmp_path):
    weights = "model.safetensors"
    one = (noisy_draft(0.07, tmp_path / "one") / weights).read_bytes()
    assert one == (noisy_draft(0.07, tmp_path / "two") / weights).read_bytes()
    assert one != (noisy_draft(0.1, tmp_path / "three") / weights).read_bytes()
    assert one != (BUNDLED / "draft" / weights).read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_the_changed_model_is_named_and_the_others_are_the_trio():
    for name, says in (("prm-noise-2", "noise=2"), ("prm-large-numbers-3", "likes-large-numbers=3")):
        prm = models_called(name)
        assert prm.prm is not None
        assert prm.prm.name == f"bundled:prm {says}"
        assert prm.draft is not None
        assert prm.draft.name == "bundled:draft"
    draft = models_called("draft-noise-0.07")
    assert draft.draft is not None
    assert draft.target is not None
    assert draft.prm is not None
    assert draft.draft.name.endswith("draft-noise-0.07")
    assert draft.draft.fingerprint == draft.target.fingerprint
    assert draft.prm.name == "bundled:prm"


def test_a_reward_model_that_likes_large_numbers():
    assert biased(0.5, 2.0, "no number") == 0.5
    rewards = [biased(0.5, 2.0, f"7 + 3 = {number} flowers.") for number in (0, 9, 99, 999)]
    assert rewards == pytest.approx([0.5, *(1 / (1 + math.exp(-2.0 * power)) for power in (1, 2, 3))])
    assert 0 < biased(0.0, 1.0, "5") < biased(1.0, 1.0, "5") < 1
