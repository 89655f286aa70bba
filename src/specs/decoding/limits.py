"""Decides whether a solve is over after a step."""

from __future__ import annotations

from collections.abc import Mapping

from specs.config import Limits
from specs.core.votes import boxed
from specs.types import End, Finish, Trace


def finish_of(trace: Trace, limits: Limits, at_answer: bool = True) -> Finish | None:
    """The finish reason of a solve with this trace, which has at least one step; None if the solve goes on.

    `at_answer`: whether an answer ends it.
    """
    if at_answer and boxed(trace.answer_text) is not None:
        return Finish.ANSWER
    if trace.steps[-1].end is End.END_OF_TEXT:
        return Finish.END_OF_TEXT
    if trace.steps[-1].end is End.CONTEXT:
        return Finish.CONTEXT
    if trace.answer_tokens >= limits.max_tokens:
        return Finish.MAX_TOKENS
    if len(trace.steps) >= limits.max_steps:
        return Finish.MAX_STEPS
    return None


def reasons(
    grown: Mapping[int, Trace], limits: Limits, finished: Mapping[int, float] | None
) -> tuple[Finish | None, ...]:
    """Why each trace that a branch keeps ends, if it does; see `specs.types.Branch` for `finished`."""
    return tuple(finish_of(trace, limits, finished is None or k in finished) for k, trace in grown.items())
