"""A question, the conversation before it, and the steps that answer it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from specs.errors import InputError
from specs.types.checks import check_fields, check_value
from specs.types.enums import End, Phase, Role


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate step `y` of a trace.

    Attributes:
        token_ids: in the writer's vocabulary, including end-of-text if the step ended with it.
        text: the step's text with its delimiter, without end-of-text; undecodable bytes are surrogates.
        end: how the step ended.
        forced: how many of the last tokens nobody sampled: they were appended to close the thinking.
        log_p: `log p(y|c)` in nats, at most 0, summed over the sampled tokens; None if not computed. Of a draft's step
            it is under `Propose.score_law`, of a target's own under the law of sampling.
        log_q: `log q(y|c)` in nats, summed likewise; None if the draft did not write the step.
        reward: `r` in [0, 1], or the rating of a `Judge`; None if not computed.
        duplicates_of: index of the first candidate with the same tokens; None if this is it.
        log_p_by_token: the terms of `log_p`, one for each of the target's tokens; None where the request does not ask.
        log_p_at_most: an upper bound of `log_p`, from what the target has read of other candidates; None if it has
            read this one, or none.
    """

    token_ids: tuple[int, ...]
    text: str
    end: End
    log_p: float | None = None
    log_q: float | None = None
    reward: float | None = None
    duplicates_of: int | None = None
    log_p_by_token: tuple[float, ...] | None = None
    log_p_at_most: float | None = None
    forced: int = 0

    @property
    def length(self) -> int:
        """L, the number of sampled tokens."""
        return len(self.token_ids) - self.forced

    @property
    def sampled_ids(self) -> tuple[int, ...]:
        """The sampled tokens: those that have log-probabilities."""
        return self.token_ids[: self.length]


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a model marks its thinking.

    Attributes:
        opening: the text that opens a thinking block at the end of a prompt.
        close_id: the token that closes it.
        closing: the text that closes it when the budget is spent; it ends the thinking and begins the answer.
        closing_ids: the tokens of `closing`; `close_id` is one of them.
        marker: how the vocabulary spells `close_id`, for example `</think>`; part of `closing`. The text of a trace
            may lack it, since control tokens can have no text.
    """

    opening: str
    close_id: int
    closing: str
    closing_ids: tuple[int, ...]
    marker: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True)
class Chat:
    """The conversation that a question ends.

    Attributes:
        before: turns before the question; a system turn replaces the models' own system prompts.
        template: whether writers read the question in their chat templates. If false, they continue the question's
            raw text, without prior turns; control tokens that the text spells are read as such.
        think: whether the models think before they answer.

    Raises:
        InputError: a field is wrong, or there are prior turns or thinking although `template` is false.
    """

    before: tuple[Turn, ...] = ()
    template: bool = True
    think: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        for turn in self.before:
            check_value("a turn of before", turn, Turn)
        if self.before and not self.template:
            raise InputError("a raw-text continuation (template=False) cannot have prior turns; leave out 'before'")
        if self.think and not self.template:
            raise InputError("a raw-text continuation (template=False) cannot think; leave out 'think'")

    def as_single_question(self, question: str) -> str:
        """The question and the turns before it, without system turns, as one text: PRM formats take one question."""
        turns = [turn for turn in self.before if turn.role != "system"]
        if not turns:
            return question
        return "\n\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in (*turns, Turn("user", question)))


NO_CONTEXT = Chat()
"""For a question without prior turns."""


@dataclass(frozen=True)
class Trace:
    """A question, the steps accepted so far, and who wrote each; `extend` returns a new trace.

    Attributes:
        answer_from: index of the first step of the answer, which follows the step that closes the thinking; None while
            the trace is in the thinking.
    """

    question: str
    steps: tuple[Candidate, ...] = ()
    writers: tuple[Role, ...] = ()
    answer_from: int | None = 0

    @classmethod
    def start(cls, question: str, thinks: bool) -> Trace:
        """The trace without steps; `thinks`: whether it begins inside the thinking."""
        return cls(question, answer_from=None if thinks else 0)

    def extend(self, step: Candidate, writer: Role) -> Trace:
        steps = (*self.steps, step)
        closes = self.answer_from is None and step.end is End.CLOSE
        grown = Trace(self.question, steps, (*self.writers, writer), len(steps) if closes else self.answer_from)
        # In long traces, going through all steps anew for each step would take quadratic time.
        known = grown.__dict__
        known["_before"] = self
        known["answer_tokens"] = self.answer_tokens + (0 if self.answer_from is None else len(step.token_ids))
        return grown

    @property
    def phase(self) -> Phase:
        return Phase.THINKING if self.answer_from is None else Phase.ANSWER

    @cached_property
    def token_ids(self) -> tuple[int, ...]:
        """Tokens of all accepted steps, each in its writer's vocabulary."""
        before: Trace | None = self.__dict__.pop("_before", None)  # held only until it was read
        if before is None:
            return tuple(token for step in self.steps for token in step.token_ids)
        return before.token_ids + self.steps[-1].token_ids

    @cached_property
    def text(self) -> str:
        return "".join([step.text for step in self.steps])

    @property
    def thinking_text(self) -> str:
        """The text of the steps inside the thinking, with what closed it."""
        return "".join([step.text for step in self.steps[: self.answer_from]])

    @property
    def answer_text(self) -> str:
        """The text of the steps after the thinking; empty while the trace is in the thinking."""
        return "" if self.answer_from is None else "".join([step.text for step in self.steps[self.answer_from :]])

    @cached_property
    def answer_tokens(self) -> int:
        """The number of tokens after the thinking."""
        return 0 if self.answer_from is None else sum(len(step.token_ids) for step in self.steps[self.answer_from :])
