"""SPECS: faster test-time scaling through speculative drafts (Cemri et al., arXiv 2506.15733).

Per step, with draft `q`, target `p`, process reward model `r`, context `c`:

1. The writer samples n candidate steps `y_1 .. y_n`.
2. The PRM scores every extended trace; for draft steps the target gives `log p(y|c)`.
3. Score         s_i = beta r_i + w_s L_i^-a (log p(y_i|c) - log q(y_i|c))       (target steps: beta r_i)
4. Soft verification: candidate i is drawn with probability softmax(s)_i.
5. Switching: if the merit of the chosen step, r / r_before + (w_a / beta) L^-a (log p - log q), is below tau, the
   target writes the step again.

The draw can be known before the target has read all candidates (`specs.core.selection.optimistic`), so it reads one
after the other, and only as many as it must.

`specs` is not the rule that the authors published; that is `specs_released.py`. docs/method.md marks what is the
paper's [paper], the published code's [released] and our own [ours].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from specs.core.selection import RewardAs, as_known, choose_best, choose_soft, log_ratio, optimistic, tilt
from specs.errors import InputError
from specs.methods.accept import AcceptRule, SwitchOn
from specs.methods.speculative import Policy, Step, next_unread
from specs.types import Candidate, Capability, Decision, Propose, Role, Trace
from specs.types.checks import UNIT, at_least, check_fields


@dataclass(frozen=True, slots=True)
class Specs(Policy):
    """SPECS: draft candidates, verified softly by PRM and target; bad steps go to the target.

    The defaults come from a study on the bundled trio (research/records).

    Attributes:
        n: candidates a step.
        beta: inverse temperature of soft verification.
        tau: switching threshold: if the merit of the chosen step is below it, the target takes over (see
            `deferral`). At 0 it never does, unless `accept_weight` is above 0.
        switch_on: the reward in the merit. `trace`: that of the trace, r_t. `step`: the share of it that
            the step kept, r_t / r_(t-1); r estimates P(all steps right), so this estimates
            P(this step right | those before it right), all that another writer can change.
        select_weight: w_s, the weight of the log-ratio in the score.
        accept_weight: w_a, the weight of the log-ratio in the merit of a draft step, in units of 1 / beta.
        length_power: a, from 0 (log-ratio of the whole step) to 1 (its mean over the L tokens).
        verify: which draft candidates the target reads. `drawn`: after the PRM, one by one, those that the draw
            could still fall on; `all`: every one, beside the PRM; `auto`: `all` on a server, else `drawn`. The drawn
            candidate is the same.
        start: writer of the first step; in the paper the target.
        deferral: what happens to a step below `tau`. `next` keeps it, and the target writes the next
            step; `rewrite` throws a draft step away, and the target writes it again.
        select: how a candidate is chosen by the scores s: `soft` draws from softmax(s), `best` takes
            the highest.
        reward_as: what beta multiplies: `raw` is r, `soft-value` is V = log(1 + (e^beta - 1) r) / beta.
        draft_share: None lets the reward decide who writes. A number makes the control: the draft
            writes each step after the first with that probability, whatever the rewards.

    Names:
        specs: Draft candidates, verified softly by PRM and target; bad steps go to the target
        random-switch: Control for SPECS: a coin, not the reward, decides who writes a step

    Examples:
        specs:n=16:tau=0.7
        specs:verify=all
        specs:start=target:switch_on=trace:accept_weight=0:deferral=next
        random-switch:draft_share=0.8

    Model calls a step: draft step = n draft samples, one PRM pass, a target pass for each candidate read (one pass
    with `verify="all"`); target step = n target samples, one PRM pass; a rewritten step is both.
    """

    n: int = 8
    beta: float = 20.0
    tau: float = 0.8
    switch_on: SwitchOn = "step"
    select_weight: float = 1.0
    accept_weight: float = 1.0
    length_power: float = 0.0
    verify: Literal["auto", "all", "drawn"] = "auto"
    start: Literal["target", "draft"] = "draft"
    deferral: Literal["next", "rewrite"] = "rewrite"
    select: Literal["soft", "best"] = "soft"
    reward_as: RewardAs = "raw"
    draft_share: float | None = None

    def __post_init__(self) -> None:
        check_fields(
            self,
            n=at_least(1),
            beta=at_least(0),
            tau=UNIT,
            select_weight=at_least(0),
            accept_weight=at_least(0),
            length_power=UNIT,
            draft_share=UNIT,
        )
        if self.accept_weight and self.beta == 0:
            raise InputError("beta is 0, but accept_weight counts in units of 1 / beta; give accept_weight 0")

    @property
    def name(self) -> str:
        return "specs" if self.draft_share is None else "random-switch"

    @property
    def roles(self) -> frozenset[Role]:
        return frozenset(Role)

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({Capability.LOG_PROBABILITIES} if self.scored else ())

    def first_writer(self) -> Role:
        return Role(self.start)

    @property
    def scored(self) -> bool:
        """Whether the target gives log-probabilities of draft candidates."""
        return self.select_weight > 0 or (self.accept_weight > 0 and self.draft_share is None)

    @property
    def rule(self) -> AcceptRule:
        """When a step is good enough for the draft to write the next one."""
        return AcceptRule(self.switch_on, self.accept_weight, self.beta, self.length_power)

    def propose(self, step: Step) -> Propose:
        request = Propose(step.writer, step.trace, self.n, frozenset({Role.PRM}), step.sampling, step.attempt)
        if step.writer is Role.TARGET:
            return request
        later = self.scored and self.verify != "all"
        verify = frozenset({Role.PRM, Role.TARGET} if self.scored and not later else {Role.PRM})
        expected = partial(self._expected, step)
        at_once = later and self.verify == "auto"
        return replace(request, verify=verify, score_later=later, or_at_once=at_once, lookahead=expected)

    def unread(self, step: Step, candidates: Sequence[Candidate]) -> Sequence[int]:
        if step.writer is Role.TARGET or self.verify == "all" or not self.scored:
            return ()
        return next_unread(step, candidates, partial(self._drawn, step), by_log_p=self.select_weight > 0)

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        decision = self._drawn(step, optimistic(candidates))
        return as_known(decision, candidates) if self.select_weight else decision

    def _drawn(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        scores = [self._score(candidate) for candidate in candidates]
        return choose_soft(scores, step.draw("select")) if self.select == "soft" else choose_best(scores)

    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        """A step without support never stays; one that is not good enough stays unless `deferral` is `rewrite`."""
        if decision.chosen is None:
            return False
        if self.deferral == "next" or self.draft_share is not None:
            return True
        return self._good(step.trace, candidates[decision.chosen])

    def next_writer(self, step: Step, after: Trace) -> Role:
        return self.writer_after(self._good(step.trace, after.steps[-1]), step, after)

    def writer_after(self, good: bool, step: Step, after: Trace) -> Role:
        """Who writes after a step; `good`: whether that step is good enough."""
        if self.draft_share is not None:
            uniform = step.key.fold("switch", after.token_ids).uniform()
            return Role.DRAFT if uniform < self.draft_share else Role.TARGET
        return Role.DRAFT if good or self.deferral == "rewrite" else Role.TARGET

    def _expected(self, step: Step, candidates: tuple[Candidate, ...]) -> int | None:
        """The draft candidate that will be chosen if p = q, for the prefetch; None without rewards."""
        if self.draft_share is not None:
            return None
        decision = self._drawn(step, candidates)
        if decision.chosen is None or not self._good(step.trace, candidates[decision.chosen]):
            return None
        return decision.chosen

    def _score(self, candidate: Candidate) -> float:
        reward = math.nan if candidate.reward is None else candidate.reward
        ratio = self.select_weight * log_ratio(candidate, self.length_power) if self.select_weight else 0.0
        return tilt(reward, self.beta, self.reward_as) + ratio

    def _good(self, trace: Trace, candidate: Candidate) -> bool:
        """Whether a candidate is good enough for the draft to write the next step."""
        return self.rule.good_enough(candidate, self.rule.reward_before(trace), self.tau)
