"""What methods ask for, and what they are answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from specs.types.enums import Role
from specs.types.sampling import SamplingParams
from specs.types.trace import Candidate, Trace


@dataclass(frozen=True, slots=True)
class Judge:
    """A question to the target about the last step of a trace, answered by one token.

    Attributes:
        instruction: what the user asks after the trace.
        opening: what the answer begins with.
        labels: the answers that count, the worst first; each one more token behind the opening.
    """

    instruction: str
    opening: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Propose:
    """Request: sample `n` candidate steps of `trace` from `writer` and verify each.

    Attributes:
        verify: roles that score the candidates: the target its log-probability, the PRM a reward.
        attempt: 0 for the first proposal at this trace, 1 for its rewrite: fresh randomness.
        beside: further traces of a search, `n` candidates of each at the same time; trace k draws
            as attempt `attempt + k`, so that equal traces differ.
        keep: traces that go on without being asked about: what the writer has of them is not dropped.
        judge: what the target is asked about each candidate; its rating in [0, 1] takes the place
            of the PRM's reward. Not beside scores of the target or of the PRM.
        lookahead: the candidate that, by the scores that are there so far (None where they are not),
            will be accepted and gone on with by the same request; None if none or unknown. While the
            rest is computed, the writer may go on with it; what it writes is what it would write later.
        speculate: tokens that the draft proposes at a time while the target writes; 0 for none.
        hopeless: by their rewards, the candidates that will not be chosen. The target is then asked after
            the PRM, about the others alone; the `log_p` of the hopeless is -inf.
        overtime_s: seconds that the work may go on beyond a deadline.
        whole: candidates are whole solutions, not steps.
    """

    writer: Role
    trace: Trace
    n: int
    verify: frozenset[Role]
    sampling: SamplingParams
    attempt: int = 0
    beside: tuple[Trace, ...] = ()
    keep: tuple[Trace, ...] = ()
    judge: Judge | None = None
    lookahead: Callable[[tuple[Candidate, ...]], int | None] | None = None
    speculate: int = 0
    hopeless: Callable[[tuple[Candidate, ...]], frozenset[int]] | None = None
    overtime_s: float = 0.0
    whole: bool = False

    @property
    def traces(self) -> tuple[Trace, ...]:
        """All traces; candidate i of the proposal continues trace `i // n`."""
        return (self.trace, *self.beside)


@dataclass(frozen=True, slots=True)
class Decision:
    """How one candidate was chosen: all evidence, one entry a candidate.

    Attributes:
        scores: [n] selection scores in nats (of the candidate alone, duplicates apart).
        probabilities: [n] selection probabilities; a duplicate carries its own share.
        chosen: index of the candidate that was drawn; None where no candidate had support.
        ess: effective sample size of the weights, in [1, n]; None where weights play no part.
        chi2: estimated chi-square divergence of the weighted from the sampled law, >= 0.
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
        keep: false where the proposal is recorded and thrown away (a rewritten step).
        proposal: one that was neither accepted nor thrown away yet; None for the last.
    """

    decision: Decision
    keep: bool = True
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Request: candidates `kept` of the last proposal go on as traces side by side.

    Attributes:
        decision: `chosen`, one of `kept`, leads for now.
        kept: indices of different candidates, at least one.
    """

    decision: Decision
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SelectTrace:
    """Request: a search is over and `trace`, grown by its branches, is the result."""

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
