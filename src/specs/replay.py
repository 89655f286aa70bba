"""Decide recorded steps anew, without models: what other options would have made of them.

    replay(result)              every decision again, bit for bit
    replay(result, tau=0.7)     up to the first step that comes out otherwise

The method itself runs; the record answers its proposals, and its uniforms are those of the recorded
seed. So a replay is exact as far as it goes: a solve with these options, the same models and the same
seed takes these very steps. It ends where the method asks for something that was never sampled.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, cast

from specs.core.keys import Key
from specs.errors import InputError
from specs.methods import Method
from specs.methods.registry import make
from specs.types import (
    Accept,
    Candidate,
    Decision,
    Finish,
    Law,
    Proposal,
    Propose,
    Result,
    Role,
    Rollout,
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
    MORE_CANDIDATES = "more candidates than recorded"
    NO_REWARD = "rewards not recorded"
    NO_LOG_P = "target's log-probability not recorded"


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded solve under other options.

    Attributes:
        method: as replayed.
        decisions: of the steps that were decided again; one that changed is the last.
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
    method, law = _recorded(result, options)
    flow = method.solve(result.question, law, Key.from_seed(result.seed))
    decisions: list[Decision] = []
    done, reply = 0, None
    prefix: tuple[int, ...] = ()

    def parted(ended: Ended) -> Replay:
        flow.close()
        return Replay(method, tuple(decisions), done, len(result.steps), ended)

    while True:
        try:
            request = flow.send(reply)
        except StopIteration as stop:
            same = done == len(result.steps) and stop.value is result.finish_reason
            return parted(Ended.COMPLETE if same else Ended.PROPOSAL)
        if done == len(result.steps):
            return parted(Ended.CUT)
        record = result.steps[done]
        match request:
            case Propose() | Rollout():
                if missing := _missing(request, record, prefix):
                    return parted(missing)
                reply = Proposal(tuple(_verified(c, request) for c in record.candidates[: request.n]))
            case Accept():
                decisions.append(request.decision)
                if changed := _changed(request, record):
                    return parted(changed)
                done += 1
                if record.accepted and record.step is not None:
                    prefix += record.step.token_ids
                reply = result.finish_reason if done == len(result.steps) and _by_itself(result) else None


def _by_itself(result: Result) -> bool:
    """Whether the last accepted step ended the solve."""
    return result.finish_reason in (Finish.ANSWER, Finish.END_OF_TEXT, Finish.MAX_STEPS, Finish.MAX_TOKENS)


def _missing(request: Propose | Rollout, record: StepRecord, prefix: tuple[int, ...]) -> Ended | None:
    """What the record lacks to answer a request; None if nothing."""
    first = record.candidates[0]
    if request.writer is not record.writer:
        return Ended.WRITER
    if request.trace.token_ids != prefix:
        return Ended.PROPOSAL
    if request.n > len(record.candidates):
        return Ended.MORE_CANDIDATES
    if Role.PRM in request.verify and first.reward is None:
        return Ended.NO_REWARD
    if Role.TARGET in request.verify and first.log_p is None:
        return Ended.NO_LOG_P
    return None


def _verified(candidate: Candidate, request: Propose | Rollout) -> Candidate:
    """A candidate with no more than what was asked for: a method must not see what it would not pay for."""
    rewarded = Role.PRM in request.verify
    scored = Role.TARGET in request.verify or request.writer is Role.TARGET
    return replace(candidate, reward=candidate.reward if rewarded else None, log_p=candidate.log_p if scored else None)


def _changed(accept: Accept, record: StepRecord) -> Ended | None:
    """How a decision departs from the recorded one; None if the solve goes on as it did."""
    if accept.keep is not record.accepted:
        return Ended.KEPT if accept.keep else Ended.THROWN_AWAY
    if not accept.keep:
        return None
    chosen = accept.decision.chosen
    step = None if chosen is None else record.candidates[chosen].token_ids
    return None if step == (record.step and record.step.token_ids) else Ended.CANDIDATE


def _recorded(result: Result, options: dict[str, Any]) -> tuple[Method, Law]:
    """The method and the law of a record, the method's options overridden."""
    usual = make(result.method)
    given = {name: value for name, value in options.items() if value is not None}
    names = [option.name for option in fields(cast(Any, usual))]
    if missing := [name for name in names if name not in result.settings and name not in given]:
        raise InputError(f"settings: no {missing[0]!r}; another version made this record, so give that option")
    settings = {name: result.settings[name] for name in names if name in result.settings}
    for name, value in settings.items():
        if not _fits(value, getattr(usual, name)):
            raise InputError(f"settings: {name!r} is {value!r}, which no {result.method} has")
    try:
        recorded = result.settings
        law = Law(recorded["temperature"], recorded["top_p"], StepPolicy(**recorded["steps"]))
    except KeyError as error:
        raise InputError(f"settings: no {error}; give a whole trace, as 'specs solve --trace' writes it") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"settings: {error}") from None
    return make(result.method, **{**settings, **given}), law


def _fits(value: Any, default: Any) -> bool:
    """Whether a value read from a file is of an option's kind."""
    if default is None and value is None:
        return True
    kinds = (str,) if isinstance(default, str) else (int,) if isinstance(default, int) else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool)
