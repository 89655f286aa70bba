"""A solve as it happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from specs.types.enums import Finish, Role
from specs.types.requests import Decision
from specs.types.trace import NO_CONTEXT, Candidate, Chat


@dataclass(frozen=True, slots=True)
class Seconds:
    """Busy seconds per phase of one step; phases may overlap, `wall` is the step's own time.

    `orchestration` is `wall` minus the union of the engine calls.
    """

    draft: float = 0.0
    target_generate: float = 0.0
    target_score: float = 0.0
    prm: float = 0.0
    wall: float = 0.0
    orchestration: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one role over a solve.

    Attributes:
        prompt: tokens of the role's prompt.
        processed: token positions computed, padding apart.
        cached: prefix positions reused, summed over calls.
        generated: tokens sampled.
        discarded: tokens sampled that are no part of the final trace.
        speculated: token positions computed for guesses (steps drafted ahead in vain, tokens proposed to
            another model or by it in vain) and thrown away; part of `processed`, not of `minimum`.
        padded: positions computed for padding alone.
        minimum: positions that had to be computed (docs/engines.md), recomputed from the trace;
            None where it has no exact meaning (scoring through text).
    """

    prompt: int = 0
    processed: int = 0
    cached: int = 0
    generated: int = 0
    discarded: int = 0
    speculated: int = 0
    padded: int = 0
    minimum: int | None = None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step as it happened: every candidate, every score, every second.

    Attributes:
        accepted: false where the step was thrown away and written again (`rewrite`).
        discarded: tokens sampled for this step that are no part of it.
        kept: candidates that went on as traces side by side (`Branch`); None without a search.
            While a search runs, `decision.chosen` is the leader; in its result, the step that is
            part of the answer.
        parents: in a search, the candidate of the step before that each one continues, counted over
            all records of that step; None in the first step.
    """

    step_idx: int
    writer: Role
    candidates: tuple[Candidate, ...]
    decision: Decision
    seconds: Seconds
    accepted: bool = True
    kept: tuple[int, ...] | None = None
    parents: tuple[int, ...] | None = None

    @property
    def step(self) -> Candidate | None:
        """The candidate that was chosen; None where none had support."""
        return None if self.decision.chosen is None else self.candidates[self.decision.chosen]

    @property
    def discarded(self) -> int:
        drawn = sum(len(c.token_ids) for c in self.candidates)
        return drawn - (len(self.step.token_ids) if self.accepted and self.step else 0)


DRAWS = 2
"""The rule that keys a method's own draws (which candidate, which writer); results record their rule.

1: by the seed alone, so under one seed all problems chose among their first candidates with the same uniform.
2: by the seed and the prompt, as token sampling always was.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished solve.

    Attributes:
        answer: content of the last `\\boxed{}`, else None.
        latency_s: end to end, queue apart.
        time_to_first_step_s: until the first step was accepted; None if none was.
        prompt_token_ids: per role that took part.
        settings: the method's options, the law and the limits, as plain values.
        text_scoring: true where roles of different vocabularies met through text (inexact).
        raw_scoring: true where a server's log-probabilities are at temperature 1 although steps
            were drawn under another law (inexact).
        error: the message of what failed, with finish reason `error`.
        chat: what the question stood in.
        draws: the rule by which the method's own draws were keyed (`DRAWS`).
    """

    answer: str | None
    text: str
    finish_reason: Finish
    method: str
    question: str
    steps: tuple[StepRecord, ...]
    usage: dict[Role, Usage]
    flops: float
    latency_s: float
    time_to_first_step_s: float | None
    seed: int
    models: dict[Role, str]
    prompt_token_ids: dict[Role, tuple[int, ...]]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    text_scoring: bool = False
    raw_scoring: bool = False
    error: str | None = None
    chat: Chat = NO_CONTEXT
    draws: int = DRAWS

    @property
    def accepted(self) -> tuple[StepRecord, ...]:
        return tuple(record for record in self.steps if record.accepted)

    @property
    def seconds(self) -> Seconds:
        """Busy seconds of the whole solve, by phase."""
        total = Seconds()
        for record in self.steps:
            total = total + record.seconds
        return total

    @property
    def draft_share(self) -> float | None:
        """Share of accepted steps that the draft wrote; None without steps."""
        accepted = self.accepted
        return sum(r.writer is Role.DRAFT for r in accepted) / len(accepted) if accepted else None
