"""Exact models for whole runs: each question is one token, each answer is 1 or 2."""

from __future__ import annotations

from functools import cache

import numpy as np

from specs.engines.local.tabular import TabularPolicy, TabularReward, TabularText
from specs.engines.protocol import Models
from specs.types import NO_CONTEXT

QUESTIONS = [f"q{k}" for k in range(40)]
PIECES = ["a", "b", "\n\n", "\\boxed{1}", "\\boxed{2}", "", *QUESTIONS]
BIAS = np.array([0.5, 0.5, 2, 0, 0, 0])


class _Text(TabularText):
    """The prompt is the question's own token, so each problem has its own draws."""

    def prompt(self, question, system=None, generation=True, chat=NO_CONTEXT):
        return [PIECES.index(question)]


TEXT = _Text(PIECES, end_id=5)


def _table(seed, bias):
    @cache
    def look_up(ids):
        logits = np.full(len(PIECES), -np.inf)
        logits[:6] = bias + np.random.default_rng([seed, len(ids), *ids]).normal(size=6)
        return logits

    return look_up


def rate(steps):
    return float(np.random.default_rng([len(steps), *"|".join(steps).encode()]).random())


def models(bias=BIAS, rate=rate, **names):
    """What `load` returns, for any names."""
    return Models(
        TabularPolicy("q", TEXT, _table(1, bias)),
        TabularPolicy("p", TEXT, _table(2, bias)),
        TabularReward("r", TEXT, rate),
    )
