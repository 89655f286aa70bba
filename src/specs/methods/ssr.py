"""SSR: speculative parallel scaling reasoning (Chu et al., arXiv 2505.15340).

n tracks run side by side, each as in SpecReason: the draft writes a step, the target rates it with one
token, and a step rated 7 or higher is kept; otherwise the target writes the step, which counts as
rated 9. The tracks vote over their answers; among equally frequent answers the track with the highest
mean rating wins. `fast` 1 ends with the first complete track, `fast` 2 once two complete tracks agree
(the paper's fast modes). All tracks have the same prompt here: the paper's module that gives each
track a strategy of its own is left out.

Model calls a step, over all tracks: n draft samples and one target pass over the steps and their
questions; rejected steps add one target sample each, drawn together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from specs.core.keys import Key
from specs.core.selection import choose_best, rewards
from specs.core.votes import boxed, majority, normal
from specs.methods import Flow
from specs.methods.accept import BY_REWARD
from specs.methods.specreason import KEPT, RATING
from specs.types import (
    Accept,
    Branch,
    Candidate,
    Capability,
    Finish,
    Proposal,
    Propose,
    Role,
    SamplingParams,
    SelectTrace,
    Trace,
)
from specs.types.checks import UNIT, at_least, check_fields


@dataclass(frozen=True, slots=True)
class Track:
    """A trace, the sum of its steps' ratings (each in [0, 1]), and its finish reason; None while it is unfinished."""

    trace: Trace
    rated: float = 0.0
    finish: Finish | None = None

    @property
    def mean_rating(self) -> float:
        return self.rated / len(self.trace.steps)

    def extend(self, step: Candidate, writer: Role, rating: float, finish: Finish | None) -> Track:
        return Track(self.trace.extend(step, writer), self.rated + rating, finish)


@dataclass(frozen=True, slots=True)
class Ssr:
    """SSR: n tracks side by side, each as in SpecReason, vote over their answers.

    Attributes:
        n: number of tracks.
        tau: lowest rating at which a draft step is kept, as a share of the highest rating, 9; 7/9 by default.
        fast: 1 ends the solve with the first complete track, 2 once two complete tracks agree on an answer, 0 waits
            for all tracks.

    Examples:
        ssr:n=4:fast=2
    """

    n: int = 8
    tau: float = KEPT
    fast: Literal[0, 1, 2] = 0
    name = "ssr"
    roles = frozenset({Role.DRAFT, Role.TARGET})
    needs = frozenset({Capability.RATINGS})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), tau=UNIT)

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        tracks = [Track(Trace.start(question, sampling.thinks))] * self.n
        while (live := [k for k, track in enumerate(tracks) if not track.finish]) and not self._agreed(tracks):
            first, *beside = (tracks[k].trace for k in live)
            drafted: Proposal = yield Propose(
                Role.DRAFT, first, 1, frozenset(), sampling, beside=tuple(beside), judge=RATING
            )
            ratings = rewards(drafted.candidates)
            good = tuple(k for k, step in enumerate(drafted.candidates) if BY_REWARD.good_enough(step, 1.0, self.tau))
            bad = [live[k] for k in range(len(live)) if k not in good]
            if good:
                finishes: Sequence[Finish | None] = yield Branch(choose_best(ratings), good)
                for k, finish in zip(good, finishes, strict=True):
                    tracks[live[k]] = tracks[live[k]].extend(drafted.candidates[k], Role.DRAFT, ratings[k], finish)
            else:
                yield Accept(choose_best(ratings), keep=False)
            if bad:
                first, *beside = (tracks[k].trace for k in bad)
                keep = tuple(tracks[live[k]].trace for k in good)
                written: Proposal = yield Propose(
                    Role.TARGET, first, 1, frozenset(), sampling, attempt=1, beside=tuple(beside), keep=keep
                )
                finishes = yield Branch(choose_best([0.0] * len(bad)), tuple(range(len(bad))))
                for k, step, finish in zip(bad, written.candidates, finishes, strict=True):
                    tracks[k] = tracks[k].extend(step, Role.TARGET, 1.0, finish)
        complete = [track for track in tracks if track.finish]
        votes = majority([boxed(track.trace.answer_text) for track in complete])
        ranked = sorted(range(len(complete)), key=lambda k: (-votes[k], -complete[k].mean_rating))
        winner = complete[ranked[0]]
        yield SelectTrace(winner.trace)
        assert winner.finish is not None
        return winner.finish

    def _agreed(self, tracks: Sequence[Track]) -> bool:
        """Whether the complete tracks suffice to end the solve early (`fast`)."""
        complete = [track for track in tracks if track.finish]
        if self.fast < 2:
            return self.fast == 1 and bool(complete)
        answers = [boxed(track.trace.answer_text) for track in complete]
        counts = Counter(normal(answer) for answer in answers if answer is not None)
        return any(count > 1 for count in counts.values())
