"""Records the steps of a solve, and corrects them once the final trace of a search is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from specs.decoding.clock import SolveClock
from specs.types import Decision, Probed, Proposal, Propose, Seconds, StepRecord, Trace


@dataclass(frozen=True, slots=True)
class Taken:
    """A proposal, the request that it answers, and the entropy and the trial answer that were asked for before."""

    proposal: Proposal
    request: Propose
    entropy: float | None = None
    probe: Probed | None = None

    def grown(self, candidate_idx: int) -> Trace:
        """The trace that a candidate continues, extended by that candidate."""
        trace = self.request.traces[candidate_idx // self.request.n]
        return trace.extend(self.proposal.candidates[candidate_idx], self.request.writer)


@dataclass
class Recording:
    """Records of one solve, in the order in which steps were decided.

    Attributes:
        searches: whether a record keeps candidates as traces side by side.
        forks: whether a record keeps several.
    """

    clock: SolveClock
    records: list[StepRecord] = field(default_factory=list[StepRecord])
    undecided: list[Taken] = field(default_factory=list[Taken])
    glimpsed: float | None = None
    """The answer to the last `Glimpse`, until the proposal after it."""
    probed: Probed | None = None
    """The answer to the last `Probe`, likewise."""
    searches: bool = False
    forks: bool = False

    def proposed(self, request: Propose, proposal: Proposal) -> Proposal:
        """Remember a proposal until the method decides on it; returns it."""
        self.undecided.append(Taken(proposal, request, self.glimpsed, self.probed))
        self.glimpsed = self.probed = None
        return proposal

    def rescored(self, proposal: Proposal) -> Proposal:
        """Replace the last proposal by one with more scores; returns it."""
        self.undecided[-1] = replace(self.undecided[-1], proposal=proposal)
        return proposal

    def take(self, proposal: Proposal | None) -> Taken:
        """Remove an undecided proposal and return it; None stands for the last one."""
        idx = next((idx for idx, taken in enumerate(self.undecided) if taken.proposal is proposal), -1)
        return self.undecided.pop(idx)

    def record(
        self, taken: Taken, decision: Decision, seconds: Seconds, accepted: bool, kept: tuple[int, ...] | None
    ) -> StepRecord:
        """Record how a proposal was decided."""
        request = taken.request
        self.searches = self.searches or kept is not None
        self.forks = self.forks or len(kept or ()) > 1
        record = StepRecord(
            step_idx=len(request.trace.steps),
            writer=request.writer,
            candidates=taken.proposal.candidates,
            decision=decision,
            seconds=seconds,
            accepted=accepted,
            kept=kept,
            parents=self._parents(request.traces, request.n) if self.searches and request.trace.steps else None,
            phase=request.trace.phase,
            entropy=taken.entropy,
            probe=taken.probe,
        )
        self.records.append(record)
        return record

    def finalize(self, trace: Trace) -> None:
        """Correct the records of a search: the steps of `trace` are chosen, those of other traces not accepted."""
        for record_idx, record in enumerate(self.records):
            if record.kept is None:
                continue
            self.clock.stands()
            step = trace.steps[record.step_idx] if record.step_idx < len(trace.steps) else None
            chosen = next((idx for idx, candidate in enumerate(record.candidates) if candidate is step), None)
            if chosen is None:
                self.records[record_idx] = replace(record, accepted=False)
            else:
                decision = replace(record.decision, chosen=chosen)
                self.records[record_idx] = replace(record, accepted=True, decision=decision)

    def _parents(self, traces: Sequence[Trace], n: int) -> tuple[int, ...]:
        """For each candidate the index of its predecessor among the candidates of all records of the previous step."""
        step_idx = len(traces[0].steps) - 1
        drawn = [candidate for record in self.records if record.step_idx == step_idx for candidate in record.candidates]
        before = {id(candidate): idx for idx, candidate in enumerate(drawn)}
        return tuple(before[id(trace.steps[-1])] for trace in traces for _ in range(n))
