"""What determines a sample: the request's sampling parameters, the limits of the solve, and the candidates' keys."""

from __future__ import annotations

from dataclasses import dataclass, replace

from specs.config import Limits
from specs.core.keys import Key
from specs.types import Propose, Role, SamplingParams, StepPolicy, Trace

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
        """The request's sampling parameters, with steps capped at the tokens that the solve may still write."""
        left = self.limits.max_tokens - max(len(trace.token_ids) for trace in request.traces)
        if request.whole:
            return replace(request.sampling, steps=StepPolicy(delimiter=None, max_tokens=left))
        steps = request.sampling.steps
        return replace(request.sampling, steps=replace(steps, max_tokens=min(steps.max_tokens, left)))
