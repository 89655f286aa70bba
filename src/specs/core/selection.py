"""Reward-guided soft verification: scores, weights and the draw (docs/method.md, steps 4-6).

s_i = beta * r_i + log p(y_i|c) - log q(y_i|c)      draft candidates
s_i = beta * r_i                                    target candidates
P(i) = softmax(s)_i

The draw is Gumbel-max: with independent standard Gumbel variables G_i, the candidate with the highest s_i + G_i has
the law P. So an upper bound of s_i bounds what candidate i can reach in the draw (`optimistic`), and a candidate whose
bound loses need not be scored: A* sampling (Maddison, Tarlow and Minka, arXiv 1411.0030), here over steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from specs.core.keys import Key
from specs.types import Candidate, Decision

RewardAs = Literal["raw", "soft-value"]


def rewards(candidates: Sequence[Candidate]) -> list[float]:
    """[n] rewards; nan for a candidate without one."""
    return [math.nan if c.reward is None else c.reward for c in candidates]


def log_ratio(candidate: Candidate, length_power: float = 0.0) -> float:
    """`L^-a (log p(y|c) - log q(y|c))` in nats, for a step of L tokens; 0 for a step that the draft did not write.

    The length power a is in [0, 1]: 0 for the whole step, 1 for the mean over its tokens.

    -inf if the target gives the step probability 0, or if the draft gives its own sample probability 0; never nan.
    """
    if candidate.log_q is None or candidate.log_p is None:
        return 0.0
    if math.isinf(candidate.log_p) or not math.isfinite(candidate.log_q):
        return -math.inf
    ratio = candidate.log_p - candidate.log_q
    return ratio * candidate.length**-length_power if length_power else ratio


def tilt(reward: float, beta: float, reward_as: RewardAs = "raw") -> float:
    """`beta * r`, or `beta * V` with the soft value `V = log(1 + (e^beta - 1) r) / beta`.

    If r = P(correct | c), the optimal policy factorises over steps with the soft value (docs/method.md).
    """
    if reward_as == "raw":
        return beta * reward
    # log(1 + (e^beta - 1) r) = beta + log(r + (1 - r) e^-beta), which cannot overflow
    inside = reward + (1.0 - reward) * math.exp(-beta)
    return beta + math.log(inside) if inside > 0 else -math.inf


def softmax(scores: Sequence[float]) -> NDArray[np.float64] | None:
    """[n] selection probabilities; None if no score is finite (no support)."""
    values = np.asarray(scores, np.float64)
    values = np.where(np.isnan(values), -np.inf, values)
    if np.isposinf(values).any() or not np.isfinite(values).any():
        return None
    weights = np.exp(values - values.max())
    return weights / weights.sum()


def effective_sample_size(probabilities: NDArray[np.float64]) -> float:
    """`1 / sum P(i)^2`, in [1, n]; equal candidates count as separate draws."""
    return float(1.0 / np.square(probabilities).sum())


def optimistic(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, each draft one that the target has not read with the highest `log_p` that it can have.

    A choice that depends on `log_p` only through scores that grow with it, such as `choose_soft` and `choose_best`,
    is final if it falls on a candidate that the target has read: no other one can score more than here.
    """
    return [
        replace(c, log_p=0.0 if c.log_p_at_most is None else c.log_p_at_most)
        if c.log_p is None and c.log_q is not None
        else c
        for c in candidates
    ]


def choose_soft(scores: Sequence[float], key: Key) -> Decision:
    """Draw one candidate from softmax(scores); `chosen` is None without support.

    Each candidate, duplicates included, has its own weight. Merging equal candidates would add their weights, so
    it would not change the law of the chosen step.

    Args:
        scores: [n] nats.
        key: of this draw; the Gumbel variable of a candidate is the same for every n.
    """
    p = softmax(scores)
    if p is None:
        return Decision(tuple(scores), (0.0,) * len(scores), None)
    if key.draws < 3:  # by inversion
        chosen = int((p.cumsum() <= key.uniform() * p.sum()).sum())
    else:
        finite = [score if math.isfinite(score) else -math.inf for score in scores]
        chosen = int(np.argmax(finite + key.gumbels(len(scores))))
    ess = effective_sample_size(p)
    return Decision(tuple(scores), tuple(p.tolist()), chosen, ess, len(scores) / ess - 1.0)


def as_known(decision: Decision, candidates: Sequence[Candidate]) -> Decision:
    """A decision among `optimistic` candidates, with nan for what is not known, since the target has not read it."""
    unknown = [c.log_p is None and c.log_q is not None for c in candidates]
    if not any(unknown):
        return decision
    scores = tuple(math.nan if bound else score for score, bound in zip(decision.scores, unknown, strict=True))
    return Decision(scores, (math.nan,) * len(scores), decision.chosen)


def choose_best(scores: Sequence[float]) -> Decision:
    """The candidate with the highest of the [n] scores, the first among equals; `chosen` is None if none is finite."""
    finite = [s if math.isfinite(s) else -math.inf for s in scores]
    if max(finite) == -math.inf:
        return Decision(tuple(scores), (0.0,) * len(scores), None)
    chosen = int(np.argmax(finite))
    return Decision(tuple(scores), tuple(float(k == chosen) for k in range(len(scores))), chosen)


def first_of_equals(rows: Sequence[tuple[int, ...]]) -> list[int | None]:
    """For each row the index of the first equal one before it, else None."""
    seen: dict[tuple[int, ...], int] = {}
    return [None if (first := seen.setdefault(row, idx)) == idx else first for idx, row in enumerate(rows)]
