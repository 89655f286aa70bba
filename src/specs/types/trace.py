"""A question, the conversation before it, and the steps that answer it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from specs.errors import InputError
from specs.types.checks import check_fields, check_value
from specs.types.enums import End, Role


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate step `y` of a trace.

    Attributes:
        token_ids: in the writer's vocabulary, including end-of-text if the step ended with it.
        text: the step's text with its delimiter, without end-of-text; undecodable bytes are surrogates.
        end: how the step ended.
        log_p: `log p(y|c)` in nats, at most 0, summed over `token_ids`; None if not computed. Of a draft's step it is
            under `Propose.score_law`, of a target's own under the law of sampling.
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

    Raises:
        InputError: a field is wrong, or there are prior turns although `template` is false.
    """

    before: tuple[Turn, ...] = ()
    template: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        for turn in self.before:
            check_value("a turn of before", turn, Turn)
        if self.before and not self.template:
            raise InputError("a raw-text continuation (template=False) cannot have prior turns; leave out 'before'")

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
    """A question, the steps accepted so far, and who wrote each; `extend` returns a new trace."""

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
