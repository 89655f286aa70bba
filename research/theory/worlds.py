"""Small worlds in which every probability is known: two models, answers of H blocks, and decoders.

A block is one step of `length` tokens; an answer is H blocks. A context is the tokens so far. S is the
number of possible blocks, V that of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from research.theory.exact import Draws, Floats, Rewritten, Selection
from specs.methods.specs import Specs

Context = tuple[int, ...]
Table = Mapping[Context, float]
"""A number for every context of whole blocks."""
Choose = Callable[[Context], Selection]
"""Gives the decoder's selection of the next step at a context."""


@dataclass(frozen=True)
class World:
    """Draft and target over `vocabulary` tokens, and the reward of every finished answer.

    Attributes:
        vocabulary: V.
        length: tokens a block.
        blocks: H.
        draft, target: [V] probabilities of the next token after every unfinished context.
        outcome: reward in [0, 1] of every answer.
    """

    vocabulary: int
    length: int
    blocks: int
    draft: Mapping[Context, Floats]
    target: Mapping[Context, Floats]
    outcome: Table

    @classmethod
    def random(
        cls, rng: np.random.Generator, vocabulary: int, *, length: int = 1, blocks: int = 1, spread: float = 0.5
    ) -> World:
        """A world whose models are the softmax of normal logits with standard deviation `spread`.

        With one block, the reward of an answer is uniform in [0, 1]; with several, it is 1 or 0 with
        equal probability.
        """
        tokens = range(vocabulary)
        opens = [c for size in range(length * blocks) for c in product(tokens, repeat=size)]
        draft, target = ({c: _softmax(spread * rng.normal(size=vocabulary)) for c in opens} for _ in range(2))
        answers = product(tokens, repeat=length * blocks)
        outcome = {a: float(rng.random() if blocks == 1 else rng.random() < 0.5) for a in answers}
        return cls(vocabulary, length, blocks, draft, target, outcome)

    @cached_property
    def steps(self) -> list[Context]:
        """[S] every block, in the order of all arrays over steps."""
        return list(product(range(self.vocabulary), repeat=self.length))

    def contexts(self, depth: int) -> list[Context]:
        """Every context of `depth` blocks. Context c followed by step s has index c * S + s at the next depth."""
        return list(product(range(self.vocabulary), repeat=self.length * depth))

    def law(self, model: Mapping[Context, Floats], context: Context) -> Floats:
        """[S] probabilities of the next block under a model."""
        law = np.ones(1)
        for size in range(self.length):
            rows = np.array([model[(*context, *begun)] for begun in product(range(self.vocabulary), repeat=size)])
            law = (law[:, None] * rows).ravel()
        return law

    def answers(self, beta: float = 0.0) -> Floats:
        """[S^H] the optimum `p exp(beta outcome) / Z` over whole answers; at beta 0 this is p."""
        law = np.ones(1)
        for depth in range(self.blocks):
            rows = np.array([self.law(self.target, context) for context in self.contexts(depth)])
            law = (law[:, None] * rows).ravel()
        tilted = law * np.exp(beta * np.array([self.outcome[answer] for answer in self.contexts(self.blocks)]))
        return tilted / tilted.sum()

    def expected(self, what: Callable[[float], float]) -> dict[Context, float]:
        """E_p[what(outcome) | context] for every context, including whole answers."""
        table = {answer: what(outcome) for answer, outcome in self.outcome.items()}
        for depth in reversed(range(self.blocks)):
            for context in self.contexts(depth):
                ahead = [table[(*context, *step)] for step in self.steps]
                table[context] = float(self.law(self.target, context) @ ahead)
        return table

    def values(self) -> dict[Context, float]:
        """The idealised PRM: E_p[outcome | context]."""
        return self.expected(lambda outcome: outcome)

    def tilts(self, beta: float) -> dict[Context, float]:
        """exp(beta V) with the soft value V: E_p[exp(beta outcome) | context]."""
        return self.expected(lambda outcome: float(np.exp(beta * outcome)))


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


@dataclass(frozen=True)
class Chooser:
    """The choice of SPECS at every context of a world: a candidate's weight is `tilt * (p / writer)^w`.

    Attributes:
        tilts: exp(beta * reward) of every context, with the reward (raw or soft value) that the decoder uses.
        kind: `Draws`, or `PoissonDraws`.
        power: w, the weight of the log-ratio in the score of a draft step; one number, or one for each step [S].
    """

    world: World
    tilts: Table
    kind: type[Draws] = Draws
    power: float | Floats = 1.0

    def draft(self, context: Context) -> Draws:
        p, q = (self.world.law(model, context) for model in (self.world.target, self.world.draft))
        return self.kind(q, self._ahead(self.tilts, context) * (p / q) ** self.power)

    def target(self, context: Context) -> Draws:
        return self.kind(self.world.law(self.world.target, context), self._ahead(self.tilts, context))

    def switching(self, rewards: Table, tau: float) -> Choose:
        """`deferral="next"`: the target writes the first step; later, the draft writes after rewards >= tau."""
        return lambda context: self.draft(context) if context and rewards[context] >= tau else self.target(context)

    def rewriting(self, rewards: Table, method: Specs) -> Choose:
        """`deferral="rewrite"`: the target rewrites draft steps below tau; with `start="target"` it also writes the
        first step."""

        def choose(context: Context) -> Selection:
            if not context and method.start == "target":
                return self.target(context)
            before = rewards[context] if context and method.switch_on != "trace" else 1.0
            p, q = (self.world.law(model, context) for model in (self.world.target, self.world.draft))
            evidence = method.accept_weight * np.log(p / q) / method.beta
            kept = self._ahead(rewards, context) >= (method.tau - evidence) * before
            return Rewritten(self.draft(context), self.target(context), kept)

        return choose

    def _ahead(self, table: Table, context: Context) -> Floats:
        return np.array([table[(*context, *step)] for step in self.world.steps])


class Decoder:
    """The law of whole answers, made of one selection after another. Arrays over answers are [S^H]."""

    def __init__(self, world: World, choose: Choose) -> None:
        self._levels = [[choose(context) for context in world.contexts(depth)] for depth in range(world.blocks)]
        self._limits = [np.array([selection.limit for selection in level]) for level in self._levels]
        self._reach = [np.ones(1)]  # [S^depth] probability of each context in the limit
        for limit in self._limits:
            self._reach.append((self._reach[-1][:, None] * limit).ravel())

    @property
    def limit(self) -> Floats:
        """[S^H] law of the answer as n grows."""
        return self._reach[-1]

    def law(self, n: int) -> Floats:
        """[S^H] law of the answer."""
        return self.limit * (1 + self._excess(n))

    def kl(self, n: int) -> float:
        """KL(limit || law) in nats, by the chain rule: each step's own, averaged under the limit."""
        # The excess has mean 0 under the limit, so subtracting it changes nothing but keeps every term >= 0.
        return self._mean([[excess - np.log1p(excess) for excess in level] for level in self._excesses(n)])

    def tv(self, n: int) -> float:
        """Total variation between limit and law."""
        return float(self.limit @ np.abs(self._excess(n))) / 2

    def bound(self, n: int) -> float:
        """Upper bound of `kl`, in nats."""
        return self._mean([[np.full(limit.shape[1], s.bound(n)) for s in level]
                           for limit, level in zip(self._limits, self._levels, strict=True)])  # fmt: skip

    @property
    def half_variance(self) -> float:
        """Limit of n^2 KL: half of the mean square of the drift."""
        return self._mean([[np.square(s.drift) / 2 for s in level] for level in self._levels])

    def defect(self, n: int) -> float:
        """Largest deviation of a step's law from a total of 1, an observable error of the quadrature."""
        return max(float(np.abs((limit * excess).sum(-1)).max())
                   for limit, excess in zip(self._limits, self._excesses(n), strict=True))  # fmt: skip

    def _excesses(self, n: int) -> list[Floats]:
        """Excesses [S^depth, S] of all steps, by depth."""
        return [np.array([selection.excess(n) for selection in level]) for level in self._levels]

    def _excess(self, n: int) -> Floats:
        """[S^H] law / limit - 1 of whole answers."""
        total = np.zeros(1)
        for excess in self._excesses(n):
            total = (total[:, None] + np.log1p(excess)).ravel()
        return np.expm1(total)

    def _mean(self, terms: list[list[Floats]]) -> float:
        """Sum over depths of the terms, averaged over contexts and steps under the limit."""
        return float(sum(
            reach @ (limit * np.array(level)).sum(-1)
            for reach, limit, level in zip(self._reach[:-1], self._limits, terms, strict=True)
        ))  # fmt: skip


def divergence(a: Floats, b: Floats) -> float:
    """KL(a || b) in nats of two laws [K], both > 0."""
    return float(a @ np.log(a / b))
