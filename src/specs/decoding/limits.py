"""Decides whether a solve is over after a step."""

from __future__ import annotations

from specs.config import Limits
from specs.core.votes import boxed
from specs.types import End, Finish, Trace


def finish_of(trace: Trace, limits: Limits) -> Finish | None:
    """The finish reason of a solve with this trace, which has at least one step; None if the solve goes on."""
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
