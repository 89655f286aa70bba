"""The values that everything passes around: frozen, slotted, free of I/O.

Notation as in docs/method.md: `q` draft model, `p` target model, `r` process reward model
(PRM), `c` context, `y` one candidate step, `n` candidates a step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from numbers import Integral
from typing import Any, ClassVar, Literal


class Role(StrEnum):
    """What a model does in a solve."""

    DRAFT = "draft"
    TARGET = "target"
    PRM = "prm"


class Finish(StrEnum):
    """Why a solve ended."""

    ANSWER = "answer"
    END_OF_TEXT = "end_of_text"
    MAX_STEPS = "max_steps"
    MAX_TOKENS = "max_tokens"
    CONTEXT = "context"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    NO_SUPPORT = "no_support"
    ERROR = "error"


class End(StrEnum):
    """How one candidate step ended."""

    DELIMITER = "delimiter"
    END_OF_TEXT = "end_of_text"
    CAP = "cap"
    CONTEXT = "context"
    """Before its cap, because the model has no room for more: nothing can follow it."""
    CUT = "cut"
    """Not at all: it was longer than enough others (`StepPolicy.enough`), and is thrown away unscored."""


@dataclass(frozen=True, slots=True)
class StepPolicy:
    """Where a step ends: at the first delimiter after non-blank text, at end-of-text, or at the cap.

    Attributes:
        delimiter: text that closes a step; None for none (fixed chunks of `max_tokens`).
        pattern: regular expression that closes a step instead of `delimiter`; it is searched in
            the step's text after each token.
        max_tokens: cap on the tokens of one step, >= 1.
        enough: share of a trace's candidates, in (0, 1]. Those longer than the shortest
            ceil(enough * n) are cut off where these have ended and thrown away; 1 cuts none. Steps
            that a method judges whole are meant: a whole solution is never cut.
    """

    delimiter: str | None = "\n\n"
    pattern: str | None = None
    max_tokens: int = 64
    enough: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.max_tokens, Integral) or self.max_tokens < 1:
            raise ValueError(f"a step needs room for a whole number of tokens, at least 1, not {self.max_tokens}")
        if not 0 < self.enough <= 1:
            raise ValueError(f"enough is a share of the candidates, above 0 and up to 1, not {self.enough}")
        if self.delimiter == "" or self.pattern == "":
            raise ValueError("an empty delimiter would close every step at once")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"step pattern {self.pattern!r} is not a regular expression: {error}") from None

    @classmethod
    def chunks(cls, tokens: int) -> StepPolicy:
        """Fixed chunks of `tokens` tokens."""
        return cls(delimiter=None, max_tokens=tokens)


@dataclass(frozen=True, slots=True)
class Law:
    """The distribution that tokens are drawn from, the same for `p`, `q` and the sampler.

    Attributes:
        temperature: divides the logits, >= 0; 0 is the point mass on the most likely token.
        top_p: nucleus in (0, 1]; the smallest set of most likely tokens whose mass reaches it.
        steps: where a step ends.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    steps: StepPolicy = field(default_factory=StepPolicy)

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature is at least 0 and finite, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top-p lies in (0, 1], not {self.top_p}")

    @property
    def neutral(self) -> bool:
        """Whether it is the model's own distribution: temperature 1, no nucleus."""
        return self.temperature == 1 and self.top_p == 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate step `y` of a trace.

    Attributes:
        token_ids: in the writer's vocabulary, end-of-text included where the step emits it.
        text: the step for people, its delimiter included, end-of-text not.
        end: how the step ended.
        log_p: `log p(y|c)` in nats, summed over `token_ids`; None where not computed.
        log_q: `log q(y|c)` in nats; None where the draft did not write the step.
        reward: `r` in [0, 1], or the rating of a `Judge`; None where not computed.
        duplicates_of: index of the first candidate with the same tokens; None if this is it.
    """

    token_ids: tuple[int, ...]
    text: str
    end: End
    log_p: float | None = None
    log_q: float | None = None
    reward: float | None = None
    duplicates_of: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str

    def __post_init__(self) -> None:
        if self.role not in ("system", "user", "assistant"):
            raise ValueError(f"a turn is the system's, a user's or an assistant's, not {self.role!r}'s")


@dataclass(frozen=True, slots=True)
class Chat:
    """What a question stands in.

    Attributes:
        before: turns before the question; a system turn takes the place of the models' own system prompts.
        template: whether the chat template of a writer lays out what it reads; where not, it goes on with
            the text of the question itself, which stands alone; control tokens that it spells count.
    """

    before: tuple[Turn, ...] = ()
    template: bool = True

    def __post_init__(self) -> None:
        if self.before and not self.template:
            raise ValueError("turns are laid out by a chat template; a text that is gone on with has none before it")

    def told(self, question: str) -> str:
        """The question with the turns before it, as one text for a PRM, whose formats know one question."""
        turns = [turn for turn in self.before if turn.role != "system"]
        if not turns:
            return question
        return "\n\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in (*turns, Turn("user", question)))


ALONE = Chat()
"""Of a question that stands for itself."""


@dataclass(frozen=True)
class Trace:
    """A question and the steps accepted so far; extending makes a new trace."""

    question: str
    steps: tuple[Candidate, ...] = ()
    writers: tuple[Role, ...] = ()

    def extend(self, step: Candidate, writer: Role) -> Trace:
        return Trace(self.question, (*self.steps, step), (*self.writers, writer))

    @cached_property
    def token_ids(self) -> tuple[int, ...]:
        """Tokens of all accepted steps, each in its writer's vocabulary."""
        return tuple(token for step in self.steps for token in step.token_ids)

    @cached_property
    def text(self) -> str:
        return "".join(step.text for step in self.steps)


@dataclass(frozen=True, slots=True)
class Judge:
    """A question to the target about the last step of a trace, answered by one token.

    Attributes:
        instruction: what the user asks after the trace.
        opening: what the answer begins with.
        labels: the answers that count, the worst first; each one more token behind the opening.
    """

    instruction: str
    opening: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Propose:
    """Request: sample `n` candidate steps of `trace` from `writer` and verify each.

    Attributes:
        verify: roles that score the candidates: the target its log-probability, the PRM a reward.
        attempt: 0 for the first proposal at this trace, 1 for its rewrite: fresh randomness.
        beside: further traces of a search, `n` candidates of each at the same time; trace k draws
            as attempt `attempt + k`, so that equal traces differ.
        keep: traces that go on without being asked about: what the writer has of them is not dropped.
        judge: what the target is asked about each candidate; its rating in [0, 1] takes the place
            of the PRM's reward. Not beside scores of the target or of the PRM.
        lookahead: the candidate that, by the scores that are there so far (None where they are not),
            will be accepted and gone on with by the same request; None if none or unknown. While the
            rest is computed, the writer may go on with it; what it writes is what it would write later.
        speculate: tokens that the draft proposes at a time while the target writes; 0 for none.
        hopeless: by their rewards, the candidates that will not be chosen. The target is then asked after
            the PRM, about the others alone; the `log_p` of the hopeless is -inf.
        overtime_s: seconds that the work may go on beyond a deadline.
    """

    writer: Role
    trace: Trace
    n: int
    verify: frozenset[Role]
    law: Law
    attempt: int = 0
    beside: tuple[Trace, ...] = ()
    keep: tuple[Trace, ...] = ()
    judge: Judge | None = None
    lookahead: Callable[[tuple[Candidate, ...]], int | None] | None = None
    speculate: int = 0
    hopeless: Callable[[tuple[Candidate, ...]], frozenset[int]] | None = None
    overtime_s: float = 0.0

    @property
    def traces(self) -> tuple[Trace, ...]:
        """All traces; candidate i of the proposal continues trace `i // n`."""
        return (self.trace, *self.beside)


@dataclass(frozen=True, slots=True)
class Rollout:
    """Request: sample `n` whole solutions of `trace` from `writer` and verify each; `speculate` as in `Propose`.

    What else a `Propose` may ask for, it does not.
    """

    writer: Role
    trace: Trace
    n: int
    verify: frozenset[Role]
    law: Law
    speculate: int = 0
    attempt: ClassVar[int] = 0
    keep: ClassVar[tuple[Trace, ...]] = ()
    judge: ClassVar[Judge | None] = None
    lookahead: ClassVar[Callable[[tuple[Candidate, ...]], int | None] | None] = None
    hopeless: ClassVar[Callable[[tuple[Candidate, ...]], frozenset[int]] | None] = None
    overtime_s: ClassVar[float] = 0.0

    @property
    def traces(self) -> tuple[Trace, ...]:
        """The one trace."""
        return (self.trace,)


@dataclass(frozen=True, slots=True)
class Decision:
    """How one candidate was chosen: all evidence, one entry a candidate.

    Attributes:
        scores: [n] selection scores in nats (of the candidate alone, duplicates apart).
        probabilities: [n] selection probabilities; a duplicate carries its own share.
        chosen: index of the candidate that was drawn; None where no candidate had support.
        ess: effective sample size of the weights, in [1, n]; None where weights play no part.
        chi2: estimated chi-square divergence of the weighted from the sampled law, >= 0.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    chosen: int | None
    ess: float | None = None
    chi2: float | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """Request: candidate `decision.chosen` of a proposal becomes a step of the trace.

    Attributes:
        keep: false where the proposal is recorded and thrown away (a rewritten step).
        proposal: one that was neither accepted nor thrown away yet; None for the last.
    """

    decision: Decision
    keep: bool = True
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Request: candidates `kept` of the last proposal go on as traces side by side.

    Attributes:
        decision: `chosen`, one of `kept`, leads for now.
        kept: indices of different candidates, at least one.
    """

    decision: Decision
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Request: a search is over and `trace`, grown by its branches, is the result."""

    trace: Trace


@dataclass(frozen=True, slots=True)
class Proposal:
    """Reply to `Propose` and `Rollout`.

    Attributes:
        candidates: the `n` candidates of each trace in sampling order, duplicates included.
        remaining_s: seconds until the deadline; None without one.
    """

    candidates: tuple[Candidate, ...]
    remaining_s: float | None = None


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
    chat: Chat = ALONE
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
