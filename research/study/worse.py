"""Worse trios, so that no conclusion depends on a good reward model or draft.

A noisy PRM adds noise to every reward, a biased one likes large numbers, a noisy draft has noise on its weights. All
are pure functions of their inputs: solves stay reproducible and equal candidates get equal rewards.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np

from specs import load
from specs.core.keys import Key
from specs.core.ledger import Query
from specs.engines.folders import BUNDLED
from specs.engines.overlap import RewardOverlap
from specs.engines.protocol import CandidateGroup, CheckStop, Models, RewardModel, RewardSession, TokenCounts
from specs.types import Candidate, Trace

SEED = Key.from_seed(0)
Change = Callable[[float, Trace, Candidate], float]
_EDGE = 1e-6
"""Smallest distance of rewards from 0 and 1, where the logit is infinite."""


@dataclass(frozen=True, slots=True)
class ChangedReward:
    """A reward model whose every reward is changed by a function of the reward, the trace and the step."""

    inner: RewardModel
    name: str
    change: Change

    @property
    def parameters(self) -> int | None:
        return self.inner.parameters

    def prompt(self, question: str) -> tuple[int, ...]:
        return self.inner.prompt(question)

    def open(self, prompt_ids: tuple[int, ...], check_stop: CheckStop) -> ChangedSession:
        return ChangedSession(self.inner.open(prompt_ids, check_stop), self.change)


@dataclass(frozen=True, slots=True)
class ChangedSession:
    """A `ChangedReward` in one solve."""

    inner: RewardSession
    change: Change

    @property
    def counts(self) -> TokenCounts | None:
        return self.inner.counts

    @property
    def overlap(self) -> RewardOverlap | None:
        return self.inner.overlap

    def score(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> list[float]:
        exact = self.inner.score(groups, delimiter)
        steps = [(trace, candidate) for trace, candidates in groups for candidate in candidates]
        return [self.change(reward, *step) for reward, step in zip(exact, steps, strict=True)]

    def query(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> Query:
        return self.inner.query(groups, delimiter)


def noisy_reward(inner: RewardModel, nats: float) -> ChangedReward:
    """A reward model whose logits carry Gaussian noise with a standard deviation of `nats`, >= 0.

    The noise is a function of question, trace and step: asking twice does not average it away.
    """

    def change(reward: float, trace: Trace, step: Candidate) -> float:
        if not step.text.strip():
            return reward  # a blank step gets the reward of the trace, which is noisy already
        text = trace.question + "\0" + trace.text + step.text
        uniform = SEED.fold("noise", list(text.encode())).uniform()
        return shifted(reward, nats * NormalDist().inv_cdf(min(max(uniform, _EDGE), 1 - _EDGE)))

    return ChangedReward(inner, f"{inner.name} noise={nats:g}", change)


def shifted(reward: float, nats: float) -> float:
    """A reward whose logit is moved by `nats`."""
    inside = min(max(reward, _EDGE), 1 - _EDGE)
    return 1 / (1 + math.exp(-(math.log(inside / (1 - inside)) + nats)))


def noisy_draft(noise: float, folder: Path) -> Path:
    """Make a copy of the bundled draft in `folder`, with Gaussian noise on every weight matrix; returns `folder`.

    Args:
        noise: standard deviation of the noise, as a multiple of the matrix's own.
    """
    from safetensors.numpy import load_file, save_file

    if not folder.exists():
        beside = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(BUNDLED / "draft", beside)
        weights = load_file(beside / "model.safetensors")
        rng = np.random.default_rng(0)
        for name, weight in sorted(weights.items()):
            if weight.ndim == 2:
                exact = weight.astype(np.float32)
                shaken = exact + noise * exact.std() * rng.standard_normal(exact.shape, np.float32)
                weights[name] = shaken.astype(weight.dtype)
        save_file(weights, beside / "model.safetensors", metadata={"format": "pt"})
        beside.rename(folder)
    return folder


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
    if (role, kind) == ("draft", "noise"):
        return load(draft=str(noisy_draft(float(amount), Path(tempfile.mkdtemp()) / name)), engine="light")
    worsened = {"noise": noisy_reward, "large-numbers": likes_large_numbers}[kind]
    models = load()
    assert role == "prm"
    assert models.prm is not None
    return replace(models, prm=worsened(models.prm, float(amount)))
