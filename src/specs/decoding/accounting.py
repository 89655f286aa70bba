"""Records the queries that each role of a solve answers, and computes the token usage from them (docs/engines.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from specs.core.ledger import Query, minimum
from specs.engines.protocol import CandidateGroup, TokenCounts
from specs.types import Propose, Role, StepRecord, Usage


class Ledger:
    """The queries of one solve, by role."""

    def __init__(self, sessions: dict[Role, Any]) -> None:
        """`sessions` may still be empty: the solve adds each role's session when it opens the role (`open`)."""
        self._sessions = sessions
        self._queries: dict[Role, list[Query]] = {}
        self._scored: dict[Role, set[int]] = {}
        """The argument `scored` of `specs.core.ledger.minimum`, by role."""

    def open(self, role: Role) -> None:
        self._queries[role], self._scored[role] = [], set()

    def is_new(self, role: Role) -> bool:
        """Whether a role has had no query yet."""
        return not self._queries[role]

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
        for role, queries in self._queries.items():
            if role in request.verify:
                self._scored[role].add(len(queries))
            if role is Role.PRM:
                if role in request.verify:
                    queries.append(self._sessions[role].query(drawn, delimiter))
            elif role is request.writer:
                queries.append([*_paths(drawn), *kept])
            elif role in request.verify:
                queries.append(_paths(drawn))
            elif (judge := request.judge) is not None:
                queries.append(self._sessions[role].query(drawn, judge))
            elif guessed:  # the draft has read the traces; the tokens that it proposed count as speculated
                queries.append([(trace.token_ids, [()]) for trace in request.traces])

    def note_scores(self, groups: Sequence[CandidateGroup]) -> None:
        """Record that the target has scored these candidates in a round of its own."""
        queries = self._queries[Role.TARGET]
        self._scored[Role.TARGET].add(len(queries))
        queries.append(_paths(groups))

    def usage(self, role: Role, records: Iterable[StepRecord]) -> Usage | None:
        """The token usage of one role, None if its engine does not know it; `records` are all steps of the solve."""
        session = self._sessions[role]
        counts: TokenCounts | None = session.counts
        if counts is None:
            return None
        written = [record for record in records if record.writer is role]
        fewest = minimum(counts.prompt, self._queries[role], self._scored[role])
        return Usage(
            prompt=counts.prompt,
            processed=counts.processed,
            cached=counts.cached,
            generated=sum(len(c.token_ids) for record in written for c in record.candidates),
            discarded=sum(record.discarded for record in written),
            speculated=counts.speculated,
            minimum=None if getattr(session, "through_text", False) else fewest,
        )


def _paths(groups: Sequence[CandidateGroup]) -> Query:
    """The query that computes these candidates, without their last tokens, since nothing follows them yet."""
    return [(trace.token_ids, [c.token_ids[:-1] for c in candidates]) for trace, candidates in groups]
