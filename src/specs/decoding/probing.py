"""Trial answers in the middle of the thinking (`specs.types.Probe`)."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

from specs.core.keys import Key
from specs.decoding.accounting import Ledger
from specs.decoding.clock import Call, SolveClock, writing_phase
from specs.engines.protocol import Models, PolicySession, Sample, Stopped
from specs.types import Candidate, End, Finish, Probe, Probed, SamplingParams

MODEL_LAW = SamplingParams()
"""The law of a trial answer's probabilities: the model's own, at temperature 1 and without filters."""


def probed(
    request: Probe, models: Models, session: PolicySession, clock: SolveClock, ledger: Ledger
) -> Generator[list[Call], Any, Probed]:
    """Sample a trial answer.

    Whatever wrote the trace, and whatever seed and law the solve has, the same tokens give the same reply.
    """
    writer = models.writer(request.writer)
    assert writer is not None
    opening = writer.encode(request.opening)
    trace = request.trace.extend(Candidate(opening, request.opening, End.CAP, forced=len(opening)), request.writer)
    law = SamplingParams(temperature=0.0, steps=request.steps)
    keep = (request.trace, *request.keep)
    sample = partial(session.sample, [trace], 1, law, [Key.from_seed(0)], keep, None, MODEL_LAW, False)
    found: list[Sample]
    try:
        (found,) = yield from clock.run([Call(writing_phase(request.writer), sample)])
    except Stopped as stop:
        if stop.reason is not Finish.CONTEXT:
            raise
        return Probed()  # the solve itself may still have room
    (answer,) = found
    ledger.note_probe(request.writer, request.trace, opening, answer.token_ids, request.keep)
    return Probed(answer.token_ids, answer.text, answer.end, answer.log_p_by_token or ())
