"""The limits of a solve, and why it ends."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from specs.core.votes import boxed
from specs.types import End, Finish, Trace


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits at which a solve ends.

    Attributes:
        max_steps: most accepted steps, >= 1.
        max_tokens: most tokens of the accepted trace, >= 1.
        deadline_s: seconds from the start, to which the current request may add overtime; None for no deadline.
    """

    max_steps: int = 32
    max_tokens: int = 2048
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("max_steps", self.max_steps), ("max_tokens", self.max_tokens)):
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} is a whole number, at least 1, not {value}")
        if self.deadline_s is not None and not self.deadline_s > 0:
            raise ValueError(f"a deadline is a positive number of seconds, not {self.deadline_s}")


def finish_of(trace: Trace, limits: Limits) -> Finish | None:
    """Why a solve ends with a trace of at least one step, if it does."""
    if boxed(trace.text) is not None:
        return Finish.ANSWER
    if trace.steps[-1].end is End.END_OF_TEXT:
        return Finish.END_OF_TEXT
    if trace.steps[-1].end is End.CONTEXT:
        return Finish.CONTEXT
    if len(trace.token_ids) >= limits.max_tokens:
        return Finish.MAX_TOKENS
    if len(trace.steps) >= limits.max_steps:
        return Finish.MAX_STEPS
    return None
