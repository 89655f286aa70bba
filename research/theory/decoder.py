"""Compares the running decoder with its exact law, by counting the answers of many solves.

The method, the driver, the sessions and the keys are those of every other solve; only the forward
pass is a look-up in a table. A world's tokens are letters, its blocks are chunks of fixed length.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from research.theory.exact import Floats
from research.theory.worlds import Chooser, Context, Decoder, Table, World
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.engines.local.tabular import TabularPolicy, TabularReward, TabularText
from specs.engines.protocol import Models
from specs.methods.specs import Specs
from specs.types import Role, SamplingParams, StepPolicy

ODDS = 1e-6
"""Probability that a correct decoder fails one comparison."""
SMALLEST = 25.0
"""Answers with a smaller expected count are pooled: for rare answers the statistic is not chi-square distributed."""

Progress = Callable[[int, int, float | None], None]
"""Called with (solves done, their total, seconds left or None while unknown)."""


@dataclass(frozen=True)
class Run:
    """A configured decoder in a world, and its exact law.

    Attributes:
        rewards: the PRM's reward of every context.
        exact: the same decoder with computed probabilities.
        share: factor for the number of samples; below 1 where a solve has several steps and takes longer.
    """

    name: str
    world: World
    method: Specs
    rewards: Table
    exact: Decoder
    share: float = 1.0

    def models(self) -> Models:
        world = self.world
        letters = "abcdefghijklmnopqrstuvwxyz"[: world.vocabulary]
        text = TabularText([*letters, ""], end_id=world.vocabulary)

        def table(model: Mapping[Context, Floats]) -> Callable[[Context], ArrayLike]:
            logits = {context: np.append(np.log(law), -np.inf) for context, law in model.items()}
            return logits.__getitem__

        def reward(steps: tuple[str, ...]) -> float:
            # Chunks have no delimiter: the PRM reads all of them as one step.
            return self.rewards[tuple(letters.index(letter) for letter in "".join(steps))]

        return Models(
            TabularPolicy("q", text, table(world.draft)),
            TabularPolicy("p", text, table(world.target)),
            TabularReward("r", text, reward),
        )


def runs(seed: int) -> Iterator[Run]:
    """The decoders whose answers are counted: a draft step, switching over three steps, the defaults over two."""
    rng = np.random.default_rng([seed, 1])
    world = World.random(rng, 8)
    method = Specs(n=4, beta=4.0, deferral="next", start="draft")
    chooser = Chooser(world, world.tilts(method.beta))
    yield Run("draft", world, method, world.values(), Decoder(world, chooser.draft))

    world = World.random(rng, 3, blocks=3)
    method = Specs(
        4, 2.0, 0.5, switch_on="trace", accept_weight=0.0, deferral="next", start="target", reward_as="soft-value"
    )
    chooser = Chooser(world, world.tilts(method.beta))
    exact = Decoder(world, chooser.switching(world.values(), method.tau))
    yield Run("switching", world, method, world.values(), exact, 0.25)

    world = World.random(rng, 3, length=2, blocks=2)
    method = Specs()
    # Reward shares near tau, so that the target rewrites a good part of the draft's steps.
    rewards: dict[Context, float] = {(): 1.0}
    for depth, (low, high) in enumerate(((0.6, 0.9), (0.74, 0.82)), 1):
        for context in world.contexts(depth):
            rewards[context] = rewards[context[: -world.length]] * float(rng.uniform(low, high))
    chooser = Chooser(world, {context: math.exp(method.beta * reward) for context, reward in rewards.items()})
    exact = Decoder(world, chooser.rewriting(rewards, method))
    yield Run("rewrite, the defaults", world, method, rewards, exact, 0.25)


class ChiSquare(NamedTuple):
    """Result of Pearson's test; `p_value` is the probability under the law of at least this statistic."""

    statistic: float
    degrees: int
    p_value: float


def chi_square(counts: ArrayLike, law: Floats) -> ChiSquare:
    """Compare counts [K] with probabilities [K]; the rarest are pooled until each expected count is `SMALLEST`."""
    order = np.argsort(law)
    observed = np.asarray(counts, np.float64)[order]
    expected = observed.sum() * law[order]
    pooled = max(int((expected < SMALLEST).sum()), int((expected.cumsum() < SMALLEST).sum()) + 1)
    observed, expected = (np.append(cells[:pooled].sum(), cells[pooled:]) for cells in (observed, expected))
    statistic = float((np.square(observed - expected) / expected).sum())
    return ChiSquare(statistic, len(expected) - 1, _tail(statistic, len(expected) - 1))


def _tail(statistic: float, degrees: int) -> float:
    """P(chi-square > statistic), by the finite sums 26.4.4 and 26.4.5 of Abramowitz and Stegun."""
    half = statistic / 2
    odd = degrees % 2
    first = math.erfc(math.sqrt(half)) if odd else 0.0
    powers = [k + odd / 2 for k in range(degrees // 2)]
    return first + sum(math.exp(k * math.log(half) - half - math.lgamma(k + 1)) for k in powers) if half > 0 else 1.0


def count(run: Run, samples: int, seed: int, done: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Solve `samples` times and compare the answers with the exact law; `done` is called after every solve."""
    models, world = run.models(), run.world
    law, limits = SamplingParams(1.0, 1.0, StepPolicy.chunks(world.length)), Limits(max_steps=world.blocks)
    places = {answer: place for place, answer in enumerate(world.contexts(world.blocks))}
    counts = np.zeros(len(places), np.int64)
    seen = {"steps": 0, "steps_by_draft": 0, "proposals": 0, "proposals_with_duplicates": 0}
    for sample_idx in range(samples):
        result = stream("?", models, SolveConfig(run.method, law, limits, seed=seed * samples + sample_idx)).result
        chosen = [record.step for record in result.accepted if record.step is not None]
        counts[places[tuple(token for step in chosen for token in step.token_ids)]] += 1
        for record in result.steps:
            seen["steps"] += record.accepted
            seen["steps_by_draft"] += record.accepted and record.writer is Role.DRAFT
            seen["proposals"] += 1
            seen["proposals_with_duplicates"] += any(c.duplicates_of is not None for c in record.candidates)
        done()
    probabilities = run.exact.law(run.method.n)
    found = chi_square(counts, probabilities)
    return {
        "name": run.name,
        "method": asdict(run.method),
        "samples": samples,
        **seen,
        "probabilities": probabilities.tolist(),
        "counts": counts.tolist(),
        **found._asdict(),
        "odds": ODDS,
        "passed": found.p_value >= ODDS,
    }


def count_all(samples: int, seed: int, progress: Progress) -> list[dict[str, Any]]:
    """Count all runs, each with `samples` times its `share` solves."""
    plan = [(run, max(1, int(samples * run.share))) for run in runs(seed)]
    total, finished, start = sum(number for _, number in plan), 0, time.monotonic()

    def done() -> None:
        nonlocal finished
        finished += 1
        progress(finished, total, (time.monotonic() - start) / finished * (total - finished))

    return [count(run, number, seed, done) for run, number in plan]
