"""PRM beam search: in every step the candidates with the highest reward stay.

With one trace (`width` 1) this is per-step best of n, the papers' "BS(B)" and "BS(S)". With
`width` m it is the usual beam search with a PRM (Snell et al., arXiv 2408.03314): the m best
different candidates stay, and the writer samples n / m continuations of each. `dvts`, diverse
verifier tree search (Beeching et al., "Scaling test-time compute with open models", 2024), keeps the
best candidate of each of m subtrees instead; the subtrees share only the question. `soft-beam` draws
from softmax(beta * reward) instead of taking the best. A complete trace is set aside; once m traces
are complete, the one with the highest last reward is the result, or the first with the answer whose
last rewards have the largest sum (`answer="vote"`, as Beeching et al. end their searches).

Model calls a step: n samples of the writer, one PRM pass over them; n / m fewer candidates for each
trace set aside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from specs.core.keys import Key
from specs.core.selection import choose_best, choose_soft, rewards
from specs.core.votes import boxed, majority
from specs.errors import InputError
from specs.methods import Flow
from specs.types import (
    Accept,
    Branch,
    Candidate,
    Decision,
    Finish,
    Proposal,
    Propose,
    Role,
    SamplingParams,
    SelectTrace,
    Trace,
)
from specs.types.checks import at_least, check_fields

Keep = Callable[[Sequence[Trace], Sequence[Candidate], int], tuple[Decision, list[int]]]
"""(traces, their candidates, number of traces still to be completed) -> the decision for the candidate that leads, and
the indices of the candidates to keep, the leader first.
"""
Answer = Literal["best", "vote"]
"""Which complete trace gives the answer: the one with the highest last reward, or the winner of a vote by rewards."""


@dataclass(frozen=True, slots=True)
class Beam:
    """PRM beam search: in every step the candidates with the highest reward stay.

    Attributes:
        n: candidates a step, over all traces.
        width: traces side by side; must divide n.
        answer: of several traces, the one with the `best` last reward, or the winner of a `vote` weighted by it.
        writer: the model that writes; fixed by the method's name.

    Names:
        beam: PRM beam search: the target's candidates with the highest reward stay
        beam-draft: PRM beam search with candidates of the draft

    Examples:
        beam:n=16:width=4
        beam-draft:n=16
    """

    n: int = 8
    width: int = 1
    answer: Answer = "best"
    writer: Role = Role.TARGET

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), width=at_least(1))
        check_width(self.n, self.width)

    @property
    def name(self) -> str:
        return "beam" if self.writer is Role.TARGET else "beam-draft"

    @property
    def roles(self) -> frozenset[Role]:
        return frozenset({self.writer, Role.PRM})

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        each = self.n // self.width
        start = [Trace.start(question, sampling.thinks)]
        return _search(self.writer, sampling, start, self.n, each, self.width, _best, self.answer)


@dataclass(frozen=True, slots=True)
class SoftBeam:
    """PRM beam search with a soft choice, by softmax(beta * reward).

    Attributes:
        n: candidates a step, over all traces.
        beta: inverse temperature of the draw.
        width: traces side by side, drawn without replacement; must divide n.

    Examples:
        soft-beam:n=16:beta=8
    """

    n: int = 8
    beta: float = 20.0
    width: int = 1
    name = "soft-beam"
    roles = frozenset({Role.TARGET, Role.PRM})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), beta=at_least(0), width=at_least(1))
        check_width(self.n, self.width)

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        each, keep = self.n // self.width, _drawn(self.beta, key)
        return _search(Role.TARGET, sampling, [Trace.start(question, sampling.thinks)], self.n, each, self.width, keep)


@dataclass(frozen=True, slots=True)
class Dvts:
    """Diverse verifier tree search: the best candidate of each subtree stays.

    Attributes:
        n: candidates a step, over all subtrees.
        width: number of subtrees; must divide n.
        answer: as in `beam`.

    Examples:
        dvts:n=16:width=4
    """

    n: int = 8
    width: int = 2
    answer: Answer = "best"
    name = "dvts"
    roles = frozenset({Role.TARGET, Role.PRM})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), width=at_least(1))
        check_width(self.n, self.width)

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        each = self.n // self.width
        live, keep = [Trace.start(question, sampling.thinks)] * self.width, _best_of_each(each)
        return _search(Role.TARGET, sampling, live, each, each, self.width, keep, self.answer)


def _search(
    writer: Role,
    sampling: SamplingParams,
    live: list[Trace],
    first_n: int,
    n: int,
    width: int,
    keep: Keep,
    answer: Answer = "best",
) -> Flow:
    """Extend the traces `live` step by step, with `first_n` candidates of each in the first step and `n` later."""
    complete: list[tuple[Trace, Finish]] = []
    while live:
        n_each = n if live[0].steps else first_n
        verify = frozenset({Role.PRM})
        proposal: Proposal = yield Propose(writer, live[0], n_each, verify, sampling, beside=tuple(live[1:]))
        decision, kept = keep(live, proposal.candidates, width - len(complete))
        if not kept:
            yield Accept(decision, keep=False)
            break
        finishes: tuple[Finish | None, ...] = yield Branch(decision, tuple(kept))
        grown = [live[k // n_each].extend(proposal.candidates[k], writer) for k in kept]
        complete += [(trace, finish) for trace, finish in zip(grown, finishes, strict=True) if finish]
        live = [trace for trace, finish in zip(grown, finishes, strict=True) if not finish]
    if not complete:
        return Finish.NO_SUPPORT
    final = [rewards(trace.steps)[-1] for trace, _ in complete]
    votes = majority([boxed(trace.answer_text) for trace, _ in complete], final) if answer == "vote" else [0.0]
    # Without a single answer there is nothing to vote on.
    trace, finish = complete[int(np.argmax(votes if any(votes) else final))]
    yield SelectTrace(trace)
    return finish


def _best(traces: Sequence[Trace], candidates: Sequence[Candidate], room: int) -> tuple[Decision, list[int]]:
    scores = rewards(candidates)
    different = [k for k, c in enumerate(candidates) if c.duplicates_of is None and math.isfinite(scores[k])]
    return choose_best(scores), sorted(different, key=lambda k: -scores[k])[:room]


def _drawn(beta: float, key: Key) -> Keep:
    """Draws without replacement: the candidates with the highest s + G (Gumbel-top-k), of which the first is the
    draw of `choose_soft`.
    """

    def keep(traces: Sequence[Trace], candidates: Sequence[Candidate], room: int) -> tuple[Decision, list[int]]:
        scores = [beta * reward for reward in rewards(candidates)]
        draw = key.fold("select", traces[0].token_ids)
        race = scores + draw.gumbels(len(scores))
        kept: dict[int, int] = {}
        for k in sorted((k for k in range(len(scores)) if math.isfinite(scores[k])), key=lambda k: -race[k]):
            owner = candidates[k].duplicates_of
            kept.setdefault(k if owner is None else owner, k)
        return choose_soft(scores, draw), list(kept.values())[:room]

    return keep


def _best_of_each(n: int) -> Keep:
    def keep(traces: Sequence[Trace], candidates: Sequence[Candidate], room: int) -> tuple[Decision, list[int]]:
        scores = rewards(candidates)
        subtrees = [range(first, first + n) for first in range(0, len(candidates), n)]
        best = [choose_best([scores[k] for k in subtree]).chosen for subtree in subtrees]
        return choose_best(scores), [subtree[k] for subtree, k in zip(subtrees, best, strict=True) if k is not None]

    return keep


def check_width(n: int, width: int) -> None:
    """Raise `InputError` unless the traces share the candidates evenly."""
    if n % width:
        raise InputError(f"width is {width}, which does not divide n={n}; give a divisor of n")
