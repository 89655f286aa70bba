"""The threshold rule: is this step good enough? (docs/method.md, step 6)

    merit = r / r_before + (w_a / beta) L^-a (log p - log q)        a step is good enough if merit >= tau

`r` and `r_before` are the rewards of the trace with and without the step (`r_before` is 1 where the reward of the
whole trace counts), `w_a` is the weight of the log-ratio of a step of `L` tokens, and `a` its length power.

`specs`, `rsd`, `specreason` and `ssr` use this rule; `gsi`, `hard-reject` and `prm-free` have rules of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from specs.core.selection import log_ratio
from specs.types import Candidate, Trace

SwitchOn = Literal["trace", "step"]
"""What a step is rewarded for: the trace's reward, or the share of the reward before it that the step kept."""


@dataclass(frozen=True, slots=True)
class AcceptRule:
    """When a step is good enough.

    Attributes:
        weight: w_a, >= 0.
        beta: > 0 if the weight is.
        length_power: a in [0, 1]; 0 for the log-ratio of the whole step, 1 for its mean over tokens.
    """

    switch_on: SwitchOn = "trace"
    weight: float = 0.0
    beta: float = 1.0
    length_power: float = 0.0

    def reward_before(self, trace: Trace) -> float:
        """Reward of the trace before a step; 1 if it does not count or no step has a reward."""
        if self.switch_on == "step":
            for step in reversed(trace.steps):
                if step.reward is not None:
                    return step.reward
        return 1.0

    def good_enough(self, step: Candidate, before: float, tau: float) -> bool:
        """Whether the merit of a step is at least `tau`; false for a step without a reward."""
        return step.reward is not None and step.reward >= (tau - self._evidence(step)) * before

    def merit(self, step: Candidate, before: float) -> float:
        """The merit of a step that has a reward: the largest `tau` for which it is good enough."""
        assert step.reward is not None
        evidence = self._evidence(step)
        return evidence if evidence == -math.inf else (step.reward / before if before > 0 else math.inf) + evidence

    def _evidence(self, step: Candidate) -> float:
        """What the log-ratio of a step adds to its merit."""
        return self.weight * log_ratio(step, self.length_power) / self.beta if self.weight else 0.0


BY_REWARD = AcceptRule()
"""The reward alone."""
