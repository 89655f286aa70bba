"""The requests of methods, and the replies to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from specs.types.enums import Capability, End, Role
from specs.types.sampling import SamplingParams, StepPolicy
from specs.types.trace import Candidate, Trace


@dataclass(frozen=True, slots=True)
class Judge:
    """A question to the target about the last step of a trace, answered by one token.

    Attributes:
        instruction: the question, as a turn of the user after the trace.
        opening: the beginning of the answer, which is given.
        labels: the possible answers, the worst first; each is one token after the opening.
        thought: for a trace that is inside the thinking: the text before `opening`. The answer then lies in a thinking
            block of its own, which begins with this text.
    """

    instruction: str
    opening: str
    labels: tuple[str, ...]
    thought: str = ""


@dataclass(frozen=True, slots=True)
class Propose:
    """Request: sample `n` candidate steps of `trace` from `writer` and verify each.

    Attributes:
        verify: roles that score the candidates: the target gives log-probabilities, the PRM rewards.
        attempt: 0 for the first proposal at this trace, 1 for its rewrite, which draws with other uniforms.
        beside: further traces of a search; `n` candidates of each are sampled at the same time. Trace k
            (`trace` is trace 0) draws as attempt `attempt + k`, so that equal traces get different candidates.
        keep: other traces of a search that this request does not extend; the writer keeps their caches, and so does
            a draft that proposes tokens (`speculate`).
        score_later: whether `Score` may follow, so that the target should compute the prompt now.
        or_at_once: with `score_later`: a target for which one request for all candidates is faster than one for each
            (on a server) scores them now, as if it were in `verify`.
        score_law: distribution under which the target computes log-probabilities; None for `sampling.scored`.
        by_token: whether candidates also get the log-probability of each token (`Candidate.log_p_by_token`).
        judge: a question to the target about each candidate; the rating in [0, 1] is the candidate's
            reward. Not together with `verify`.
        lookahead: called with the candidates and the scores known so far (unknown ones are None). Returns the
            index of the candidate that will be accepted and continued by the same request, or None if that
            is unknown. The writer may then prefetch the next step, which is the step that it would write later.
        speculate: tokens that the draft proposes at a time while the target writes; 0 for none.
        overtime_s: seconds that the work may take beyond a deadline.
        whole: whether candidates are whole solutions instead of steps.
        closes: whether the only candidate is the text that closes the thinking, of which nothing is sampled.
    """

    writer: Role
    trace: Trace
    n: int
    verify: frozenset[Role]
    sampling: SamplingParams
    attempt: int = 0
    beside: tuple[Trace, ...] = ()
    keep: tuple[Trace, ...] = ()
    score_later: bool = False
    or_at_once: bool = False
    score_law: SamplingParams | None = None
    by_token: bool = False
    judge: Judge | None = None
    lookahead: Callable[[tuple[Candidate, ...]], int | None] | None = None
    speculate: int = 0
    overtime_s: float = 0.0
    whole: bool = False
    closes: bool = False

    @property
    def traces(self) -> tuple[Trace, ...]:
        """All traces; candidate i of the proposal continues trace `i // n`."""
        return (self.trace, *self.beside)

    @property
    def needs_own_scores(self) -> bool:
        """Whether the candidates need their writer's log-probabilities: to be compared with those of the target."""
        compared = self.writer is Role.DRAFT and Capability.LOG_PROBABILITIES in self.needs
        return compared or self.by_token

    @property
    def needs(self) -> frozenset[Capability]:
        """What the request asks of the writers besides samples."""
        asked = {
            Capability.LOG_PROBABILITIES: Role.TARGET in self.verify or self.score_later,
            Capability.TOKEN_LOG_PROBABILITIES: self.by_token,
            Capability.RATINGS: self.judge is not None,
            Capability.TOKEN_SPECULATION: self.speculate > 0,
        }
        return frozenset(capability for capability, needed in asked.items() if needed)

    def at_once(self) -> Propose:
        """The same request, but the target scores all candidates now."""
        return replace(self, verify=self.verify | {Role.TARGET}, score_later=False, or_at_once=False)


@dataclass(frozen=True, slots=True)
class Score:
    """Request: the target scores some candidates of the last proposal; answered by the `Proposal` with their `log_p`.

    Attributes:
        candidates: their indices, at least one.
    """

    candidates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Request: how uncertain the draft is of the first token of a trace's next step; answered by the entropy in nats.

    The distribution is the draft's own, at temperature 1 and without `top_p` or other filters, cut to its `top` most
    likely tokens and scaled to 1. The record of the step that follows holds the entropy.

    Attributes:
        top: the number of tokens, at least 1.
    """

    trace: Trace
    top: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Request: a trial answer in the middle of the thinking; answered by a `Probed`.

    The trace is continued by a fixed text and then by the writer's most likely tokens. None of this becomes part of the
    trace. The record of the step that follows holds the reply.

    Attributes:
        opening: the fixed text.
        steps: where the trial answer ends.
        keep: other traces of a search; the writer keeps their caches.
    """

    writer: Role
    trace: Trace
    opening: str
    steps: StepPolicy
    keep: tuple[Trace, ...] = ()


@dataclass(frozen=True, slots=True)
class Probed:
    """Reply to `Probe`: the trial answer; it has no tokens if the writer's context has no room for it.

    Attributes:
        token_ids: the sampled tokens, without those of the opening.
        text: their text.
        end: how the trial answer ended.
        log_p: the writer's log-probability of each token in nats, at temperature 1 and without filters.
    """

    token_ids: tuple[int, ...] = ()
    text: str = ""
    end: End = End.CONTEXT
    log_p: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Which candidate was chosen, and by which scores.

    Attributes:
        scores: [n] what the candidates were chosen by: in SPECS their scores in nats, in other methods for example
            rewards or shares of votes. A duplicate has its own entry. nan if the target has not read a candidate whose
            score needs it.
        probabilities: [n] selection probabilities; a duplicate has its own share. nan if a score is not known.
        chosen: index of the chosen candidate; None if no candidate had support.
        ess: effective sample size of the weights, in [1, n]; None if no candidate was drawn by weights.
        chi2: `n / ess - 1`, which estimates the chi-square divergence of the weighted from the sampled law, >= 0; None
            like `ess`.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    chosen: int | None
    ess: float | None = None
    chi2: float | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """Request: candidate `decision.chosen` of a proposal becomes a step of the trace.

    Attributes:
        keep: false to record the proposal and throw it away (before a rewrite).
        proposal: a proposal that was neither accepted nor thrown away yet; None for the last one.
    """

    decision: Decision
    keep: bool = True
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Request: candidates `kept` of the last proposal become traces side by side.

    Attributes:
        decision: its `chosen` is the leading candidate for now, one of `kept`; None where the trace so far still leads.
        kept: indices of different candidates, at least one.
        finished: those of `kept` that are finished solutions, with the scores by which the best one is the result if
            the solve is stopped. The others may continue after an answer. None if an answer or end-of-text finishes a
            trace, and its last reward is its score.
    """

    decision: Decision
    kept: tuple[int, ...]
    finished: Mapping[int, float] | None = None


@dataclass(frozen=True, slots=True)
class SelectTrace:
    """Request: the search is over, and `trace`, one of those that its `Branch` requests made, is the result."""

    trace: Trace


@dataclass(frozen=True, slots=True)
class Proposal:
    """Reply to `Propose`.

    Attributes:
        candidates: the `n` candidates of each trace in sampling order, duplicates included.
        remaining_s: seconds until the deadline; None without one.
    """

    candidates: tuple[Candidate, ...]
    remaining_s: float | None = None
