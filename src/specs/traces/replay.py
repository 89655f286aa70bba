"""Decide recorded steps anew, without models: what other options would have made of them.

    replay(result)              every decision again, bit for bit
    replay(result, tau=0.7)     up to the first step that comes out otherwise

The method itself runs; the record answers its proposals, and its uniforms are those of the recorded
seed. So a replay is exact as far as it goes: a solve with these options, the same models and the same
seed takes these very steps. It ends where the method asks for something that was never sampled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from specs.config import Limits
from specs.core.keys import Key
from specs.decoding.limits import finish_of
from specs.errors import InputError
from specs.methods import Method, settings_of
from specs.methods.registry import make, options_of
from specs.types import (
    Accept,
    Branch,
    Candidate,
    Decision,
    End,
    Finish,
    Law,
    Proposal,
    Propose,
    Result,
    Role,
    Settle,
    StepPolicy,
    StepRecord,
)


class Ended(StrEnum):
    """Why a replay went no further."""

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


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded solve under other options.

    Attributes:
        method: as replayed.
        decisions: of the steps that were decided again; one that changed is the last. In a search
            `chosen` is the leader at that step.
        replayed: how many recorded steps a solve with these options takes as they were, in
            [0, recorded]. The solves part at step `replayed`, if they do.
        recorded: steps of the record, those thrown away included.
        ended: why it went no further; only `COMPLETE` says that the whole result would be the same.
    """

    method: Method
    decisions: tuple[Decision, ...]
    replayed: int
    recorded: int
    ended: Ended


def replay(result: Result, **options: Any) -> Replay:
    """Decide a solve's steps again with `options` in place of the recorded ones; None leaves one as it was.

    `n` may only go down: the first candidates are what a smaller `n` would have drawn. A step that was
    thrown away has no lasting choice, so only that it is thrown away again counts there; candidates
    of equal tokens are one.

    Raises:
        InputError: a method or an option that does not exist, or recorded settings that make no sense.
    """
    return _Replaying(result, *_recorded(result, options)).run()


class _Parted(Exception):
    """The replay goes no further."""

    def __init__(self, ended: Ended) -> None:
        self.ended = ended


class _Replaying:
    """A replay under way: the method, and the record that answers it."""

    def __init__(self, result: Result, method: Method, law: Law, limits: Limits) -> None:
        self.result, self.method, self.law, self.limits = result, method, law, limits
        self.decisions: list[Decision] = []
        self.open: list[tuple[Proposal, Propose, StepRecord]] = []
        """Proposals that were answered and not decided yet."""
        self.done = 0
        """Records that came out as they were."""

    def run(self) -> Replay:
        result = self.result
        try:
            prompts = result.prompt_token_ids if result.steps else {Role.TARGET: ()}  # nothing was drawn
            key = Key.for_method(result.seed, prompts, result.draws)
        except ValueError as error:
            raise InputError(str(error)) from None
        flow = self.method.solve(result.question, self.law, key)
        try:
            reply = None
            while True:
                request = flow.send(reply)
                match request:
                    case Propose():
                        reply = self._propose(request)
                    case Accept():
                        reply = self._accept(request)
                    case Branch():
                        reply = self._branch(request)
                    case Settle():
                        reply = None
        except StopIteration as stop:
            same = self.done == len(self.result.steps) and stop.value is self.result.finish_reason
            ended = Ended.COMPLETE if same else Ended.PROPOSAL
        except _Parted as parted:
            flow.close()
            ended = parted.ended
        return Replay(self.method, tuple(self.decisions), self.done, len(self.result.steps), ended)

    def _propose(self, request: Propose) -> Proposal:
        place = self.done + len(self.open)
        if place == len(self.result.steps):
            raise _Parted(Ended.CUT)
        record = self.result.steps[place]
        if missing := self._missing(request, record):
            raise _Parted(missing)
        each = len(record.candidates) // len(request.traces)
        drawn = [c for k, c in enumerate(record.candidates) if k % each < request.n]
        proposal = Proposal(tuple(_verified(candidate, request) for candidate in drawn))
        self.open.append((proposal, request, record))
        return proposal

    def _missing(self, request: Propose, record: StepRecord) -> Ended | None:
        """What the record lacks to answer a request; None if nothing."""
        first = next((c for c in record.candidates if c.end is not End.CUT), record.candidates[0])
        if request.writer is not record.writer:
            return Ended.WRITER
        if len(request.trace.steps) != record.step_idx:
            return Ended.PROPOSAL
        if len(request.traces) > 1:
            own, recorded = settings_of(self.method), self.result.settings["method"]
            if any(own.get(name) != recorded.get(name) for name in ("n", "width")):
                return Ended.TRACES
            if len(request.traces) * request.n != len(record.candidates):
                return Ended.PROPOSAL
        if request.n > len(record.candidates):
            return Ended.MORE_CANDIDATES
        if _rewarded(request) and first.reward is None:
            return Ended.NO_REWARD
        if Role.TARGET in request.verify and first.log_p is None:
            return Ended.NO_LOG_P
        return None

    def _accept(self, accept: Accept) -> Finish | None:
        proposal, request, record = self._take(accept.proposal)
        self.decisions.append(accept.decision)
        if record.kept is not None:
            raise _Parted(Ended.THROWN_AWAY)
        if accept.keep is not record.accepted:
            raise _Parted(Ended.KEPT if accept.keep else Ended.THROWN_AWAY)
        chosen = accept.decision.chosen if accept.keep else None
        step = None if chosen is None else proposal.candidates[chosen]
        if accept.keep and (step and step.token_ids) != (record.step and record.step.token_ids):
            raise _Parted(Ended.CANDIDATE)
        self.done += 1
        return None if step is None else finish_of(request.trace.extend(step, request.writer), self.limits)

    def _branch(self, branch: Branch) -> tuple[Finish | None, ...]:
        proposal, request, record = self._take(None)
        self.decisions.append(branch.decision)
        if branch.kept != record.kept:
            raise _Parted(Ended.CANDIDATE)
        self.done += 1
        traces = [request.traces[k // request.n].extend(proposal.candidates[k], request.writer) for k in branch.kept]
        return tuple(finish_of(trace, self.limits) for trace in traces)

    def _take(self, proposal: Proposal | None) -> tuple[Proposal, Propose, StepRecord]:
        idx = next((k for k, (one, *_) in enumerate(self.open) if one is proposal), -1)
        return self.open.pop(idx)


def _verified(candidate: Candidate, request: Propose) -> Candidate:
    """A candidate with no more than what was asked for: a method must not see what it would not pay for."""
    scored = Role.TARGET in request.verify or request.writer is Role.TARGET
    reward = candidate.reward if _rewarded(request) else None
    return replace(candidate, reward=reward, log_p=candidate.log_p if scored else None)


def _rewarded(request: Propose) -> bool:
    return Role.PRM in request.verify or request.judge is not None


def _recorded(result: Result, options: dict[str, Any]) -> tuple[Method, Law, Limits]:
    """The method, the law and the limits of a record, the method's options overridden."""
    names = options_of(result.method)
    given = {name: value for name, value in options.items() if value is not None}
    settings = result.settings
    own = settings["method"]
    if missing := sorted(names - own.keys() - given.keys()):
        raise InputError(f"settings: no {missing[0]!r}; another version made this record, so give that option")
    recorded = {name: value for name, value in own.items() if name in names}
    for owner, needed in (("sampling", ("temperature", "top_p")), ("limits", ("max_steps", "max_tokens"))):
        if lost := [name for name in needed if name not in settings[owner]]:
            raise InputError(f"settings: no {lost[0]!r}; give a whole trace, as 'specs solve --trace' writes it")
    try:
        make(result.method, **recorded)
        law = Law(**settings["sampling"], steps=StepPolicy(**settings["steps"]))
        limits = Limits(**{**settings["limits"], "deadline_s": None})
    except TypeError as error:
        raise InputError(f"settings: {error}; give a whole trace, as 'specs solve --trace' writes it") from None
    except InputError as error:
        raise InputError(f"settings: {error}") from None
    return make(result.method, **{**recorded, **given}), law, limits
