"""The speculative loop: the draft writes a step, and its verifiers decide whether it stays.

Until the solve is over:

1. The writer proposes candidates for the next step; others verify them.       `Policy.propose`
2. One candidate is chosen.                                                     `Policy.choose`
3. A draft step that is not accepted is thrown away: the target writes the
   step again, and one of its candidates is chosen.                             `Policy.accepts`
4. The chosen candidate becomes part of the trace; who writes next?             `Policy.next_writer`

Methods differ only in these four answers; the file of each method holds its own. A policy with a pool (`Pool`) also
sets finished candidates aside, and its answer comes from there. A `Schedule` may change the answers while the solve
runs: it narrows steps when time is short. Methods decide about the thinking of models that think; the answer after it
is one sample of the target.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from specs.core.keys import Key
from specs.core.selection import optimistic
from specs.methods import Flow
from specs.methods.single import written_by
from specs.types import (
    Accept,
    Branch,
    Candidate,
    Decision,
    Finish,
    Phase,
    Proposal,
    Propose,
    Role,
    SamplingParams,
    Score,
    SelectTrace,
    Trace,
)


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is being written.

    Attributes:
        trace: the question and the steps before this one.
        writer: the model that writes it.
        sampling: the sampling parameters.
        key: the key of the method's own draws.
        attempt: 0 at first, 1 if the target rewrites the step.
    """

    trace: Trace
    writer: Role
    sampling: SamplingParams
    key: Key
    attempt: int = 0

    def draw(self, purpose: str) -> Key:
        """The key of the draw for one purpose (`select`, `accept`), different for every step and attempt."""
        return self.key.fold(purpose, self.trace.token_ids, attempt=self.attempt)

    def rewritten(self) -> Step:
        """This step, to be written again by the target."""
        return replace(self, writer=Role.TARGET, attempt=1)


class Policy(ABC):
    """The four answers of a speculative method. A subclass is a frozen dataclass of its options and a `Method`."""

    __slots__ = ()

    @abstractmethod
    def propose(self, step: Step) -> Propose:
        """The request for a step's candidates."""

    @abstractmethod
    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        """The decision for one candidate; its `chosen` is None if no candidate has support."""

    @abstractmethod
    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        """Whether the chosen step of the draft stays."""

    def unread(self, step: Step, candidates: Sequence[Candidate]) -> Sequence[int]:
        """The candidates that the target has to read before the choice; called again with their scores, until none."""
        return ()

    def first_writer(self) -> Role:
        """Who writes the first step."""
        return Role.DRAFT

    def next_writer(self, step: Step, after: Trace) -> Role:
        """Who writes the next step; `after` is the trace with this one."""
        return Role.DRAFT

    def pool(self) -> Pool | None:
        """Where finished candidates go; None where they are steps like others, and the chosen one ends the solve."""
        return None

    def solve(self, question: str, sampling: SamplingParams, key: Key, schedule: Schedule | None = None) -> Flow:
        """See `specs.methods.Method`."""
        return speculative_steps(self, question, sampling, key, schedule or AsPlanned())


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished solution in a pool."""

    trace: Trace
    score: float
    reason: Finish


class Pool(ABC):
    """The finished solutions of one solve, in the order in which they finished."""

    def __init__(self) -> None:
        self.solutions: list[Finished] = []

    @abstractmethod
    def finished(self, step: Step, candidates: Sequence[Candidate]) -> Mapping[int, float]:
        """The candidates that are finished, by index, with their scores in the pool."""

    @abstractmethod
    def best(self) -> Finished:
        """The answer; there is at least one solution."""


class Schedule(Protocol):
    """Changes a policy's answers while a solve runs; each solve has its own object."""

    def plan(self, policy: Policy, step: Step) -> tuple[Policy, Step]:
        """The policy and the step to use in place of the given ones."""
        ...

    def plan_rewrite(self, policy: Policy, step: Step, decision: Decision) -> tuple[Policy, Step] | None:
        """The same for the rewrite of a rejected step; None to keep that step after all (one must be chosen)."""
        ...

    def replied(self, proposal: Proposal) -> None:
        """Called with the reply to every proposal request."""
        ...

    def ends(self, finish: Finish) -> Finish:
        """The finish reason to report in place of `finish`."""
        ...


class AsPlanned:
    """The schedule that changes nothing."""

    def plan(self, policy: Policy, step: Step) -> tuple[Policy, Step]:
        return policy, step

    def plan_rewrite(self, policy: Policy, step: Step, decision: Decision) -> tuple[Policy, Step]:
        return policy, step.rewritten()

    def replied(self, proposal: Proposal) -> None:
        pass

    def ends(self, finish: Finish) -> Finish:
        return finish


def next_unread(
    step: Step,
    candidates: Sequence[Candidate],
    choose: Callable[[Sequence[Candidate]], Decision],
    by_log_p: bool = True,
) -> Sequence[int]:
    """The candidates that the target must read next: the one that `choose` would fall on, none if it is read already.

    `by_log_p` says whether the choice depends on `log_p`. Then it is final by `optimistic`, except where a trace
    is replayed whose draws were made by inversion: such a draw needs all candidates.
    """
    if by_log_p and step.key.draws < 3:
        return [idx for idx, candidate in enumerate(candidates) if candidate.log_p is None]
    chosen = choose(optimistic(candidates)).chosen
    return () if chosen is None or candidates[chosen].log_p is not None else (chosen,)


def speculative_steps(policy: Policy, question: str, sampling: SamplingParams, key: Key, schedule: Schedule) -> Flow:
    """Solve a question by the loop above."""
    usual, trace, writer = policy, Trace.start(question, sampling.thinks), policy.first_writer()
    pool = policy.pool()
    while True:
        policy, step = schedule.plan(usual, Step(trace, writer, sampling, key))
        proposal, decision = yield from _proposed(policy, step, schedule)
        if step.writer is Role.DRAFT and not policy.accepts(step, proposal.candidates, decision):
            again = schedule.plan_rewrite(policy, step, decision)
            if again is not None:
                yield from _decided(step, proposal, decision, pool, keep=False)
                policy, step = again
                proposal, decision = yield from _proposed(policy, step, schedule)
        finish = yield from _decided(step, proposal, decision, pool, keep=decision.chosen is not None)
        if finish or decision.chosen is None:
            break
        trace = trace.extend(proposal.candidates[decision.chosen], step.writer)
        writer = policy.next_writer(step, trace)
        if sampling.thinks and trace.phase is Phase.ANSWER:
            return schedule.ends((yield from written_by(Role.TARGET, trace, sampling)))
    if pool is None:
        return schedule.ends(finish) if finish else Finish.NO_SUPPORT
    answer = pool.best() if pool.solutions else Finished(Trace(question), 0.0, finish or Finish.NO_SUPPORT)
    yield SelectTrace(answer.trace)
    return answer.reason


def _decided(
    step: Step, proposal: Proposal, decision: Decision, pool: Pool | None, keep: bool
) -> Generator[Accept | Branch, Any, Finish | None]:
    """Hand the decision over, finished candidates to the pool; return why the solve ends with the chosen one, if so."""
    if pool is None:
        return (yield Accept(decision, keep))
    scores = pool.finished(step, proposal.candidates)
    kept = (*scores, *([decision.chosen] if keep and decision.chosen is not None else ()))
    if not kept:
        return (yield Accept(decision, keep=False))
    branch = Branch(decision if keep else replace(decision, chosen=None), kept, scores)
    reasons: tuple[Finish | None, ...] = yield branch
    for candidate_idx, reason in zip(scores, reasons, strict=False):
        solution = step.trace.extend(proposal.candidates[candidate_idx], step.writer)
        # No reason of the solve's own: the step is as long as steps may be.
        pool.solutions.append(Finished(solution, scores[candidate_idx], reason or Finish.MAX_TOKENS))
    return reasons[-1] if len(kept) > len(scores) else None


def _proposed(
    policy: Policy, step: Step, schedule: Schedule
) -> Generator[Propose | Score, Proposal, tuple[Proposal, Decision]]:
    proposal = yield policy.propose(step)
    while unread := policy.unread(step, proposal.candidates):
        proposal = yield Score(tuple(unread))
    schedule.replied(proposal)
    return proposal, policy.choose(step, proposal.candidates)
