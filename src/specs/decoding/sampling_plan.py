"""What determines a sample: the request's sampling parameters, the limits of the solve, and the candidates' keys."""

from __future__ import annotations

from dataclasses import dataclass, replace

from specs.config import Limits
from specs.core.keys import Key
from specs.types import Phase, Propose, Role, SamplingParams, StepPolicy, Trace

SampleKey = tuple[int, SamplingParams, list[Key], tuple[Trace, ...]]
"""Identifies a sample: candidates per trace, sampling parameters, a key per trace, and the traces to keep."""


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """Derives keys and sampling parameters of requests; the solve adds to `prompts` while it opens roles."""

    prompts: dict[Role, tuple[int, ...]]
    limits: Limits
    seed: int

    def key(self, request: Propose, trace_idx: int) -> Key:
        """The key of one trace's candidates."""
        ids = (*self.prompts[request.writer], *request.traces[trace_idx].token_ids)
        return Key.from_seed(self.seed).fold(request.writer, ids, request.attempt + trace_idx)

    def keys(self, request: Propose) -> list[Key]:
        return [self.key(request, trace_idx) for trace_idx in range(len(request.traces))]

    def params(self, request: Propose) -> SamplingParams:
        """The request's sampling parameters, with steps capped at the tokens that the solve may still write.

        While a trace of a search thinks, the steps of all of them end as inside the thinking.
        """
        left = min(map(self._left, request.traces))
        if request.whole:
            return replace(request.sampling, steps=StepPolicy(delimiter=None, max_tokens=left))
        thinks = any(trace.phase is Phase.THINKING for trace in request.traces)
        steps = (request.sampling.thinking if thinks else None) or request.sampling.steps
        return replace(request.sampling, steps=replace(steps, max_tokens=min(steps.max_tokens, left)))

    def _left(self, trace: Trace) -> int:
        """The tokens that a trace may still get in its phase."""
        if trace.phase is Phase.THINKING:
            return self.limits.max_thinking_tokens - len(trace.token_ids)
        return self.limits.max_tokens - trace.answer_tokens
