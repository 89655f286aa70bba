"""SPECS: faster test-time scaling through speculative drafts (Cemri et al., arXiv 2506.15733).

Per step, with draft `q`, target `p`, process reward model `r`, context `c`:

1. The writer samples n candidate steps `y_1 .. y_n`.
2. The PRM scores every extended trace; for draft steps the target gives `log p(y|c)`, at the
   same time.
3. Tilted score   s_i = beta * r_i + log p(y_i|c) - log q(y_i|c)     (target steps: beta * r_i)
4. Soft verification: candidate i is drawn with probability softmax(s)_i.
5. Switching: reward of the chosen trace >= tau -> the draft writes the next step, else the target.

[paper] for the steps, [ours] for the scaling of s, `>=`, `rewrite`, `switch_on` other than `trace`, a first
step by the draft, argmax and the soft value: docs/method.md marks each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from specs.core.keys import Key
from specs.core.selection import RewardAs, choose_best, choose_soft, hopeless, log_ratio, tilt
from specs.methods import Flow, check_n
from specs.types import Accept, Candidate, Decision, Finish, Law, Propose, Role, Trace

SwitchOn = Literal["trace", "step", "tilted"]


@dataclass(frozen=True, slots=True)
class Specs:
    """Configuration of SPECS. The defaults come from a study on the bundled trio (research/records).

    Attributes:
        n: candidates a step, >= 1.
        beta: inverse temperature of soft verification, >= 0.
        tau: switching threshold in [0, 1]; at 0 the draft always writes, unless the target's opinion counts too.
        switch_on: what `tau` is held against. `trace`: the reward of the trace, r_t. `step`: that of
            the step alone, r_t / r_(t-1): r estimates P(all steps right), so the quotient estimates
            P(this step right | those before it), which is all that another writer can change.
            `tilted`: that, plus (log p - log q) / beta of a draft step, as in its score; what the
            target makes of a step counts too. Needs beta > 0; with score `raw` it is `step`.
        start: writer of the first step; the paper's is the target.
        deferral: what falling below tau does: `next` keeps the step and the target writes the
            next one; `rewrite` throws a draft step away and the target writes it again.
        select: `soft` draws from softmax(s), `best` takes the highest score.
        score: `tilted` as above, `raw` leaves the log-ratio out.
        reward_as: `raw`, or `soft-value`: V = log(1 + (e^beta - 1) r) / beta in place of r.
        hopeless: None, or nats >= 0: draft candidates whose beta * r lies further below the best are not scored
            by the target, which is asked after the PRM then, and cannot be chosen. Changes the law.
        draft_share: None switches by reward; a number in [0, 1] is the control that lets the
            draft write each later step with that probability, whatever the rewards.

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
        check_n(self.n)
        if not 0 <= self.beta < math.inf:
            raise ValueError(f"beta is an inverse temperature, at least 0 and finite, not {self.beta}")
        if self.switch_on == "tilted" and self.beta == 0:
            raise ValueError("switch_on 'tilted' divides the log-ratio by beta, which is 0; use 'step'")
        if self.hopeless is not None and not self.hopeless >= 0:
            raise ValueError(f"hopeless is a number of nats, at least 0, not {self.hopeless}")
        if self.draft_share is not None and not 0 <= self.draft_share <= 1:
            raise ValueError(f"draft_share lies in [0, 1], not {self.draft_share}")

    @property
    def name(self) -> str:
        return "specs" if self.draft_share is None else "random-switch"

    @property
    def roles(self) -> frozenset[Role]:
        return frozenset(Role)

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        trace, writer = Trace(question), Role(self.start)
        while True:
            select = key.fold("select", trace.token_ids)
            proposal = yield self._request(writer, trace, law, select)
            decision = self._choose(proposal.candidates, select)
            if writer is Role.DRAFT and self._rejected(trace, proposal.candidates, decision):
                yield Accept(decision, keep=False)
                writer, select = Role.TARGET, key.fold("select", trace.token_ids, attempt=1)
                proposal = yield self._request(writer, trace, law, select, attempt=1)
                decision = self._choose(proposal.candidates, select)
            if decision.chosen is None:
                yield Accept(decision, keep=False)
                return Finish.NO_SUPPORT
            if finish := (yield Accept(decision)):
                return finish
            step = proposal.candidates[decision.chosen]
            good = self._good(trace, step)
            trace = trace.extend(step, writer)
            writer = self._next_writer(good, key.fold("switch", trace.token_ids))

    def _request(self, writer: Role, trace: Trace, law: Law, select: Key, attempt: int = 0) -> Propose:
        request = Propose(writer, trace, self.n, self._verifiers(writer), law, attempt)
        if writer is Role.TARGET:
            return request
        return replace(request, lookahead=partial(self._expected, trace, select), hopeless=self._hopeless())

    def _expected(self, trace: Trace, select: Key, candidates: tuple[Candidate, ...]) -> int | None:
        """The draft candidate that is chosen if the target agrees with the draft; none without rewards."""
        if self.draft_share is not None:
            return None
        decision = self._choose(candidates, select)
        if decision.chosen is None or not self._good(trace, candidates[decision.chosen]):
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

    def _choose(self, candidates: tuple[Candidate, ...], key: Key) -> Decision:
        scores = [self._score(candidate) for candidate in candidates]
        return choose_soft(scores, key.uniform()) if self.select == "soft" else choose_best(scores)

    def _score(self, candidate: Candidate) -> float:
        reward = math.nan if candidate.reward is None else candidate.reward
        return tilt(reward, self.beta, self.reward_as) + (log_ratio(candidate) if self.score == "tilted" else 0.0)

    def _good(self, trace: Trace, step: Candidate) -> bool:
        """Whether the step keeps the draft writing."""
        rewards = [one.reward for one in trace.steps if one.reward is not None] if self.switch_on != "trace" else []
        before = rewards[-1] if rewards else 1.0
        evidence = log_ratio(step) / self.beta if self.switch_on == "tilted" else 0.0
        return step.reward is not None and step.reward >= (self.tau - evidence) * before

    def _rejected(self, trace: Trace, candidates: tuple[Candidate, ...], decision: Decision) -> bool:
        """Whether a draft step is written again: no support, or not good enough under `rewrite`."""
        if decision.chosen is None:
            return True
        if self.deferral == "next" or self.draft_share is not None:
            return False
        return not self._good(trace, candidates[decision.chosen])

    def _next_writer(self, good: bool, key: Key) -> Role:
        if self.draft_share is not None:
            return Role.DRAFT if key.uniform() < self.draft_share else Role.TARGET
        return Role.DRAFT if good or self.deferral == "rewrite" else Role.TARGET
