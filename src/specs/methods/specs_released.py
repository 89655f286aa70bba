"""The rule that the authors of SPECS published (github.com/mert-cemri/SPECS, `specalign_rejection.py`, commit 285ed8c).

Everything here is [released]: docs/method.md states the rule and says where `specs` departs from it. A round:

1. The target writes the first step; later the one whose turn it is writes n candidates.
2. Draft round: s_i = beta r_i + mean(log p) - mean(log q), the means over the step's tokens, log p at temperature 1.
   Finished candidates go into the pool with s_i. Of the others, those with s_i > `threshold` pass, and one of them is
   drawn with probability softmax(s / temperature). If none passes, the target writes the step again.
3. Target round: finished candidates go into the pool with r_i. Of the others, the one with the highest reward goes
   on, and the draft writes next if that reward is above `switch_back`.
4. The search ends when all candidates of a round are finished. The answer is the best of the pool, in which scores of
   the draft's candidates (up to beta and more) stand beside the target's (up to 1).

Each departure of `gsi` and `specs` from it is an option of its own, so that each can be measured alone.

Not reproduced: duplicates are scored once here; the published code also has the draft score target candidates, and
uses that nowhere; a second end-of-text token counts as unfinished there.

Model calls a round: n draft samples, one target pass, one PRM pass; a rejected one adds n target samples and one PRM
pass. A server in its usual mode scores target candidates in requests of their own (`end_ratio`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from specs.core.selection import as_known, choose_soft, log_ratio, optimistic
from specs.methods.speculative import Finished, Policy, Pool, Step, next_unread
from specs.types import Candidate, Capability, Decision, End, Propose, Role, SamplingParams, Trace
from specs.types.checks import POSITIVE, at_least, check_fields


@dataclass(frozen=True, slots=True)
class SpecsReleased(Policy):
    """SPECS by the rule of its authors' published code, quirks included.

    Attributes:
        n: candidates a round.
        beta: weight of the reward in a draft candidate's score.
        threshold: a draft candidate passes if its score is above it.
        switch_back: the draft writes on after a target step with a reward above it.
        rounds: the last one is written without a delimiter, each candidate to its end.
        start: writer of the first step.
        ratio: `mean`: log p and log q are means over the step's tokens; `sum`: the log-ratio of the whole step.
        ratio_law: log p at `temperature-1`, or under the law of `sampling`, which log q always is.
        end_ratio: `shifted`: behind end-of-text, the mean of log p takes in the token before the step and leaves out
            end-of-text; `exact`: it is over the step's own tokens. Not for `sum`.
        filter: whether candidates must pass the threshold `before` the draw, or the drawn one `after` it.
        softmax_temperature: divides scores in the draw; None for the sampling temperature.
        target_choice: among target candidates the `last` or `first` of the highest reward, or `soft`: one drawn
            from softmax(beta r).
        duplicates: of equal texts only the `first` takes part, or `all`, each with its own weight.
        answer: `best` or `first-n`: the best of the pool, or of its first n; `trace`: no pool, the chosen candidate
            ends the solve when it is finished.
        last_round: `whole` or like every other `step`.
        verify: the target reads `all` draft candidates, or only the finished ones and those that the draw could still
            fall on (`drawn`), as in `specs`. Every decision is the same.

    Examples:
        specs-released:n=16:threshold=5
        specs-released:ratio=sum:ratio_law=sampling
    """

    n: int = 8
    beta: float = 10.0
    threshold: float = 7.0
    switch_back: float = 0.7
    rounds: int = 30
    start: Literal["target", "draft"] = "target"
    ratio: Literal["mean", "sum"] = "mean"
    ratio_law: Literal["temperature-1", "sampling"] = "temperature-1"
    end_ratio: Literal["shifted", "exact"] = "shifted"
    filter: Literal["before", "after"] = "before"
    softmax_temperature: float | None = None
    target_choice: Literal["last", "first", "soft"] = "last"
    duplicates: Literal["first", "all"] = "first"
    answer: Literal["best", "first-n", "trace"] = "best"
    last_round: Literal["whole", "step"] = "whole"
    verify: Literal["all", "drawn"] = "all"
    name = "specs-released"
    whole_solutions = True
    roles = frozenset(Role)

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), beta=at_least(0), rounds=at_least(1), softmax_temperature=POSITIVE)

    @property
    def needs(self) -> frozenset[Capability]:
        tokens = {Capability.TOKEN_LOG_PROBABILITIES} if self.ratio == "mean" else set[Capability]()
        return frozenset({Capability.LOG_PROBABILITIES} | tokens)

    def first_writer(self) -> Role:
        return Role(self.start)

    def next_writer(self, step: Step, after: Trace) -> Role:
        reward = after.steps[-1].reward
        goes_on = step.writer is Role.DRAFT or (reward is not None and reward > self.switch_back)
        return Role.DRAFT if goes_on else Role.TARGET

    def propose(self, step: Step) -> Propose:
        sampling = step.sampling
        if self._is_last(step.trace):
            sampling = replace(sampling, steps=replace(sampling.steps, delimiter=None, pattern=None))
        drafted = step.writer is Role.DRAFT
        later = drafted and self.verify == "drawn"
        request = Propose(
            step.writer,
            step.trace,
            self.n,
            frozenset({Role.PRM, Role.TARGET} if drafted and not later else {Role.PRM}),
            sampling,
            step.attempt,
            score_law=SamplingParams(steps=sampling.steps) if self.ratio_law == "temperature-1" else None,
            by_token=self.ratio == "mean" and (drafted or self.end_ratio == "shifted"),
            score_later=later,
        )
        return replace(request, lookahead=partial(self._expected, step)) if drafted else request

    def unread(self, step: Step, candidates: Sequence[Candidate]) -> Sequence[int]:
        if step.writer is Role.TARGET or self.verify == "all":
            return ()
        finished = [idx for idx, c in enumerate(candidates) if c.log_p is None and self._finished(c)]
        return finished or next_unread(step, candidates, partial(self._chosen, step))

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        return as_known(self._chosen(step, optimistic(candidates)), candidates)

    def _chosen(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        scores = [self.score(step, candidate) for candidate in candidates]
        going_on = self._going_on(candidates)
        if step.writer is Role.DRAFT:
            if self.filter == "before":
                going_on = [idx for idx in going_on if scores[idx] > self.threshold]
            return self._drawn(scores, going_on, self._softmax_temperature(step.sampling), step)
        if self.target_choice == "soft":
            return self._drawn([self.beta * score for score in scores], going_on, 1.0, step)
        finite = [idx for idx in going_on if math.isfinite(scores[idx])]
        if not finite:
            return Decision(tuple(scores), (0.0,) * len(scores), None)
        sign = 1 if self.target_choice == "last" else -1
        best = max(finite, key=lambda idx: (scores[idx], sign * idx))
        return Decision(tuple(scores), tuple(float(idx == best) for idx in range(len(scores))), best)

    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        """Whether the draft's step stays; if all candidates are finished there is nothing to write again."""
        if decision.chosen is None:
            return not self._going_on(candidates)
        return decision.scores[decision.chosen] > self.threshold

    def pool(self) -> Pool | None:
        return None if self.answer == "trace" else _ReleasedPool(self)

    def score(self, step: Step, candidate: Candidate) -> float:
        """Score of a candidate, in the choice and in the pool: its reward, or s for one of the draft's."""
        reward = math.nan if candidate.reward is None else candidate.reward
        return reward if step.writer is Role.TARGET else self.beta * reward + self._ratio(step.trace, candidate)

    def _ratio(self, trace: Trace, candidate: Candidate) -> float:
        """Log-ratio of a draft step in nats: of the whole step, or a token on average; 0 while it is not known."""
        if candidate.log_p is None or candidate.log_q is None or self.ratio == "sum":
            return log_ratio(candidate)
        shifted = self.end_ratio == "shifted" and candidate.end is End.END_OF_TEXT
        read = candidate.log_p_by_token
        if read is None:  # a bound of the sum, and so of the mean, which may have fewer terms, but none above 0
            most = 0.0 if shifted or candidate.log_p == -math.inf else candidate.log_p
            return (most - candidate.log_q) / candidate.length if math.isfinite(candidate.log_q) else -math.inf
        # At temperature 1 the mean leaves out tokens that the target lacks, unless it can read none of the step.
        if -math.inf in read and (self.ratio_law == "sampling" or not any(map(math.isfinite, read))):
            return -math.inf
        if shifted:
            before = (trace.steps[-1].log_p_by_token or ()) if trace.steps else ()
            read = (*before[-1:], *read[:-1])
        finite = [log_p for log_p in read if math.isfinite(log_p)]
        if not finite or not math.isfinite(candidate.log_q):
            return -math.inf
        return math.fsum(finite) / len(finite) - candidate.log_q / candidate.length

    def _going_on(self, candidates: Sequence[Candidate]) -> list[int]:
        """Indices of the candidates that may become the next step."""
        seen: set[str] = set()
        found: list[int] = []
        for idx, candidate in enumerate(candidates):
            finished = self._finished(candidate)
            copy = self.duplicates == "first" and candidate.text in seen
            if not finished and not copy:
                seen.add(candidate.text)
                found.append(idx)
        return found

    def _finished(self, candidate: Candidate) -> bool:
        """Whether a candidate goes into the pool."""
        return self.answer != "trace" and is_finished(candidate)

    def _drawn(self, scores: Sequence[float], among: Sequence[int], temperature: float, step: Step) -> Decision:
        """One of the candidates `among`, from softmax(scores / temperature)."""
        weights = [score / temperature if idx in among else -math.inf for idx, score in enumerate(scores)]
        decision = choose_soft(weights, step.draw("select"))
        # Weights that left some candidates out say nothing about the size of the sample.
        whole = len(among) == len(scores) and temperature == 1
        kept = (decision.ess, decision.chi2) if whole else (None, None)
        return Decision(tuple(scores), decision.probabilities, decision.chosen, *kept)

    def _softmax_temperature(self, sampling: SamplingParams) -> float:
        temperature = sampling.temperature if self.softmax_temperature is None else self.softmax_temperature
        return temperature or 1.0  # at 0 all candidates are equal

    def _is_last(self, trace: Trace) -> bool:
        return self.last_round == "whole" and len(trace.steps) + 1 >= self.rounds

    def _expected(self, step: Step, candidates: tuple[Candidate, ...]) -> int | None:
        """The draft candidate that stays if the target agrees with the draft; None without rewards."""
        if self._is_last(step.trace.extend(candidates[0], step.writer)):
            return None
        decision = self._chosen(step, candidates)
        return decision.chosen if self.accepts(step, candidates, decision) else None


class _ReleasedPool(Pool):
    """Finished candidates with the scores of their rounds, whose scales differ."""

    def __init__(self, policy: SpecsReleased) -> None:
        super().__init__()
        self._policy = policy

    def finished(self, step: Step, candidates: Sequence[Candidate]) -> Mapping[int, float]:
        return {idx: self._policy.score(step, c) for idx, c in enumerate(candidates) if is_finished(c)}

    def best(self) -> Finished:
        among = self.solutions if self._policy.answer == "best" else self.solutions[: self._policy.n]
        return max(among, key=lambda solution: -math.inf if math.isnan(solution.score) else solution.score)


def is_finished(candidate: Candidate) -> bool:
    """Whether nothing can follow a candidate: end-of-text, the length cap, a full context, or no text at all."""
    return candidate.end is not End.DELIMITER or not candidate.text
