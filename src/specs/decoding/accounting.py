"""Counts what each role of a solve has to compute, and sums up its token usage (docs/engines.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from specs.core.ledger import Ids, Minimum, Query
from specs.engines.protocol import CandidateGroup, TokenCounts
from specs.types import Propose, Role, StepRecord, Trace, Usage


class Ledger:
    """The token positions of one solve, by role."""

    def __init__(self, sessions: dict[Role, Any]) -> None:
        """`sessions` may still be empty: the solve adds each role's session when it opens the role (`open`)."""
        self._sessions = sessions
        self._fewest: dict[Role, Minimum] = {}
        self._probed: dict[Role, int] = {}
        """Tokens that were sampled for probes."""

    def open(self, role: Role, prompt: int) -> None:
        """Begin with a role whose prompt has `prompt` tokens."""
        self._fewest[role] = Minimum(prompt)

    def is_new(self, role: Role) -> bool:
        """Whether a role has had no query yet."""
        return not self._fewest[role].queries

    def note(
        self,
        request: Propose,
        delimiter: str | None,
        drawn: Sequence[CandidateGroup],
        guessed: bool,
    ) -> None:
        """Record the queries of one step.

        Args:
            drawn: the distinct candidates, which the writer has sampled and the verifiers read.
            guessed: whether the draft has proposed tokens of this step (token-level speculation).
        """
        kept = [(trace.token_ids, ()) for trace in request.keep]
        for role, fewest in self._fewest.items():
            scored = role in request.verify
            if role is Role.PRM:
                if scored:
                    fewest.add(self._sessions[role].query(drawn, delimiter), scored)
            elif role is request.writer:
                fewest.add([*_paths(drawn), *kept], scored)
            elif scored:
                fewest.add(_paths(drawn), scored)
            elif (judge := request.judge) is not None:
                fewest.add(self._sessions[role].query(drawn, judge))
            elif guessed:  # the draft has read the traces; the tokens that it proposed count as speculated
                fewest.add([*((trace.token_ids, [()]) for trace in request.traces), *kept])

    def note_glimpse(self, trace: Trace) -> None:
        """Record that the draft has read a trace to tell how uncertain it is of the next token."""
        self._fewest[Role.DRAFT].add([(trace.token_ids, [()])])

    def note_probe(self, role: Role, trace: Trace, opening: Ids, sampled: Ids, keep: Sequence[Trace]) -> None:
        """Record that a writer has read a trace and the opening of a probe, and has sampled a trial answer."""
        others = [(one.token_ids, ()) for one in keep]
        self._fewest[role].add([(trace.token_ids, [(*opening, *sampled[:-1])]), *others])
        self._probed[role] = self._probed.get(role, 0) + len(sampled)

    def note_scores(self, groups: Sequence[CandidateGroup]) -> None:
        """Record that the target has scored these candidates in a round of its own."""
        self._fewest[Role.TARGET].add(_paths(groups), scored=True)

    def usage(self, role: Role, records: Iterable[StepRecord]) -> Usage | None:
        """The token usage of one role, None if its engine does not know it; `records` are all steps of the solve."""
        session = self._sessions[role]
        counts: TokenCounts | None = session.counts
        if counts is None:
            return None
        written = [record for record in records if record.writer is role]
        probed = self._probed.get(role, 0)
        return Usage(
            prompt=counts.prompt,
            processed=counts.processed,
            cached=counts.cached,
            generated=sum(c.length for record in written for c in record.candidates) + probed,
            discarded=sum(record.discarded for record in written) + probed,
            speculated=counts.speculated,
            minimum=None if getattr(session, "through_text", False) else self._fewest[role].total,
        )


def _paths(groups: Sequence[CandidateGroup]) -> Query:
    """The query that computes these candidates, without their last tokens, since nothing follows them yet."""
    return [(trace.token_ids, [c.sampled_ids[:-1] for c in candidates]) for trace, candidates in groups]
