"""Sessions of models behind Python classes: one object in one solve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from specs.core.keys import Key
from specs.core.ledger import Query
from specs.core.text import readable
from specs.engines.adapter.calls import Calls
from specs.engines.adapter.interface import EndName, StepText
from specs.engines.adapter.steps import contents, sample_of
from specs.engines.overlap import TokenProposer
from specs.engines.protocol import CandidateGroup, CheckStop, Sample
from specs.errors import EngineError, InputError
from specs.types import Judge, SamplingParams, Trace
from specs.types.checks import Range, shown

ROUNDING = 1e-4
"""How far rounding may put a log-probability above 0, or a reward outside [0, 1]."""
LOG = Range("of at most 0 nats", lambda value: value <= ROUNDING)
UNIT = Range("from 0 to 1", lambda value: -ROUNDING <= value <= 1 + ROUNDING)
SEEDS = 2**31
"""Servers take seeds of 31 bits at least."""


class AdaptedPolicySession:
    """A language model behind a class in one solve: `specs.engines.protocol.PolicySession`."""

    counts = None
    overlap = None

    def __init__(self, model: object, question: str, through_text: bool, check_stop: CheckStop) -> None:
        self.through_text = through_text
        self._model, self._question, self._check_stop = model, question, check_stop

    def sample(
        self,
        traces: Sequence[Trace],
        n: int,
        sampling: SamplingParams,
        keys: Sequence[Key],
        keep: Sequence[Trace] = (),
        proposer: TokenProposer | None = None,
        score_law: SamplingParams | None = None,
        log_probabilities: bool = True,
    ) -> list[Sample]:
        """Draw `n` candidate steps of each trace; a call for each trace.

        `Models.check_needs` rules out a proposer and a `score_law`. Samples never have log-probabilities; the solve
        asks for them (`score`).
        """
        calls = Calls(self._model, "sample", self._check_stop)
        seeds = [key.integer() % SEEDS for key in keys]
        asked = zip(traces, seeds, strict=True)
        answers = calls.answers((*self._before(trace), n, sampling, seed) for trace, seed in asked)
        found: list[Sample] = []
        for answer in answers:
            for idx, given in enumerate(calls.items(answer, n, "candidates")):
                if not isinstance(given, (str, StepText)):
                    raise EngineError(f"{calls.name}: item {idx} is {shown(given)}; return text or a StepText")
                found.append(sample_of(given, sampling.steps))
        return found

    def score(
        self, groups: Sequence[CandidateGroup], sampling: SamplingParams, unread: Sequence[CandidateGroup] = ()
    ) -> list[list[float]]:
        """One entry for each candidate, the log-probability of the whole step; a call for each trace.

        Of unread candidates nothing is known.
        """
        calls = Calls(self._model, "score", self._check_stop)
        asked = [
            (trace, [StepText(readable(one.text), cast(EndName, str(one.end))) for one in candidates])
            for trace, candidates in groups
            if candidates
        ]
        answers = calls.answers((*self._before(trace), steps, sampling) for trace, steps in asked)
        scores = [
            [score]
            for (_, steps), answer in zip(asked, answers, strict=True)
            for score in calls.numbers(answer, len(steps), "log-probabilities", LOG)
        ]
        return scores + [[] for _, candidates in unread for _ in candidates]

    def judge(self, groups: Sequence[CandidateGroup], judge: Judge) -> list[float]:
        raise InputError(f"{type(self._model).__name__} rates no steps")

    def query(self, groups: Sequence[CandidateGroup], judge: Judge) -> Query:
        return []

    def entropies(self, traces: Sequence[Trace], top: int) -> list[float]:
        raise InputError(f"{type(self._model).__name__} gives no entropies of tokens")

    def _before(self, trace: Trace) -> tuple[str, str]:
        return self._question, readable(trace.text)


class AdaptedRewardSession:
    """A reward model behind a class in one solve: `specs.engines.protocol.RewardSession`."""

    counts = None
    overlap = None

    def __init__(self, model: object, question: str, check_stop: CheckStop) -> None:
        self._question, self._calls = question, Calls(model, "rewards", check_stop)

    def score(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> list[float]:
        """Reward in [0, 1] of each trace extended by one candidate, in one call.

        After a blank step the trace still ends with the step before it, whose reward it keeps.
        """
        found: list[float] = []
        asked: dict[int, list[str]] = {}
        for trace, candidates in groups:
            before = trace.steps[-1].reward if trace.steps else None
            for candidate in candidates:
                steps, adds = contents(trace, candidate, delimiter)
                if adds:
                    asked[len(found)] = steps
                found.append(before or 0.0)
        if asked:
            (answer,) = self._calls.answers([(self._question, list(asked.values()))])
            rewards = self._calls.numbers(answer, len(asked), "rewards", UNIT)
            for place, reward in zip(asked, rewards, strict=True):
                found[place] = min(1.0, max(0.0, reward))
        return found

    def query(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> Query:
        return []
