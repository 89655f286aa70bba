"""Exact models for whole runs: each question is one token, each answer is 1 or 2."""

from __future__ import annotations

from functools import cache

import numpy as np

from research.study import cost, running
from specs import api
from specs.engines.local.tabular import TabularPolicy, TabularReward, TabularText
from specs.engines.protocol import Models
from specs.eval.files import Problem
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


def problems(dataset, problem_seed, limit):
    return [
        Problem(question, str(1 + k % 2), None, f"{dataset}:{problem_seed + k}")
        for k, question in enumerate(QUESTIONS[:limit])
    ]


def put_in_place(monkeypatch):
    """Make the study solve these problems with these models."""
    monkeypatch.setattr(api, "load", models)
    monkeypatch.setattr(running, "load_problems", problems)
    monkeypatch.setattr(cost, "load_problems", problems)
    running._models.cache_clear()
