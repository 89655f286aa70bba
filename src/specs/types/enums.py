"""Who takes part in a solve, and how steps and solves end."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a model does in a solve."""

    DRAFT = "draft"
    TARGET = "target"
    PRM = "prm"


class Phase(StrEnum):
    """What a trace is in the middle of."""

    THINKING = "thinking"
    ANSWER = "answer"


class ThinkingEnd(StrEnum):
    """How the thinking of a solve ended."""

    CLOSED = "closed"
    """The model closed it."""
    FORCED = "forced"
    """It was closed because the budget was spent, or because it went in circles."""
    EXITED = "exited"
    """It was closed early, because a trial answer was sure enough."""
    CUT = "cut"
    """A limit or end-of-text cut it off, so there is no answer."""


class Capability(StrEnum):
    """What a method may need of a language model besides samples."""

    LOG_PROBABILITIES = "log-probabilities of steps"
    TOKEN_LOG_PROBABILITIES = "log-probabilities of tokens"
    RATINGS = "ratings of steps"
    TOKEN_SPECULATION = "token-level speculation"
    ENTROPIES = "entropies of tokens"


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
    """It ended before its cap, because the model's context is full: nothing can follow it."""
    CLOSE = "close"
    """It closed the thinking, by the model's own token or by a forced tail (`Candidate.forced`)."""
    CUT = "cut"
    """Only in traces of version 0.1, whose option `enough` cut off long candidates unscored."""
