"""Exact models: three tabular models over five tokens."""

from __future__ import annotations

import math

import numpy as np

from specs.engines.local.tabular import TabularPolicy, TabularReward, TabularText
from specs.engines.protocol import Models

TEXT = TabularText(["a", "b", "c", "\n\n", ""], end_id=4)
RATED = TabularText([*TEXT.pieces, *"0123456789"], end_id=4)
JUDGED = ("specreason", "ssr")
"""Methods that ask the target for ratings."""


def table(seed, sharp=1.0, end=None):
    """Random logits as a function of the context.

    `end` is the logit of end-of-text in every row; a low one makes traces of several steps.
    """

    def look_up(ids):
        row = sharp * np.random.default_rng([seed, len(ids), *ids]).normal(size=5)
        if end is not None:
            row[4] = end
        return row

    return look_up


def reward(steps):
    """A fixed pseudo-random reward as a function of the steps so far."""
    return float(np.random.default_rng([len(steps), *"|".join(steps).encode()]).random())


def models(draft=None, target=None, rate=reward, text=TEXT):
    return Models(
        TabularPolicy("q", text, draft or table(1)),
        TabularPolicy("p", text, target or table(2)),
        TabularReward("r", text, rate),
    )


def models_for(name, draft=None, target=None):
    """`models`, with the vocabulary `RATED` if the method called `name` asks the target for ratings."""
    if name not in JUDGED:
        return models(draft, target)
    return models(rating(draft or table(1)), rating(target or table(2)), text=RATED)


def unsupported(models):
    """The same models with NaN for a reward of 0, as a foreign engine might return; our engines end such a solve."""
    plain = models.prm.open

    def opened(*args):
        session = plain(*args)
        rewards = session.score
        session.score = lambda *asked: [one or math.nan for one in rewards(*asked)]
        return session

    models.prm.open = opened
    return models


def rating(table, rate=None):
    """The table over `RATED`: after end-of-text a pseudo-random digit, or `rate(tokens before)`, is most likely."""

    def look_up(ids):
        row = np.full(len(RATED.pieces), -np.inf)
        if 4 not in ids:
            row[:5] = table(ids)
        elif rate is None:
            row[5:] = np.random.default_rng([9, len(ids), *ids]).normal(size=10)
        else:
            row[5 + rate(ids[: ids.index(4)])] = 0.0
        return row

    return look_up


def chi_square(counts, expected):
    """Pearson's statistic of counts against expected counts, with categories expected below 5 pooled."""
    counts, expected = np.asarray(counts, float), np.asarray(expected, float)
    small = expected < 5
    counts = np.append(counts[~small], counts[small].sum())
    expected = np.append(expected[~small], expected[small].sum())
    used = expected > 0
    assert counts[~used].sum() == 0
    return float(((counts[used] - expected[used]) ** 2 / expected[used]).sum()), int(used.sum()) - 1


def chi_square_bound(degrees, deviations=5.0):
    """A bound that a correct sampler exceeds with probability 3e-7 (Wilson-Hilferty at 5 sigma)."""
    return degrees * (1 - 2 / (9 * degrees) + deviations * np.sqrt(2 / (9 * degrees))) ** 3
