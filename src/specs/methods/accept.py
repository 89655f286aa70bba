"""The threshold rule: is this step good enough?

    merit = r / r_before + evidence          r, r_before: rewards of the trace with and without the step
    good    where merit >= tau

`r_before` is 1 where the reward of the trace counts, not that of the step alone. `evidence` is
(log p - log q) / beta where the target's opinion counts, else 0. (docs/method.md, step 7)

`specs`, `rsd`, `specreason` and `ssr` ask it; `gsi`, `hard-reject` and `prm-free` have rules of their own.
"""

from __future__ import annotations

import math
from typing import Literal

from specs.core.selection import log_ratio
from specs.types import Candidate, Trace

SwitchOn = Literal["trace", "step", "tilted"]
"""What is compared with `tau`: the reward of the trace, the share of it that the step kept, or that plus evidence."""


def reward_before(trace: Trace, switch_on: SwitchOn) -> float:
    """Reward of the trace that a step continues; 1 where it does not count or there is none."""
    rewards = [step.reward for step in trace.steps if step.reward is not None] if switch_on != "trace" else []
    return rewards[-1] if rewards else 1.0


def evidence(step: Candidate, switch_on: SwitchOn, beta: float) -> float:
    """What the target's opinion of a step counts for, in units of reward."""
    return log_ratio(step) / beta if switch_on == "tilted" else 0.0


def good_enough(step: Candidate, before: float, evidence: float, tau: float) -> bool:
    """Whether the merit of a step is at least `tau`; a step without a reward has none."""
    return step.reward is not None and step.reward >= (tau - evidence) * before


def merit(reward: float, before: float, evidence: float) -> float:
    """The largest `tau` for which a step is good enough."""
    return (reward / before if before > 0 else math.inf) + evidence
