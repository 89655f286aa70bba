"""The threshold rule: is this step good enough? (docs/method.md, step 6)

    merit = r / r_before + evidence          r, r_before: rewards of the trace with and without the step
    a step is good enough if merit >= tau

With `switch_on` `trace`, `r_before` is 1. With `switch_on` `tilted`, `evidence` is (log p - log q) / beta, otherwise 0.

`specs`, `rsd`, `specreason` and `ssr` use this rule; `gsi`, `hard-reject` and `prm-free` have rules of their own.
"""

from __future__ import annotations

import math
from typing import Literal

from specs.core.selection import log_ratio
from specs.types import Candidate, Trace

SwitchOn = Literal["trace", "step", "tilted"]
"""What `tau` is compared with: the trace's reward, the share of it that the step kept, or that share plus evidence."""


def reward_before(trace: Trace, switch_on: SwitchOn) -> float:
    """Reward of the trace before a step; 1 if `switch_on` ignores it or no step has a reward."""
    rewards = [step.reward for step in trace.steps if step.reward is not None] if switch_on != "trace" else []
    return rewards[-1] if rewards else 1.0


def evidence(step: Candidate, switch_on: SwitchOn, beta: float) -> float:
    """`(log p - log q) / beta` of a step, which has the unit of a reward; 0 unless `switch_on` is `tilted`."""
    return log_ratio(step) / beta if switch_on == "tilted" else 0.0


def good_enough(step: Candidate, before: float, evidence: float, tau: float) -> bool:
    """Whether the merit of a step is at least `tau`; false for a step without a reward. `before`: `reward_before`."""
    return step.reward is not None and step.reward >= (tau - evidence) * before


def merit(reward: float, before: float, evidence: float) -> float:
    """The merit of a step: the largest `tau` for which it is good enough."""
    return (reward / before if before > 0 else math.inf) + evidence
