"""SPECS: faster test-time scaling through speculative drafts (Cemri et al., arXiv 2506.15733).

Per step, with draft `q`, target `p`, process reward model `r`, context `c`:

1. The writer samples n candidate steps `y_1 .. y_n`.
2. The PRM scores every extended trace; for draft steps the target gives `log p(y|c)`, at the
   same time.
3. Tilted score   s_i = beta * r_i + log p(y_i|c) - log q(y_i|c)     (target steps: beta * r_i)
4. Soft verification: candidate i is drawn with probability softmax(s)_i.
5. Switching: if the reward of the chosen trace is at least tau, the draft writes the next step, else the target.

The five steps are the paper's. Ours are the scaling of s, `>=`, `rewrite`, `switch_on` other than `trace`, a first
step by the draft, argmax and the soft value; docs/method.md marks each as [paper] or [ours].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from specs.core.selection import RewardAs, choose_best, choose_soft, hopeless, log_ratio, tilt
from specs.errors import InputError
from specs.methods.accept import SwitchOn, evidence, good_enough, reward_before
from specs.methods.speculative import Policy, Step
from specs.types import Candidate, Decision, Propose, Role, Trace
from specs.types.checks import NOT_NEGATIVE, UNIT, at_least, check_fields


@dataclass(frozen=True, slots=True)
class Specs(Policy):
    """SPECS: draft candidates, verified softly by PRM and target; bad steps go to the target.

    The defaults come from a study on the bundled trio (research/records).

    Attributes:
        n: candidates a step.
        beta: inverse temperature of soft verification.
        tau: switching threshold: if the `switch_on` value of the chosen step is below it, the target takes
            over (see `deferral`). At 0 it never does, unless `switch_on` is `tilted`.
        switch_on: the value that is compared with `tau`. `trace`: the reward of the trace, r_t. `step`:
            the share of it that the step kept, r_t / r_(t-1); r estimates P(all steps right), so this
            estimates P(this step right | those before it right), all that another writer can change.
            `tilted`: that share plus, for a draft step, (log p - log q) / beta, so that the target's
            log-probability counts too; needs beta > 0, and is the same as `step` with score `raw`.
        start: writer of the first step; in the paper the target.
        deferral: what happens to a step below `tau`. `next` keeps it, and the target writes the next
            step; `rewrite` throws a draft step away, and the target writes it again.
        select: how a candidate is chosen by the scores s: `soft` draws from softmax(s), `best` takes
            the highest.
        score: what s is: `tilted` is beta * r + log p - log q, `raw` is beta * r.
        reward_as: what beta multiplies: `raw` is r, `soft-value` is V = log(1 + (e^beta - 1) r) / beta.
        hopeless: margin in nats. Draft candidates whose beta * r is further below the best cannot be
            chosen, and the target does not score them; it then works after the PRM, not beside it.
            Changes the law of the chosen step. None scores all candidates.
        draft_share: None lets the reward decide who writes. A number makes the control: the draft
            writes each step after the first with that probability, whatever the rewards.

    Names:
        specs: Draft candidates, verified softly by PRM and target; bad steps go to the target
        random-switch: Control for SPECS: a coin, not the reward, decides who writes a step

    Examples:
        specs:n=16:tau=0.7
        specs:start=target:switch_on=trace:deferral=next
        random-switch:draft_share=0.8

    Model calls a step: draft step = n draft samples, one target pass, one PRM pass; target
    step = n target samples, one PRM pass; a rewritten step is both.
    """

    n: int = 8
    beta: float = 20.0
    tau: float = 0.8
    switch_on: SwitchOn = "tilted"
    start: Literal["target", "draft"] = "draft"
    deferral: Literal["next", "rewrite"] = "rewrite"
    select: Literal["soft", "best"] = "soft"
    score: Literal["tilted", "raw"] = "tilted"
    reward_as: RewardAs = "raw"
    hopeless: float | None = None
    draft_share: float | None = None

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), beta=at_least(0), tau=UNIT, hopeless=NOT_NEGATIVE, draft_share=UNIT)
        if self.switch_on == "tilted" and self.beta == 0:
            raise InputError("beta is 0, but switch_on 'tilted' divides the log-ratio by beta; give switch_on 'step'")

    @property
    def name(self) -> str:
        return "specs" if self.draft_share is None else "random-switch"

    @property
    def roles(self) -> frozenset[Role]:
        return frozenset(Role)

    def first_writer(self) -> Role:
        return Role(self.start)

    def propose(self, step: Step) -> Propose:
        request = Propose(step.writer, step.trace, self.n, self._verifiers(step.writer), step.sampling, step.attempt)
        if step.writer is Role.TARGET:
            return request
        return replace(request, lookahead=partial(self._expected, step), hopeless=self._hopeless())

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        scores = [self._score(candidate) for candidate in candidates]
        return choose_soft(scores, step.draw("select").uniform()) if self.select == "soft" else choose_best(scores)

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
        decision = self.choose(step, candidates)
        if decision.chosen is None or not self._good(step.trace, candidates[decision.chosen]):
            return None
        return decision.chosen

    def _verifiers(self, writer: Role) -> frozenset[Role]:
        with_ratio = writer is Role.DRAFT and self.score == "tilted"
        return frozenset({Role.PRM, Role.TARGET} if with_ratio else {Role.PRM})

    def _hopeless(self) -> Callable[[tuple[Candidate, ...]], frozenset[int]] | None:
        """Which candidates the target need not score."""
        if self.hopeless is None or self.score == "raw":
            return None
        return partial(hopeless, margin=self.hopeless, beta=self.beta, reward_as=self.reward_as)

    def _score(self, candidate: Candidate) -> float:
        reward = math.nan if candidate.reward is None else candidate.reward
        return tilt(reward, self.beta, self.reward_as) + (log_ratio(candidate) if self.score == "tilted" else 0.0)

    def _good(self, trace: Trace, candidate: Candidate) -> bool:
        """Whether a candidate is good enough for the draft to write the next step."""
        before = reward_before(trace, self.switch_on)
        return good_enough(candidate, before, evidence(candidate, self.switch_on, self.beta), self.tau)
