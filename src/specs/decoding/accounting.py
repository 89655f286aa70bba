"""What each model was asked in a solve, and the ledger that follows from it (docs/engines.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from specs.core.ledger import Ask, minimum
from specs.engines.protocol import Group
from specs.types import Propose, Role, StepRecord, Usage


class Ledger:
    """Queries of one solve by role."""

    def __init__(self, sessions: dict[Role, Any]) -> None:
        """`sessions`: filled while roles are opened (`open`)."""
        self._sessions = sessions
        self._asks: dict[Role, list[Ask]] = {}
        self._scored: dict[Role, set[int]] = {}
        """Numbers of the asks whose answers are known behind every beginning of every path (`ledger.minimum`)."""

    def open(self, role: Role) -> None:
        self._asks[role], self._scored[role] = [], set()

    def is_new(self, role: Role) -> bool:
        """Whether a role was asked nothing yet."""
        return not self._asks[role]

    def note(
        self,
        request: Propose,
        delimiter: str | None,
        drawn: Sequence[Group],
        whole: Sequence[Group],
        scored: Sequence[Group],
        guessed: bool,
    ) -> None:
        """A step was asked for: of the writer all that was `drawn`, of those who verify the `whole` candidates, of a
        target that gives log-probabilities those that were `scored`; `guessed`: the draft proposed tokens for it.
        """
        kept = [(trace.token_ids, ()) for trace in request.keep]
        for role, asks in self._asks.items():
            if role in request.verify:
                self._scored[role].add(len(asks))
            if role is Role.PRM:
                if role in request.verify:
                    asks.append(self._sessions[role].ask(whole, delimiter))
            elif role is request.writer:
                asks.append([*_paths(drawn), *kept])
            elif role in request.verify:
                asks.append(_paths(scored))
            elif (judge := request.judge) is not None:
                asks.append(self._sessions[role].ask(whole, judge))
            elif guessed:  # the draft has gone on behind the traces; what it guessed is counted apart
                asks.append([(trace.token_ids, [()]) for trace in request.traces])

    def usage(self, role: Role, records: Iterable[StepRecord]) -> Usage:
        """Tokens of one model."""
        session = self._sessions[role]
        written = [record for record in records if record.writer is role]
        counts = session.counts
        fewest = minimum(counts.prompt, self._asks[role], self._scored[role])
        return Usage(
            prompt=counts.prompt,
            processed=counts.processed,
            cached=counts.cached,
            generated=sum(len(c.token_ids) for record in written for c in record.candidates),
            discarded=sum(record.discarded for record in written),
            speculated=counts.speculated,
            minimum=None if getattr(session, "through_text", False) else fewest,
        )


def _paths(groups: Sequence[Group]) -> Ask:
    """Candidates without their last tokens, which nothing follows yet."""
    return [(trace.token_ids, [c.token_ids[:-1] for c in candidates]) for trace, candidates in groups]
