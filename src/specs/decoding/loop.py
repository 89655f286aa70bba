"""One solve as a state machine: requests of a method in, engine calls out.

`Solve.machine` yields lists of engine calls that may run at the same time, and steps for the caller;
it is sent the results of the calls. `specs.decoding.stream` decides how to run the calls.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from specs.config import SolveConfig
from specs.core.keys import Key
from specs.core.selection import first_of_equals
from specs.core.text import readable
from specs.core.votes import boxed
from specs.decoding.accounting import Ledger
from specs.decoding.clock import Call, Done, SolveClock, now, writing_phase
from specs.decoding.closing import closed, closing_step
from specs.decoding.limits import finish_of, reasons
from specs.decoding.prefetch import Prefetch
from specs.decoding.probing import probed
from specs.decoding.recording import Recording, Taken
from specs.decoding.sampling_plan import SamplingPlan
from specs.decoding.verification import Verification
from specs.engines.overlap import TokenProposer
from specs.engines.protocol import Models, Sample, Stopped
from specs.errors import SpecsError
from specs.types import (
    Accept,
    Branch,
    Candidate,
    Chat,
    Decision,
    End,
    Finish,
    Glimpse,
    Phase,
    Probe,
    Proposal,
    Propose,
    Result,
    Role,
    SamplingParams,
    Score,
    Seconds,
    SelectTrace,
    StepRecord,
    Thinking,
    Trace,
    Usage,
)

Machine = Generator["list[Call] | StepRecord", "list[Done] | None", Result]


@dataclass
class Solve:
    """State of one solve."""

    question: str
    models: Models
    config: SolveConfig
    chat: Chat
    thinking: Thinking | None
    """How the writers mark their thinking; None if the solve does not think."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    sessions: dict[Role, Any] = field(default_factory=dict[Role, Any])
    prompts: dict[Role, tuple[int, ...]] = field(default_factory=dict[Role, tuple[int, ...]])
    overtime: float = 0.0
    """Seconds beyond the deadline that the current request may take."""

    def machine(self) -> Machine:
        config = self.config
        self.clock = SolveClock()
        self.ledger = Ledger(self.sessions)
        self.sampling_plan = SamplingPlan(self.prompts, config.limits, config.seed)
        self.prefetch = Prefetch(self.sessions, self.sampling_plan)
        self.verification = Verification(self.sessions, self.clock, config.sampling.steps.delimiter)
        self.recording = recording = Recording(self.clock)
        trace = Trace.start(self.question, config.sampling.thinks)
        complete: list[tuple[float, Trace]] = []
        """Traces of a search that ended with an answer or end-of-text."""
        error: str | None = None
        reply: Any = None
        try:
            self._open()
            method = config.flow(self.question, Key.for_method(config.seed, self.prompts))
            while True:
                try:
                    request = method.send(reply)
                except StopIteration as stop:
                    finish = stop.value
                    break
                match request:
                    case Accept():
                        record = self._recorded(recording.take(request.proposal), request.decision, request.keep)
                        reply = None
                        if record.accepted and record.step is not None:
                            trace = trace.extend(record.step, record.writer)
                            reply = finish_of(trace, config.limits)
                            self.clock.stands()
                        yield from self._hand_out(record)
                    case Branch():
                        taken, chosen, finished = recording.take(None), request.decision.chosen, request.finished
                        record = self._recorded(taken, request.decision, chosen is not None, request.kept)
                        grown = {k: taken.grown(k) for k in request.kept}
                        if chosen is not None:
                            trace = grown[chosen]
                            if not recording.forks:
                                self.clock.stands()
                        reply = reasons(grown, config.limits, finished)
                        complete += _complete(grown, reply, finished)
                        yield from self._hand_out(record)
                    case Score():
                        reply = yield from self._score(request)
                    case Glimpse():
                        self.check_stop()
                        reply = recording.glimpsed = yield from self.verification.glimpse(request)
                        self.ledger.note_glimpse(request.trace)
                    case Probe():
                        self.check_stop()
                        session = self.sessions[request.writer]
                        reply = recording.probed = yield from probed(
                            request, self.models, session, self.clock, self.ledger
                        )
                    case SelectTrace():
                        trace, reply = request.trace, None
                    case _:
                        reply = yield from self._propose(request)
        except Stopped as stop:
            finish = stop.reason
            if complete:  # prefer a finished trace to the one that was cut off
                trace = max(complete, key=lambda pair: pair[0])[1]
        except (SpecsError, MemoryError) as failure:
            finish, error = Finish.ERROR, " ".join(str(failure).split()) or "out of memory"
        finally:
            self.verification.cancel()
            unfinished = self.clock.close_unfinished(self.prefetch.span)
            self.prefetch.drop()
        recording.finalize(trace)
        result = self._result(trace, finish, error, unfinished)
        self.sessions.clear()  # breaks a reference cycle with this solve, so that their memory is freed at once
        return result

    def _open(self) -> None:
        roles = self.config.method.roles
        used = frozenset(model.fingerprint for role in roles if (model := self.models.writer(role)) is not None)
        for role in roles:
            model = getattr(self.models, role)
            self.prompts[role] = self.models.prompt(role, self.question, self.chat)
            self.ledger.open(role, len(self.prompts[role]))
            args = (
                (self.prompts[role], self.check_stop)
                if role is Role.PRM
                else (self.prompts[role], used, self.check_stop)
            )
            self.sessions[role] = model.open(*args)

    def check_stop(self) -> None:
        """Raise `Stopped` once the solve is cancelled or out of time."""
        if self.cancelled.is_set():
            raise Stopped(Finish.CANCELLED)
        deadline_s = self.config.limits.deadline_s
        if deadline_s is not None and self.clock.elapsed_s() >= deadline_s + self.overtime:
            raise Stopped(Finish.DEADLINE)

    def _propose(self, request: Propose) -> Generator[list[Call], Any, Proposal]:
        """Sample candidates, then verify them by all roles at once."""
        self.overtime = request.overtime_s
        self.check_stop()
        if request.closes:
            return self.recording.proposed(request, Proposal((closing_step(self.thinking),), self._remaining_s()))
        self.models.check_needs(self.config.method, request.needs)
        target = self.models.target
        if request.or_at_once and target is not None and not target.in_process:
            request = request.at_once()
        writer, traces = request.writer, request.traces
        sampling, keys = self.sampling_plan.params(request), self.sampling_plan.keys(request)
        self.verification.prefill(request, self.ledger.is_new)
        proposer: TokenProposer | None = None
        if request.speculate:
            overlap = self.sessions[Role.DRAFT].overlap
            args = (traces, request.n, sampling, keys, request.keep, request.speculate)
            proposer = overlap and overlap.token_proposer(*args)
        if prefetched := self.prefetch.take((request.n, sampling, keys, request.keep)):
            call = Call(writing_phase(writer), prefetched.take)
        else:
            score_law = (request.score_law or sampling.scored) if request.by_token and writer is Role.TARGET else None
            args = (traces, request.n, sampling, keys, request.keep, proposer, score_law, request.needs_own_scores)
            call = Call(writing_phase(writer), partial(self.sessions[writer].sample, *args))
        samples: Sequence[Sample]
        (samples,) = yield from self.clock.run([call])
        firsts = first_of_equals([(k // request.n, *sample.token_ids) for k, sample in enumerate(samples)])
        steps = [_candidate(sample, first, writer, sampling) for sample, first in zip(samples, firsts, strict=True)]
        candidates = [
            closed(traces[idx // request.n], step, self.thinking, self.config.limits) for idx, step in enumerate(steps)
        ]
        self.check_stop()
        look_ahead = partial(self.prefetch.begin, request)
        verified, drawn = yield from self.verification.verify(request, candidates, firsts, sampling, look_ahead)
        guessed = proposer is not None and proposer.used
        self.ledger.note(request, self.config.sampling.steps.delimiter, drawn, guessed)
        return self.recording.proposed(request, Proposal(tuple(verified), self._remaining_s()))

    def _score(self, request: Score) -> Generator[list[Call], Any, Proposal]:
        """Let the target score some candidates of the last proposal; the draft works ahead meanwhile."""
        self.check_stop()
        taken, wanted = self.recording.undecided[-1], request.candidates
        sampling, look_ahead = self.sampling_plan.params(taken.request), partial(self.prefetch.begin, taken.request)
        candidates, groups = yield from self.verification.score(
            taken.request, taken.proposal.candidates, wanted, sampling, look_ahead
        )
        self.ledger.note_scores(groups)
        return self.recording.rescored(Proposal(tuple(candidates), self._remaining_s()))

    def _remaining_s(self) -> float | None:
        deadline_s = self.config.limits.deadline_s
        return None if deadline_s is None else deadline_s - self.clock.elapsed_s()

    def _recorded(
        self, taken: Taken, decision: Decision, accepted: bool = True, kept: tuple[int, ...] | None = None
    ) -> StepRecord:
        return self.recording.record(taken, decision, self.clock.close_step(self.prefetch.span), accepted, kept)

    def _hand_out(self, record: StepRecord) -> Generator[StepRecord, Any, None]:
        """Yield a step to the caller; the time until the caller resumes does not count."""
        before = now()
        yield record
        self.clock.handed_out(before)

    def _result(self, trace: Trace, finish: Finish, error: str | None, unfinished: Seconds) -> Result:
        usage = {role: use for role in self.sessions if (use := self.ledger.usage(role, self.recording.records))}
        models = {role: getattr(self.models, role) for role in self.sessions}
        return Result(
            answer=boxed(readable(trace.answer_text)),
            text=readable(trace.text),
            finish_reason=finish,
            method=self.config.method.name,
            question=self.question,
            steps=tuple(self.recording.records),
            usage=usage,
            flops=_flops({role: model.parameters for role, model in models.items()}, usage),
            latency_s=self.clock.elapsed_s(),
            time_to_first_step_s=self.clock.first_step_s if any(r.accepted for r in self.recording.records) else None,
            seed=self.config.seed,
            models={role: model.name for role, model in models.items()},
            prompt_token_ids=dict(self.prompts),
            settings=self.config.settings,
            text_scoring=any(getattr(session, "through_text", False) for session in self.sessions.values()),
            raw_scoring=self.models.inexact(self.config.sampling),
            error=error,
            chat=self.chat,
            notes=self.models.notes(self.question),
            unfinished=unfinished,
            thinking=readable(trace.thinking_text) if self.thinking is not None else "",
        )


def _flops(parameters: Mapping[Role, int | None], usage: Mapping[Role, Usage]) -> float | None:
    """2 x parameters x processed positions, summed over roles; None if something of that is not known."""
    total = 0.0
    for role, own in parameters.items():
        if own is None or role not in usage:
            return None
        total += 2.0 * own * usage[role].processed
    return total


def _complete(
    grown: Mapping[int, Trace], reasons: Sequence[Finish | None], finished: Mapping[int, float] | None
) -> list[tuple[float, Trace]]:
    """The finished ones of the traces that a branch keeps, with scores: the best is the result of a stopped solve."""
    if finished is not None:
        return [(-math.inf if math.isnan(score) else score, grown[k]) for k, score in finished.items()]
    ended = (Finish.ANSWER, Finish.END_OF_TEXT)
    pairs = zip(grown.values(), reasons, strict=True)
    answered = [trace for trace, reason in pairs if reason in ended and trace.phase is Phase.ANSWER]
    return [(trace.steps[-1].reward or 0.0, trace) for trace in answered]


def _candidate(sample: Sample, first: int | None, writer: Role, sampling: SamplingParams) -> Candidate:
    """The candidate of a sample; `first` is the index of an earlier one with the same tokens."""
    # The engine reports the cap also where the context was full before it.
    full = sample.end is End.CAP and len(sample.token_ids) < sampling.steps.max_tokens
    return Candidate(
        sample.token_ids,
        sample.text,
        End.CONTEXT if full else sample.end,
        log_p=sample.log_probability if writer is Role.TARGET else None,
        log_q=sample.log_probability if writer is Role.DRAFT else None,
        duplicates_of=first,
        log_p_by_token=sample.log_p_by_token,
    )
