"""Worse trios, so that no conclusion depends on a good reward model or draft."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from research.study.plan import Weaker
from research.study.weaker import models_for
from specs import load
from specs.core.ledger import Query
from specs.engines.protocol import (
    CandidateGroup,
    CheckStop,
    Models,
    RewardModel,
    RewardOverlap,
    RewardSession,
    TokenCounts,
)

_EDGE = 1e-6
"""Smallest distance of rewards from 0 and 1, where the logit is infinite."""
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class LargeNumbers:
    """A reward model that is wrong in a systematic way: it likes steps that end with a large number.

    The logit of a reward grows by `nats`, >= 0, for each factor of ten in the last whole number of the step.
    """

    inner: RewardModel
    nats: float

    @property
    def name(self) -> str:
        return f"{self.inner.name} likes-large-numbers={self.nats:g}"

    @property
    def parameters(self) -> int:
        return self.inner.parameters

    def prompt(self, question: str) -> tuple[int, ...]:
        return self.inner.prompt(question)

    def open(self, prompt_ids: tuple[int, ...], check_stop: CheckStop) -> LargeNumbersSession:
        return LargeNumbersSession(self.inner.open(prompt_ids, check_stop), self.nats)


@dataclass(frozen=True, slots=True)
class LargeNumbersSession:
    """`LargeNumbers` in one solve."""

    inner: RewardSession
    nats: float

    @property
    def counts(self) -> TokenCounts:
        return self.inner.counts

    @property
    def overlap(self) -> RewardOverlap | None:
        return self.inner.overlap

    def score(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> list[float]:
        texts = [candidate.text for _, candidates in groups for candidate in candidates]
        exact = self.inner.score(groups, delimiter)
        return [biased(reward, self.nats, text) for reward, text in zip(exact, texts, strict=True)]

    def query(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> Query:
        return self.inner.query(groups, delimiter)


def biased(reward: float, nats: float, text: str) -> float:
    """The reward of a step with this text, as `LargeNumbers` gives it."""
    numbers = _NUMBER.findall(text)
    if not numbers:
        return reward
    inside = min(max(reward, _EDGE), 1 - _EDGE)
    return 1 / (1 + math.exp(-(math.log(inside / (1 - inside)) + nats * math.log10(1 + int(numbers[-1])))))


def models_called(name: str) -> Models:
    """The bundled trio, or a worse one: `prm-noise-2`, `prm-large-numbers-1` (in nats), `draft-noise-0.1`."""
    role, _, kind = name.partition("-")
    if not kind:
        return load()
    kind, _, amount = kind.rpartition("-")
    if kind == "large-numbers":
        models = load()
        assert models.prm is not None
        return replace(models, prm=LargeNumbers(models.prm, float(amount)))
    assert role in ("draft", "prm")
    return models_for(Weaker(role, float(amount)), Path(tempfile.mkdtemp()))
