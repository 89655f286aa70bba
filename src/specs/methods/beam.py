"""PRM beam search: in every step the candidates with the highest reward stay.

With one trace (`width` 1) this is per-step best of n, the papers' "BS(B)" and "BS(S)". With
`width` m it is the usual beam search with a PRM (Snell et al., arXiv 2408.03314): the m best
different candidates stay, and the writer samples n / m continuations of each. `dvts`, diverse
verifier tree search (Beeching et al., "Scaling test-time compute with open models", 2024), keeps the
best candidate of each of m subtrees instead; the subtrees share only the question. A complete trace
is set aside; once m traces are complete, the one with the highest last reward is the result.

Model calls a step: n samples of the writer, one PRM pass over them; n / m fewer candidates for each
trace set aside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best, rewards
from specs.errors import InputError
from specs.methods import Flow
from specs.types import Accept, Branch, Candidate, Finish, Proposal, Propose, Role, SamplingParams, SelectTrace, Trace
from specs.types.checks import at_least, check_fields

Keep = Callable[[tuple[Candidate, ...], int], list[int]]
"""(candidates, number of traces still to be completed) -> indices of the candidates to keep, the best first."""


@dataclass(frozen=True, slots=True)
class Beam:
    """PRM beam search: in every step the candidates with the highest reward stay.

    Attributes:
        n: candidates a step, over all traces.
        width: traces side by side; must divide n.
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
        return _search(self.writer, sampling, [Trace(question)], self.n, self.n // self.width, self.width, _best)


@dataclass(frozen=True, slots=True)
class Dvts:
    """Diverse verifier tree search: the best candidate of each subtree stays.

    Attributes:
        n: candidates a step, over all subtrees.
        width: number of subtrees; must divide n.

    Examples:
        dvts:n=16:width=4
    """

    n: int = 8
    width: int = 2
    name = "dvts"
    roles = frozenset({Role.TARGET, Role.PRM})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), width=at_least(1))
        check_width(self.n, self.width)

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        each = self.n // self.width
        return _search(
            Role.TARGET, sampling, [Trace(question)] * self.width, each, each, self.width, _best_of_each(each)
        )


def _search(
    writer: Role, sampling: SamplingParams, live: list[Trace], first_n: int, n: int, width: int, keep: Keep
) -> Flow:
    """Extend the traces `live` step by step, with `first_n` candidates of each in the first step and `n` later."""
    complete: list[tuple[Trace, Finish]] = []
    while live:
        n_each = n if live[0].steps else first_n
        verify = frozenset({Role.PRM})
        proposal: Proposal = yield Propose(writer, live[0], n_each, verify, sampling, beside=tuple(live[1:]))
        decision = choose_best(rewards(proposal.candidates))
        kept = keep(proposal.candidates, width - len(complete))
        if not kept:
            yield Accept(decision, keep=False)
            break
        finishes: tuple[Finish | None, ...] = yield Branch(decision, tuple(kept))
        grown = [live[k // n_each].extend(proposal.candidates[k], writer) for k in kept]
        complete += [(trace, finish) for trace, finish in zip(grown, finishes, strict=True) if finish]
        live = [trace for trace, finish in zip(grown, finishes, strict=True) if not finish]
    if not complete:
        return Finish.NO_SUPPORT
    trace, finish = max(complete, key=lambda one: rewards(one[0].steps)[-1])
    yield SelectTrace(trace)
    return finish


def _best(candidates: tuple[Candidate, ...], room: int) -> list[int]:
    scores = rewards(candidates)
    different = [k for k, c in enumerate(candidates) if c.duplicates_of is None and math.isfinite(scores[k])]
    return sorted(different, key=lambda k: -scores[k])[:room]


def _best_of_each(n: int) -> Keep:
    def keep(candidates: tuple[Candidate, ...], room: int) -> list[int]:
        scores = rewards(candidates)
        subtrees = [range(first, first + n) for first in range(0, len(candidates), n)]
        best = [choose_best([scores[k] for k in subtree]).chosen for subtree in subtrees]
        return [subtree[k] for subtree, k in zip(subtrees, best, strict=True) if k is not None]

    return keep


def check_width(n: int, width: int) -> None:
    """Raise `InputError` unless the traces share the candidates evenly."""
    if n % width:
        raise InputError(f"width is {width}, which does not divide n={n}; give a divisor of n")
