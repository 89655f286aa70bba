"""Problems share no draws: under one seed a method's uniforms are fresh for every prompt.

A correct generator exceeds each bound below with probability under 1e-6 (`toy.chi_square_bound`: 3e-7 a purpose).
"""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest

from helpers import toy
from helpers.fitting import make_with
from specs.config import Limits, SolveConfig
from specs.core.keys import Key
from specs.decoding.stream import stream
from specs.engines.local.tabular import TabularPolicy, TabularReward, TabularText
from specs.engines.protocol import Models
from specs.methods.registry import make
from specs.types import Role, SamplingParams, StepPolicy

PROBLEMS = 1000
PIECES = ["a", "b", "\n\n", ""]
LAW, LIMITS = SamplingParams(steps=StepPolicy(max_tokens=2)), Limits(max_steps=2, max_tokens=4)
METHODS = {
    # draws besides tokens: which candidate, which one of a rewrite, whether it is accepted, who writes next
    "specs": ({"n": 3, "tau": 1.0, "switch_on": "trace", "accept_weight": 0.0}, {"select 0", "select 1"}),
    "gsi": ({"n": 3, "threshold": 9.0}, {"select 0", "select 1"}),
    "random-switch": ({"n": 3}, {"select 0", "switch 0"}),
    "random-rewrite": ({"n": 3, "rewrite_share": 0.5}, {"select 0", "select 1", "accept 0"}),
    "soft-beam": ({"n": 3}, {"select 0"}),
    "hard-reject": ({}, {"accept 0"}),
    "prm-free": ({"n": 3}, {"select 0"}),
    "soft-best-of-n": ({"n": 3}, {"select 0"}),
}


class Numbered(TabularText):
    """The prompt of question k is a token of its own that no model writes."""

    def prompt(self, question, system=None, generation=True, chat=None):
        return [len(PIECES) + int(question)]


TEXT = Numbered(PIECES, end_id=3)


def models():
    """Both writers have the same law after every prompt, so many problems have the same traces."""
    row = np.array([0.0, 0.0, 0.0, -4.0])
    return Models(
        TabularPolicy("q", TEXT, lambda ids: row),
        TabularPolicy("p", TEXT, lambda ids: row),
        TabularReward("r", TEXT, toy.reward),
    )


class Recorder:
    """Records every uniform with its purpose and the trace for which it is drawn."""

    def __init__(self, monkeypatch):
        self.purposes = {}
        self.drawn = defaultdict(list)
        fold, uniform, gumbels = Key.fold, Key.uniform, Key.gumbels

        def folded(key, purpose, prefix_ids=(), attempt=0):
            found = fold(key, purpose, prefix_ids, attempt)
            self.purposes[found.digest] = f"{purpose} {attempt}", tuple(prefix_ids)
            return found

        def note(key, value):
            purpose, prefix = self.purposes[key.digest]
            self.drawn[purpose].append((prefix, value))

        def drawn(key):
            value = uniform(key)
            note(key, value)
            return value

        def several(key, n):
            values = gumbels(key, n)
            note(key, math.exp(-math.exp(-values[0])))
            return values

        monkeypatch.setattr(Key, "fold", folded)
        monkeypatch.setattr(Key, "uniform", drawn)
        monkeypatch.setattr(Key, "gumbels", several)

    def take(self):
        drawn, self.drawn = self.drawn, defaultdict(list)
        return drawn


def uniform_and_distinct(values):
    counts = np.histogram(values, 20, (0, 1))[0]
    statistic, degrees = toy.chi_square(counts, np.full(20, len(values) / 20))
    assert statistic < toy.chi_square_bound(degrees)
    assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    "name", [name if name in ("specs", "beam") else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]
)
def test_first_uniforms_of_a_thousand_problems_are_uniform_and_distinct(name, monkeypatch):
    options, wanted = METHODS[name]
    recorder, method, tried = Recorder(monkeypatch), make_with(name, options), models()
    first = defaultdict(list)
    for k in range(PROBLEMS):
        _ = stream(str(k), tried, SolveConfig(method, LAW, LIMITS)).result
        for purpose, draws in recorder.take().items():
            first[purpose].append(draws[0][1])
    assert wanted <= first.keys()
    for purpose in wanted:
        # Even a purpose that only some problems have occurs hundreds of times.
        assert len(first[purpose]) > 300
        uniform_and_distinct(first[purpose])


def test_first_uniforms_of_tokens_are_uniform_and_distinct():
    """Keys of candidates depend on the prompt from the start."""
    for role in (Role.DRAFT, Role.TARGET):
        keys = [Key.from_seed(0).fold(role, (k,), 0) for k in range(PROBLEMS)]
        uniform_and_distinct([float(key.uniforms(1, 0)[0, 0]) for key in keys])


def test_problems_with_the_same_traces_share_no_draw(monkeypatch):
    recorder, method, tried = Recorder(monkeypatch), make("specs", n=2), models()
    by_prefix = defaultdict(list)
    for k in range(200):
        _ = stream(str(k), tried, SolveConfig(method, LAW, LIMITS)).result
        for purpose, draws in recorder.take().items():
            for prefix, value in dict(draws).items():
                by_prefix[purpose, prefix].append(value)
    shared = {place: values for place, values in by_prefix.items() if len(values) > 1}
    assert any(prefix for _, prefix in shared), "no two problems have the same steps, so nothing is tested"
    assert len(shared[("select 0", ())]) == 200
    for values in shared.values():
        assert len(set(values)) == len(values)


def test_over_problems_the_first_choice_has_the_stated_law(monkeypatch):
    """Over 1,000 problems a candidate of probability P is chosen in a share P of them, under each seed.

    The number is a sum of independent draws; it leaves 5 standard deviations with probability 6e-7.
    """
    tried, method = models(), make("soft-best-of-n", n=2, beta=3.0)
    for seed in (0, 1):
        records = [
            stream(str(k), tried, SolveConfig(method, LAW, LIMITS, seed=seed)).result.steps[0] for k in range(PROBLEMS)
        ]
        p = np.array([record.decision.probabilities[0] for record in records])
        first = sum(record.decision.chosen == 0 for record in records)
        assert abs(first - p.sum()) < 5 * np.sqrt((p * (1 - p)).sum())


def test_the_key_of_a_method_uses_the_prompt_of_the_target_or_else_of_the_draft():
    draft, target = {Role.DRAFT: (1, 2)}, {Role.TARGET: (3,)}
    assert Key.for_method(0, draft | target | {Role.PRM: (9,)}) == Key.for_method(0, target)
    assert Key.for_method(0, draft) != Key.for_method(0, target)
    assert Key.for_method(0, draft) != Key.for_method(1, draft)
    assert Key.for_method(7, draft, draws=1) == Key.for_method(7, target, draws=1) == Key.from_seed(7, draws=1)


@pytest.mark.parametrize(
    ("prompts", "draws", "said"),
    [
        ({Role.TARGET: (1,)}, 4, "rule 4"),
        ({Role.TARGET: (1,)}, 0, "rule 0"),
        ({Role.PRM: (1,)}, 2, "prompt of a target"),
    ],
)
def test_an_unknown_rule_or_a_missing_prompt_is_refused(prompts, draws, said):
    with pytest.raises(ValueError, match=said):
        Key.for_method(0, prompts, draws)
