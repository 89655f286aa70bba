"""Deadlines that are kept: what finished solves teach about the time that a step takes, and methods that use it.

    pace = Pace()                                       one for each set of loaded models
    timed = pace.timed(method, law, limits)             the method to run
    pace.learn(result)                                  after each solve, with a deadline or without

`specs.decoding.stream` does all three if it is given a pace.
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
from specs.methods.speculation import WithSpeculation
from specs.types import Finish, Law, Result, Role, StepPolicy, StepRecord

_STEPWISE = ("specs", "random-switch", "gsi", "rsd", "beam", "beam-draft", "draft")
"""Methods whose steps are of the kinds that are told apart."""
_POLICIES = 16
"""Step policies that are kept, the last ones learned from."""


class Pace:
    """What steps of some loaded models take; shared by all solves and threads, of bounded size.

    Where a step ends makes it long or short, so there is one estimate a step policy.
    """

    def __init__(self) -> None:
        self._estimates: OrderedDict[str, Estimate] = OrderedDict()
        self._lock = threading.Lock()

    def estimate(self, steps: StepPolicy) -> Estimate:
        """What is known at this moment of steps that end so."""
        with self._lock:
            return self._estimates.get(_name(asdict(steps)), Estimate())

    def timed(self, method: Method, law: Law, limits: Limits) -> Method:
        """The method to run under these limits; itself without a deadline, or where it cannot be hurried.

        Only `specs` and its kin can; other methods are cut when the deadline passes.
        """
        if isinstance(method, WithSpeculation):
            return replace(method, method=self.timed(method.method, law, limits))
        if limits.deadline_s is None or not isinstance(method, Specs):
            return method
        return Deadline(method, limits.deadline_s, self.estimate(law.steps))

    def learn(self, result: Result) -> None:
        """Take in what the steps of a solve took, and how many they were if it came to its end."""
        if result.method.removesuffix("+speculation") not in _STEPWISE:
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
    """What was done in a step; None for what no deadline would do."""
    first = record.candidates[0]
    if record.writer is Role.TARGET:
        return None if first.reward is None else Kind.TARGET
    if first.reward is None:
        return Kind.ALONE if first.log_p is None and len(record.candidates) == 1 else None
    return Kind.REWARDED if first.log_p is None else Kind.VERIFIED


def _name(steps: dict[str, Any]) -> str:
    return repr(sorted(steps.items()))


def _rewritten(result: Result) -> float | None:
    """Share of the verified draft steps that were thrown away; None without any, or where time decided too."""
    if result.finish_reason is Finish.DEADLINE:
        return None
    verified = [record for record in result.steps if kind_of(record) in (Kind.REWARDED, Kind.VERIFIED)]
    return sum(not record.accepted for record in verified) / len(verified) if verified else None
