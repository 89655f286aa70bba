"""Closes the thinking of a trace that has spent its budget or goes in circles.

The closing is a fixed text. Whether it follows a step depends only on the tokens up to the end of that step, not on the
model that wrote them, and neither a deadline nor a verifier ever forces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from specs.config import Limits
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.methods import Method
from specs.types import Candidate, End, Phase, Role, SamplingParams, Thinking, Trace

SAME_STEPS = 3
"""A step that is written this often in a row is a loop."""
LONGEST_PERIOD = 64
"""Thinking whose last tokens repeat with a period of up to this many tokens, `SAME_STEPS` times, is a loop."""


def thinking_of(models: Models, method: Method, sampling: SamplingParams) -> Thinking | None:
    """How the writers of a solve mark their thinking; None if the solve does not think.

    Raises:
        InputError: a writer cannot think, two of them mark it differently, or the method chooses among whole solutions.
    """
    if not sampling.thinks:
        return None
    if getattr(method, "whole_solutions", False):
        raise InputError(
            f"method {method.name} chooses among whole solutions, and thinking goes step by step; {_INSTEAD}"
        )
    marks: Thinking | None = None
    for role in sorted(method.roles - {Role.PRM}):
        writer = models.writer(role)
        assert writer is not None
        if writer.thinking is None:
            raise InputError(f"{role} {writer.name} has no way to think (its chat template opens no block); {_WITHOUT}")
        if marks not in (None, writer.thinking):
            raise InputError(f"{role} {writer.name} marks its thinking differently from the other writer; {_WITHOUT}")
        marks = writer.thinking
    if len({model.fingerprint for model in (models.draft, models.target) if model is not None}) > 1:
        raise InputError(f"draft and target have different vocabularies, so they cannot think together; {_WITHOUT}")
    return marks


_WITHOUT = "leave out 'think' (--think), or give models of one family"
_INSTEAD = "use target, specreason or prm-free, or leave out 'think' (--think)"


def closed(trace: Trace, candidate: Candidate, thinking: Thinking | None, limits: Limits) -> Candidate:
    """A candidate for the next step of a trace, with the closing text if the thinking has to end with it."""
    if thinking is None or trace.phase is not Phase.THINKING:
        return candidate
    if candidate.end not in (End.DELIMITER, End.CAP):
        return candidate  # closed by the model, or nothing can follow it
    ids = trace.token_ids + candidate.token_ids
    if len(ids) < limits.max_thinking_tokens and not _loops(trace, candidate, ids):
        return candidate
    return replace(
        candidate,
        token_ids=candidate.token_ids + thinking.closing_ids,
        text=candidate.text + thinking.closing,
        end=End.CLOSE,
        forced=len(thinking.closing_ids),
    )


def closing_step(thinking: Thinking | None) -> Candidate:
    """A step of the closing text alone, for an early exit of a solve that thinks; nobody sampled any of it."""
    assert thinking is not None
    return Candidate(thinking.closing_ids, thinking.closing, End.CLOSE, forced=len(thinking.closing_ids))


def _loops(trace: Trace, candidate: Candidate, ids: Sequence[int]) -> bool:
    """Whether the step has come `SAME_STEPS` times in a row, or the last tokens repeat with a short period."""
    before = trace.steps[1 - SAME_STEPS :]
    if len(before) == SAME_STEPS - 1 and all(step.token_ids == candidate.token_ids for step in before):
        return True
    last = ids[-SAME_STEPS * LONGEST_PERIOD :]
    if len(last) < SAME_STEPS * LONGEST_PERIOD:
        return False
    return any(last[period:] == last[:-period] for period in range(1, LONGEST_PERIOD + 1))
