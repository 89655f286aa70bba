"""Worse trios, so that no conclusion depends on a good reward model or draft."""

from __future__ import annotations

import math
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from research.study.plan import Weaker
from research.study.weaker import ChangedReward, models_for, shifted
from specs import load
from specs.engines.protocol import Models, RewardModel

_NUMBER = re.compile(r"\d+")


def likes_large_numbers(inner: RewardModel, nats: float) -> ChangedReward:
    """A reward model that is wrong in a systematic way: it likes steps that end with a large number.

    The logit of a reward grows by `nats`, >= 0, for each factor of ten in the last whole number of the step.
    """
    return ChangedReward(
        inner,
        f"{inner.name} likes-large-numbers={nats:g}",
        lambda reward, trace, step: biased(reward, nats, step.text),
    )


def biased(reward: float, nats: float, text: str) -> float:
    """The reward of a step with this text, as `likes_large_numbers` gives it."""
    numbers = _NUMBER.findall(text)
    return shifted(reward, nats * math.log10(1 + int(numbers[-1]))) if numbers else reward


def models_called(name: str) -> Models:
    """The bundled trio, or a worse one: `prm-noise-2`, `prm-large-numbers-1` (in nats), `draft-noise-0.1`."""
    role, _, kind = name.partition("-")
    if not kind:
        return load()
    kind, _, amount = kind.rpartition("-")
    if kind == "large-numbers":
        models = load()
        assert models.prm is not None
        return replace(models, prm=likes_large_numbers(models.prm, float(amount)))
    assert role in ("draft", "prm")
    return models_for(Weaker(role, float(amount)), Path(tempfile.mkdtemp()))
