"""Estimates the time of a step from finished solves, to plan methods for a deadline.

    latency_model = LatencyModel()                            one for each set of loaded models
    timed = latency_model.timed(method, sampling, limits)     the method to run
    latency_model.learn(result)                               after each solve, with a deadline or without

`specs.decoding.stream` does the last two if the caller passes a latency model.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import asdict, replace
from typing import Any

from specs.config import Limits
from specs.core.latency import ROLES, Estimate, Kind
from specs.methods import Method
from specs.methods.deadline import Deadline
from specs.methods.specs import Specs
from specs.methods.token_speculation import WithSpeculation
from specs.types import Finish, Result, Role, SamplingParams, StepPolicy, StepRecord

_STEPWISE = ("specs", "random-switch", "gsi", "rsd", "beam", "beam-draft", "draft")
"""Methods from whose steps the estimates learn."""
_POLICIES = 16
"""Most step policies with an estimate; the one that learned least recently is dropped first."""


class LatencyModel:
    """Learns how long steps of a set of loaded models take; thread-safe, to be shared by all solves with these models.

    Its size is bounded. It has one estimate per step policy, since steps of different policies differ in length.
    """

    def __init__(self) -> None:
        self._estimates: OrderedDict[str, Estimate] = OrderedDict()
        self._lock = threading.Lock()

    def estimate(self, steps: StepPolicy) -> Estimate:
        """The current estimate for steps with this policy."""
        with self._lock:
            return self._estimates.get(_name(asdict(steps)), Estimate())

    def timed(self, method: Method, sampling: SamplingParams, limits: Limits) -> Method:
        """`method` planned for the deadline of `limits`; unchanged without a deadline, or if it cannot be planned.

        Only `specs` and its variants can be planned; the deadline cuts other methods off.
        """
        if isinstance(method, WithSpeculation):
            return replace(method, method=self.timed(method.method, sampling, limits))
        if limits.deadline_s is None or sampling.thinks or not isinstance(method, Specs):
            return method
        return Deadline(method, limits.deadline_s, self.estimate(sampling.steps))

    def learn(self, result: Result) -> None:
        """Learn from the times of a solve's steps, and from their number if the solve was not cut short."""
        if result.thinking or result.method.removesuffix("+speculation") not in _STEPWISE:
            return
        whole = result.answer is not None or result.finish_reason in (Finish.END_OF_TEXT, Finish.MAX_STEPS)
        name = _name(result.settings["steps"])
        with self._lock:
            estimate = self._estimates.pop(name, Estimate())
            used: frozenset[Role] = frozenset()
            for record in result.steps:
                kind = kind_of(record)
                if kind is not None and len(record.kept or ()) <= 1:
                    fresh = not ROLES[kind] <= used
                    estimate = estimate.seen(kind, len(record.candidates), fresh, record.seconds.wall)
                    used |= ROLES[kind]
            if whole and result.accepted:
                estimate = estimate.solved(len(result.accepted), _rewritten(result))
            self._estimates[name] = estimate
            if len(self._estimates) > _POLICIES:
                self._estimates.popitem(last=False)


def kind_of(record: StepRecord) -> Kind | None:
    """The kind of a step; None for a step such as a planned method never takes."""
    first = record.candidates[0]
    if record.writer is Role.TARGET:
        return None if first.reward is None else Kind.TARGET
    if first.reward is None:
        return Kind.UNVERIFIED if first.log_p is None and len(record.candidates) == 1 else None
    return Kind.REWARDED if all(candidate.log_p is None for candidate in record.candidates) else Kind.VERIFIED


def _name(steps: dict[str, Any]) -> str:
    return repr(sorted(steps.items()))


def _rewritten(result: Result) -> float | None:
    """The share of verified draft steps that were rewritten; None if none was verified or the deadline intervened."""
    if result.finish_reason is Finish.DEADLINE:
        return None
    verified = [record for record in result.steps if kind_of(record) in (Kind.REWARDED, Kind.VERIFIED)]
    return sum(not record.accepted for record in verified) / len(verified) if verified else None
