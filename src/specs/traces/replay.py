"""Replays a recorded solve: decides its steps again, possibly with other options, without models.

    replay(result)              repeats every decision, bit for bit
    replay(result, tau=0.7)     stops at the first step with another outcome

The method itself runs: the record answers its requests, and its own draws come from the recorded seed. So a replay is
exact as far as it goes: a solve with these options, the same models and the same seed takes exactly these steps. The
replay ends when the method asks for something that was never sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from specs.config import Limits
from specs.core.keys import Key
from specs.decoding.limits import finish_of, reasons
from specs.errors import InputError
from specs.methods import Method, settings_of
from specs.methods.early_exit import EarlyExit, early_exit_of, with_early_exit
from specs.methods.registry import make, options_of
from specs.types import (
    Accept,
    Branch,
    Candidate,
    Decision,
    Finish,
    Glimpse,
    Probe,
    Probed,
    Proposal,
    Propose,
    Result,
    Role,
    SamplingParams,
    Score,
    SelectTrace,
    StepPolicy,
    StepRecord,
    Trace,
)
from specs.types.checks import OptionValue, check_removed


class ReplayEnd(StrEnum):
    """Why a replay ended."""

    COMPLETE = "complete"
    CUT = "complete, but the solve was cut short"
    CANDIDATE = "another candidate"
    THROWN_AWAY = "a kept step is thrown away"
    KEPT = "a step thrown away is kept"
    WRITER = "another writer"
    PROPOSAL = "another proposal"
    TRACES = "other traces side by side"
    MORE_CANDIDATES = "more candidates than recorded"
    NO_REWARD = "rewards not recorded"
    NO_LOG_P = "target's log-probability not recorded"
    NO_ENTROPY = "entropy not recorded"
    NO_PROBE = "trial answer not recorded"


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded solve under other options.

    Attributes:
        method: the replayed method.
        decisions: the repeated decisions; only the last one can differ from the record. In a search `chosen` is
            the leader at that step.
        replayed: number of recorded steps that a solve with these options also takes, in [0, recorded]. If the
            solves diverge, they do so at step `replayed`.
        recorded: number of steps in the record, including rejected ones.
        ended: why the replay ended; the whole result is the same only if it is `COMPLETE`.
    """

    method: Method
    decisions: tuple[Decision, ...]
    replayed: int
    recorded: int
    ended: ReplayEnd


def replay(result: Result, **options: OptionValue) -> Replay:
    """Decide the steps of a solve again; `options` replace the recorded ones, except those that are None.

    `n` may only decrease: a smaller `n` would have sampled the first candidates. The choice in a rejected step has
    no effect, so such a step only has to be rejected again. Candidates with equal tokens count as the same.

    Raises:
        InputError: the method or an option does not exist, or the recorded settings are invalid.
    """
    recorded, method, sampling, limits = _settings_of_record(result, options)
    own = _Replayer(result, recorded, sampling, limits)
    own.run()
    return _Replayer(result, method, sampling, limits, own.requests).run()


class _Diverged(Exception):
    """The replay ends here."""

    def __init__(self, ended: ReplayEnd) -> None:
        self.ended = ended


class _Replayer:
    """Runs a method and answers its requests from a record."""

    def __init__(
        self,
        result: Result,
        method: Method,
        sampling: SamplingParams,
        limits: Limits,
        recorded: Sequence[Propose] = (),
    ) -> None:
        """`recorded`: the proposals that the recorded method asked for, as far as they are known."""
        self.result, self.method, self.sampling, self.limits = result, method, sampling, limits
        self.recorded = recorded
        self.requests: list[Propose] = []
        """The proposals that this method has asked for."""
        self.selected: Trace | None = None
        self.decisions: list[Decision] = []
        self.open: list[tuple[Proposal, Propose, StepRecord]] = []
        """Proposals that the method has received and not yet decided on."""
        self.done = 0
        """Number of records that were reproduced."""

    def run(self) -> Replay:
        result = self.result
        try:
            prompts = result.prompt_token_ids if result.steps else {Role.TARGET: ()}  # nothing was sampled
            key = Key.for_method(result.seed, prompts, result.draws)
        except ValueError as error:
            raise InputError(str(error)) from None
        steps = self.method.solve(result.question, self.sampling, key)
        if (rule := _early_exit_of_record(result)) is not None:
            steps = with_early_exit(steps, rule, self.method, self.sampling)
        try:
            reply = None
            while True:
                request = steps.send(reply)
                match request:
                    case Propose():
                        reply = self._propose(request)
                    case Score():
                        reply = self._score(request)
                    case Glimpse():
                        reply = self._glimpse(request)
                    case Probe():
                        reply = self._probe()
                    case Accept():
                        reply = self._accept(request)
                    case Branch():
                        reply = self._branch(request)
                    case SelectTrace():
                        self.selected, reply = request.trace, None
        except StopIteration as stop:
            same = self.done == len(self.result.steps) and stop.value is self.result.finish_reason
            ended = ReplayEnd.COMPLETE if same else ReplayEnd.PROPOSAL
            text = [token for record in self.result.accepted if record.step for token in record.step.token_ids]
            if same and self.selected is not None and list(self.selected.token_ids) != text:
                ended = ReplayEnd.CANDIDATE
        except _Diverged as diverged:
            steps.close()
            ended = diverged.ended
        return Replay(self.method, tuple(self.decisions), self.done, len(self.result.steps), ended)

    def _propose(self, request: Propose) -> Proposal:
        place, record = self.done + len(self.open), self._next_record()
        was = self.recorded[place] if place < len(self.recorded) else None
        if request.or_at_once and not any(_lacks_log_p(candidate, request) for candidate in record.candidates):
            request = request.at_once()
        if missing := self._missing(request, record, was):
            raise _Diverged(missing)
        self.requests.append(request)
        each = len(record.candidates) // len(request.traces)
        drawn = [c for candidate_idx, c in enumerate(record.candidates) if candidate_idx % each < request.n]
        proposal = Proposal(tuple(_visible_to_method(candidate, request) for candidate in drawn))
        self.open.append((proposal, request, record))
        return proposal

    def _missing(self, request: Propose, record: StepRecord, was: Propose | None) -> ReplayEnd | None:
        """Why the record, of the request `was`, cannot answer a request; None if it can."""
        first = record.candidates[0]
        if request.writer is not record.writer:
            return ReplayEnd.WRITER
        if len(request.trace.steps) != record.step_idx or request.closes is not (first.length == 0):
            return ReplayEnd.PROPOSAL
        if was is not None and (request.sampling.steps, request.whole) != (was.sampling.steps, was.whole):
            return ReplayEnd.PROPOSAL
        if len(request.traces) > 1:
            own, recorded = settings_of(self.method), self.result.settings["method"]
            if any(own.get(name) != recorded.get(name) for name in ("n", "width")):
                return ReplayEnd.TRACES
            if len(request.traces) * request.n != len(record.candidates):
                return ReplayEnd.PROPOSAL
        if request.n > len(record.candidates):
            return ReplayEnd.MORE_CANDIDATES
        if _asks_rewards(request) and first.reward is None:
            return ReplayEnd.NO_REWARD
        if Role.TARGET in request.verify and any(c.log_p is None for c in record.candidates):
            return ReplayEnd.NO_LOG_P
        if request.by_token and not request.score_later and first.log_p_by_token is None:
            return ReplayEnd.NO_LOG_P
        reads = Role.TARGET in request.verify or request.by_token or request.score_later
        if was is not None and reads and _law(request) != _law(was):
            return ReplayEnd.NO_LOG_P
        return None

    def _score(self, score: Score) -> Proposal:
        proposal, request, record = self.open[-1]
        owners = [idx if c.duplicates_of is None else c.duplicates_of for idx, c in enumerate(proposal.candidates)]
        read = {owners[idx] for idx in score.candidates}
        if any(_lacks_log_p(record.candidates[idx], request) for idx in read):
            raise _Diverged(ReplayEnd.NO_LOG_P)
        proposal = Proposal(
            tuple(
                _with_log_p(c, record.candidates[owner], request) if owner in read else c
                for owner, c in zip(owners, proposal.candidates, strict=True)
            )
        )
        self.open[-1] = (proposal, request, record)
        return proposal

    def _glimpse(self, glimpse: Glimpse) -> float:
        entropy = self._next_record().entropy
        if entropy is None:
            raise _Diverged(ReplayEnd.NO_ENTROPY)
        return entropy

    def _probe(self) -> Probed:
        probe = self._next_record().probe
        if probe is None:
            raise _Diverged(ReplayEnd.NO_PROBE)
        return probe

    def _next_record(self) -> StepRecord:
        place = self.done + len(self.open)
        if place == len(self.result.steps):
            raise _Diverged(ReplayEnd.CUT)
        return self.result.steps[place]

    def _accept(self, accept: Accept) -> Finish | None:
        proposal, request, record = self._take(accept.proposal)
        self.decisions.append(accept.decision)
        if record.kept is not None:
            raise _Diverged(ReplayEnd.THROWN_AWAY)
        if accept.keep is not record.accepted:
            raise _Diverged(ReplayEnd.KEPT if accept.keep else ReplayEnd.THROWN_AWAY)
        chosen = accept.decision.chosen if accept.keep else None
        step = None if chosen is None else proposal.candidates[chosen]
        if accept.keep and (step and step.token_ids) != (record.step and record.step.token_ids):
            raise _Diverged(ReplayEnd.CANDIDATE)
        self.done += 1
        return None if step is None else finish_of(request.trace.extend(step, request.writer), self.limits)

    def _branch(self, branch: Branch) -> tuple[Finish | None, ...]:
        proposal, request, record = self._take(None)
        self.decisions.append(branch.decision)
        if branch.kept != record.kept:
            raise _Diverged(ReplayEnd.CANDIDATE)
        self.done += 1
        grown = {
            idx: request.traces[idx // request.n].extend(proposal.candidates[idx], request.writer)
            for idx in branch.kept
        }
        return reasons(grown, self.limits, branch.finished)

    def _take(self, proposal: Proposal | None) -> tuple[Proposal, Propose, StepRecord]:
        idx = next((open_idx for open_idx, (opened, *_) in enumerate(self.open) if opened is proposal), -1)
        return self.open.pop(idx)


def _visible_to_method(candidate: Candidate, request: Propose) -> Candidate:
    """The candidate without values that the request did not ask for, since a live solve would not have them."""
    scored = Role.TARGET in request.verify or request.writer is Role.TARGET
    reward = candidate.reward if _asks_rewards(request) else None
    log_p = candidate.log_p if scored else None
    by_token = candidate.log_p_by_token if request.by_token and scored else None
    bound = candidate.log_p_at_most if request.score_later else None
    return replace(candidate, reward=reward, log_p=log_p, log_p_by_token=by_token, log_p_at_most=bound)


def _lacks_log_p(recorded: Candidate, request: Propose) -> bool:
    return recorded.log_p is None or (request.by_token and recorded.log_p_by_token is None)


def _with_log_p(candidate: Candidate, recorded: Candidate, request: Propose) -> Candidate:
    """The candidate with what the target has read in the record."""
    by_token = recorded.log_p_by_token if request.by_token else None
    return replace(candidate, log_p=recorded.log_p, log_p_by_token=by_token, log_p_at_most=None)


def _law(request: Propose) -> SamplingParams:
    """The law of the target's log-probabilities, whatever the steps."""
    return replace(request.score_law or request.sampling.scored, steps=StepPolicy())


def _asks_rewards(request: Propose) -> bool:
    return Role.PRM in request.verify or request.judge is not None


def _early_exit_of_record(result: Result) -> EarlyExit | None:
    settings = result.settings.get("early_exit")
    try:
        return None if settings is None else early_exit_of(settings)
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"settings: early_exit: {error}; give a whole trace") from None


def _settings_of_record(result: Result, options: dict[str, Any]) -> tuple[Method, Method, SamplingParams, Limits]:
    """The method of a record, the same with `options` in place of its own, and the record's law and limits."""
    names = options_of(result.method)
    given = {name: value for name, value in options.items() if value is not None}
    settings = result.settings
    own = settings["method"]
    check_removed("settings: there is no option", (*own, *settings["steps"]))
    if missing := sorted(names - own.keys() - given.keys()):
        raise InputError(f"settings: no {missing[0]!r}; another version made this record, so give that option")
    recorded = {name: value for name, value in own.items() if name in names}
    for owner, needed in (("sampling", ("temperature", "top_p")), ("limits", ("max_steps", "max_tokens"))):
        if lost := [name for name in needed if name not in settings[owner]]:
            raise InputError(f"settings: no {lost[0]!r}; give a whole trace, as 'specs solve --trace' writes it")
    try:
        method = make(result.method, **recorded)
        thinking = StepPolicy(**settings["thinking"]) if "thinking" in settings else None
        sampling = SamplingParams(**settings["sampling"], steps=StepPolicy(**settings["steps"]), thinking=thinking)
        recorded_limits: dict[str, Any] = {**settings["limits"], "deadline_s": None}
        limits = Limits(**recorded_limits)
    except TypeError as error:
        raise InputError(f"settings: {error}; give a whole trace, as 'specs solve --trace' writes it") from None
    except InputError as error:
        raise InputError(f"settings: {error}") from None
    return method, make(result.method, **{**recorded, **given}), sampling, limits
