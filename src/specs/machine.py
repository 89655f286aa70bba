"""One solve as a state machine: requests of a method in, engine calls out; the clock and the ledger.

`Solve.machine` yields the engine calls that may run at the same time and the steps to hand out; it
is sent what the calls returned. Whoever runs them (`specs.drive`) decides how.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from numbers import Integral
from typing import Any, cast

from specs.core.keys import Key
from specs.core.ledger import Ask, minimum
from specs.core.selection import first_of_equals
from specs.core.text import readable
from specs.core.votes import boxed
from specs.engine import Ahead, Closed, Group, Guesses, Models, Policy, PolicySession, RewardSession, Sampled
from specs.errors import SpecsError, Stopped
from specs.methods import Method, settings_of
from specs.types import (
    Accept,
    Branch,
    Candidate,
    Chat,
    Decision,
    End,
    Finish,
    Law,
    Proposal,
    Propose,
    Result,
    Role,
    Rollout,
    Seconds,
    Settle,
    StepPolicy,
    StepRecord,
    Trace,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a solve ends at the latest.

    Attributes:
        max_steps: accepted steps, >= 1.
        max_tokens: tokens of the accepted trace, >= 1.
        deadline_s: seconds from the start, and the overtime of the request under way; None for none.
    """

    max_steps: int = 32
    max_tokens: int = 2048
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("max_steps", self.max_steps), ("max_tokens", self.max_tokens)):
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} is a whole number, at least 1, not {value}")
        if self.deadline_s is not None and not self.deadline_s > 0:
            raise ValueError(f"a deadline is a positive number of seconds, not {self.deadline_s}")


@dataclass(frozen=True, slots=True)
class Call:
    """One engine call; `phase` is a field of `Seconds`."""

    phase: str
    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Done:
    phase: str
    value: Any
    start: float
    end: float


Asked = tuple[int, Law, list[Key], tuple[Trace, ...]]
"""What is sampled: candidates a trace, their law, a key a trace (made of writer and trace), traces that are kept."""

Machine = Generator["list[Call] | StepRecord", "list[Done] | None", Result]


@dataclass
class Solve:
    """State of one solve."""

    question: str
    models: Models
    method: Method
    law: Law
    limits: Limits
    seed: int
    cancelled: threading.Event
    chat: Chat
    records: list[StepRecord] = field(default_factory=list)
    sessions: dict[Role, Any] = field(default_factory=dict)
    prompts: dict[Role, tuple[int, ...]] = field(default_factory=dict)
    asks: dict[Role, list[Ask]] = field(default_factory=dict)
    scored: dict[Role, set[int]] = field(default_factory=dict)
    """Numbers of the asks whose answers are known behind every beginning of every path (`ledger.minimum`)."""
    proposals: list[tuple[Proposal, Propose | Rollout]] = field(default_factory=list)
    """Those that are neither accepted nor thrown away yet."""
    begun: list[Future[Any]] = field(default_factory=list)
    """Work on candidates of a step whose sampling has not ended."""
    ahead: _Ahead | None = None
    """The next step, being sampled while this one is verified."""
    paused: float = 0.0
    """Seconds that the caller kept a step before it asked for the next one."""
    overtime: float = 0.0
    """Seconds beyond the deadline that the request at hand may take."""

    def machine(self) -> Machine:
        self.start = time.perf_counter()
        self.first_step: float | None = None
        self.step_start = self.start
        self.spans: list[Done] = []
        trace = Trace(self.question)
        complete: list[Trace] = []
        """Traces of a search that have come to their end."""
        error: str | None = None
        reply: Any = None
        try:
            self._open()
            method = self.method.solve(self.question, self.law, Key.for_method(self.seed, self.prompts))
            while True:
                try:
                    request = method.send(reply)
                except StopIteration as stop:
                    finish = stop.value
                    break
                match request:
                    case Accept():
                        record = self._record(self._take(request.proposal), request.decision, accepted=request.keep)
                        reply = None
                        if record.accepted and record.step is not None:
                            trace = trace.extend(record.step, record.writer)
                            reply = finish_of(trace, self.limits)
                            self.first_step = self.first_step or self._elapsed()
                        yield from self._hand_out(record)
                    case Branch():
                        taken = self._take(None)
                        record = self._record(taken, request.decision, kept=request.kept)
                        grown = {k: self._grown(taken, k) for k in request.kept}
                        trace = grown[cast(int, request.decision.chosen)]
                        if all(len(one.kept or (0,)) == 1 for one in self.records):
                            self.first_step = self.first_step or self._elapsed()
                        reply = tuple(finish_of(one, self.limits) for one in grown.values())
                        pairs = zip(grown.values(), reply, strict=True)
                        complete += [one for one, end in pairs if end in (Finish.ANSWER, Finish.END_OF_TEXT)]
                        yield from self._hand_out(record)
                    case Settle():
                        trace, reply = request.trace, None
                    case Propose() | Rollout():
                        reply = yield from self._propose(request)
        except Stopped as stop:
            finish = stop.reason
            if complete:  # a finished trace is worth more than one that is cut off
                trace = max(complete, key=lambda one: one.steps[-1].reward or 0.0)
        except (SpecsError, MemoryError) as failure:
            finish, error = Finish.ERROR, " ".join(str(failure).split()) or "out of memory"
        finally:
            for future in self.begun:
                future.cancel()
            self._drop_ahead()
        self._settle(trace)
        result = self._result(trace, finish, error)
        self.sessions.clear()  # they refer to this solve: without the circle their memory is free at once
        return result

    def _open(self) -> None:
        roles = self.method.roles
        writers = [m for m in (self.models.draft, self.models.target) if m is not None]
        used = frozenset(m.fingerprint for m in writers if self._role_of(m) in roles)
        for role in roles:
            model = getattr(self.models, role)
            self.prompts[role] = self.models.prompt(role, self.question, self.chat)
            self.asks[role], self.scored[role] = [], set()
            args = (self.prompts[role], self.watch) if role is Role.PRM else (self.prompts[role], used, self.watch)
            self.sessions[role] = model.open(*args)

    def _role_of(self, model: Policy) -> Role:
        return Role.DRAFT if model is self.models.draft else Role.TARGET

    def watch(self) -> None:
        """Raise `Stopped` once the solve is cancelled or out of time."""
        if self.cancelled.is_set():
            raise Stopped(Finish.CANCELLED)
        if self.limits.deadline_s is not None and self._elapsed() >= self.limits.deadline_s + self.overtime:
            raise Stopped(Finish.DEADLINE)

    def _elapsed(self) -> float:
        return time.perf_counter() - self.start - self.paused

    def _propose(self, request: Propose | Rollout) -> Generator[list[Call], Any, Proposal]:
        """Sample and verify by all roles at the same time; engines that can begin with what has closed."""
        self.overtime = request.overtime_s
        self.watch()
        writer, traces = request.writer, request.traces
        law = self._capped(request)
        keys = [self._key(request, k) for k in range(len(traces))]
        session: PolicySession = self.sessions[writer]
        closed = self._verifying_early(request, law)
        guesses: Guesses | None = None
        if request.speculate:
            guesses = self.sessions[Role.DRAFT].guesses(traces, request.n, law, keys, request.speculate)
        if ahead := self._take_ahead((request.n, law, keys, request.keep)):
            call = Call(_writing(writer), lambda: ahead.take(closed))
        else:
            work = partial(session.sample, traces, request.n, law, keys, request.keep, closed, guesses)
            call = Call(_writing(writer), work)
        (done,) = yield [call]
        self.spans.append(done)
        samples: Sequence[Sampled] = done.value
        firsts = first_of_equals([(k // request.n, *sample.token_ids) for k, sample in enumerate(samples)])
        own = "log_q" if writer is Role.DRAFT else "log_p"
        candidates = [
            Candidate(s.token_ids, s.text, _ended(s, law), duplicates_of=first, **{own: s.log_probability})
            for s, first in zip(samples, firsts, strict=True)
        ]
        self.watch()
        guessed = guesses is not None and guesses.begun
        candidates = yield from self._verified(request, candidates, firsts, law, guessed)
        remaining = None if self.limits.deadline_s is None else self.limits.deadline_s - self._elapsed()
        proposal = Proposal(tuple(candidates), remaining)
        self.proposals.append((proposal, request))
        return proposal

    def _verified(
        self,
        request: Propose | Rollout,
        candidates: list[Candidate],
        firsts: Sequence[int | None],
        law: Law,
        guessed: bool,
    ) -> Generator[list[Call], Any, list[Candidate]]:
        """The candidates with the scores of all verifiers, which work at the same time.

        `firsts`: for each candidate the first one of the same trace and tokens before it. It has the same scores.
        """
        distinct = [k for k, first in enumerate(firsts) if first is None]
        whole = [k for k in distinct if candidates[k].end is not End.CUT]

        def grouped(indices: Sequence[int]) -> list[Group]:
            return [
                (trace, [candidates[k] for k in indices if k // request.n == trace_idx])
                for trace_idx, trace in enumerate(request.traces)
            ]

        def scored(indices: Sequence[int], name: str, values: Sequence[float]) -> list[Candidate]:
            value_of: dict[int | None, float] = dict(zip(indices, values, strict=True))
            owners = [k if first is None else first for k, first in enumerate(firsts)]
            return [
                replace(c, **{name: value_of[k]}) if k in value_of else c
                for k, c in zip(owners, candidates, strict=True)
            ]

        def looking(name: str, call: Call) -> Call:
            def run() -> Any:
                values = call.run()
                running.remove(name)
                if running:
                    self._look_ahead(request, scored(asked, name, values))
                return values

            return Call(call.phase, run)

        asked = whole
        calls = self._verifying(request, grouped(asked), law)
        if hopeless := request.hopeless:
            finished = yield [calls["reward"]]
            self.spans += finished
            candidates = scored(whole, "reward", finished[0].value)
            gone = hopeless(tuple(candidates))
            candidates = [replace(c, log_p=-math.inf) if k in gone else c for k, c in enumerate(candidates)]
            asked = [k for k in whole if k not in gone]
            calls = {"log_p": self._verifying(request, grouped(asked), law)["log_p"]}
            self._look_ahead(request, candidates)
        if calls:
            running = list(calls)
            finished = yield [looking(name, call) for name, call in calls.items()]
            self.spans += finished
            for name, done in zip(calls, finished, strict=True):
                candidates = scored(asked, name, done.value)
            self.begun.clear()
        self._note_asks(request, grouped(distinct), grouped(whole), grouped(asked), guessed)
        return candidates

    def _look_ahead(self, request: Propose | Rollout, candidates: Sequence[Candidate]) -> None:
        """Begin the next step behind the candidate that will be chosen, as far as that can be told."""
        if request.lookahead is None:
            return
        idx = request.lookahead(tuple(candidates))
        if idx is None:
            return
        guess = candidates[idx].token_ids
        grown = {c.token_ids: request.trace.extend(c, request.writer) for c in candidates}
        trace = grown.pop(guess)
        # Of candidates that begin as another goes on, the engine would forget something.
        if finish_of(trace, self.limits) or any(_begins(ids, guess) or _begins(guess, ids) for ids in grown):
            return
        following = replace(request, trace=trace, attempt=0)
        law, key = self._capped(following), self._key(following, 0)
        session: PolicySession = self.sessions[request.writer]
        started = session.ahead(trace, list(grown.values()), request.n, law, key)
        if started is not None:
            self.ahead = _Ahead(started, request.writer, (request.n, law, [key], ()))

    def _take_ahead(self, asked: Asked) -> Ahead | None:
        """What has been begun for just this; drops what was begun for something else."""
        begun = self.ahead
        if begun is None or begun.asked != asked:
            self._drop_ahead()
            return None
        self.ahead = None
        return begun.call

    def _drop_ahead(self) -> None:
        if (begun := self.ahead) is not None:
            self.ahead = None
            begun.call.drop()

    def _verifying_early(self, request: Propose | Rollout, law: Law) -> Closed:
        """Has the verifiers start on each candidate as it closes; on the prompt, where that is new to them."""
        judge = request.judge
        target = self.sessions[Role.TARGET] if Role.TARGET in request.verify or judge is not None else None
        prm = self.sessions[Role.PRM] if Role.PRM in request.verify else None
        if target is not None and not self.asks[Role.TARGET]:
            self._note_begun("target_score", target.warm(request.traces[0]))
        if prm is not None and not self.asks[Role.PRM]:
            self._note_begun("prm", prm.warm())
        seen: set[tuple[int, tuple[int, ...]]] = set()

        def closed(trace_idx: int, sample: Sampled) -> None:
            if (trace_idx, sample.token_ids) in seen:
                return
            seen.add((trace_idx, sample.token_ids))
            trace, candidate = request.traces[trace_idx], Candidate(sample.token_ids, sample.text, sample.end)
            if target is not None and request.hopeless is None:
                self._note_begun("target_score", target.begin(trace, candidate, law, judge))
            if prm is not None:
                self._note_begun("prm", prm.begin(trace, candidate, self.law.steps.delimiter))

        return closed

    def _note_begun(self, phase: str, future: Future[Any] | None) -> None:
        """Keep work that has begun: its seconds count, and it ends with the solve."""
        if future is not None:
            start = time.perf_counter()
            self.begun.append(future)
            future.add_done_callback(lambda _: self.spans.append(Done(phase, None, start, time.perf_counter())))

    def _verifying(self, request: Propose | Rollout, groups: Sequence[Group], law: Law) -> dict[str, Call]:
        """The calls that verify candidates, by the field of a candidate that each one fills."""
        calls: dict[str, Call] = {}
        judge = request.judge
        if Role.TARGET in request.verify or judge is not None:
            target: PolicySession = self.sessions[Role.TARGET]
            if judge is None:
                calls["log_p"] = Call("target_score", lambda: target.log_probabilities(groups, law))
            else:
                calls["reward"] = Call("target_score", lambda: target.ratings(groups, judge))
        if Role.PRM in request.verify:
            prm: RewardSession = self.sessions[Role.PRM]
            calls["reward"] = Call("prm", lambda: prm.rewards(groups, self.law.steps.delimiter))
        return calls

    def _key(self, request: Propose | Rollout, k: int) -> Key:
        """Randomness of the candidates of trace `k`."""
        ids = (*self.prompts[request.writer], *request.traces[k].token_ids)
        return Key.from_seed(self.seed).fold(request.writer, ids, request.attempt + k)

    def _capped(self, request: Propose | Rollout) -> Law:
        """The request's law, its steps cut to the tokens that the solve may still write."""
        left = self.limits.max_tokens - max(len(trace.token_ids) for trace in request.traces)
        if isinstance(request, Rollout):
            return replace(request.law, steps=StepPolicy(delimiter=None, max_tokens=left))
        steps = request.law.steps
        return replace(request.law, steps=replace(steps, max_tokens=min(steps.max_tokens, left)))

    def _note_asks(
        self,
        request: Propose | Rollout,
        drawn: Sequence[Group],
        whole: Sequence[Group],
        asked: Sequence[Group],
        guessed: bool,
    ) -> None:
        """What each role was asked, for the ledger: the writer for all that was `drawn`, who verifies about `whole`
        candidates, a target that gives their log-probabilities about those that were `asked` about.
        """
        kept = [(trace.token_ids, ()) for trace in request.keep]
        for role, asks in self.asks.items():
            if role in request.verify:
                self.scored[role].add(len(asks))
            if role is Role.PRM:
                if role in request.verify:
                    asks.append(self.sessions[role].ask(whole, self.law.steps.delimiter))
            elif role is request.writer:
                asks.append([*_paths(drawn), *kept])
            elif role in request.verify:
                asks.append(_paths(asked))
            elif (judge := request.judge) is not None:
                asks.append(self.sessions[role].ask(whole, judge))
            elif guessed:  # the draft has gone on behind the traces; what it guessed is counted apart
                asks.append([(trace.token_ids, [()]) for trace in request.traces])

    def _take(self, proposal: Proposal | None) -> tuple[Proposal, Propose | Rollout]:
        """The open proposal, the last one for None, which is then no longer open."""
        idx = next((k for k, (one, _) in enumerate(self.proposals) if one is proposal), -1)
        return self.proposals.pop(idx)

    def _record(
        self,
        taken: tuple[Proposal, Propose | Rollout],
        decision: Decision,
        accepted: bool = True,
        kept: tuple[int, ...] | None = None,
    ) -> StepRecord:
        proposal, request = taken
        now = time.perf_counter()
        if self.ahead is not None:  # what it goes on with is the next step's
            self.spans.append(self.ahead.span(self.step_start, now))
        phases = ("draft", "target_generate", "target_score", "prm")
        busy = {phase: _union([span for span in self.spans if span.phase == phase]) for phase in phases}
        wall = now - self.step_start
        searching = kept is not None or any(one.kept is not None for one in self.records)
        record = StepRecord(
            step_idx=len(request.trace.steps),
            writer=request.writer,
            candidates=proposal.candidates,
            decision=decision,
            seconds=Seconds(**busy, wall=wall, orchestration=wall - _union(self.spans)),
            accepted=accepted,
            kept=kept,
            parents=self._parents(request.traces, request.n) if searching and request.trace.steps else None,
        )
        self.spans = []
        self.records.append(record)
        return record

    def _parents(self, traces: Sequence[Trace], n: int) -> tuple[int, ...]:
        """Of each candidate, the one of the step before that its trace ends with, over all records of that step."""
        step_idx = len(traces[0].steps) - 1
        drawn = [candidate for record in self.records if record.step_idx == step_idx for candidate in record.candidates]
        before = {id(candidate): k for k, candidate in enumerate(drawn)}
        return tuple(before[id(trace.steps[-1])] for trace in traces for _ in range(n))

    def _grown(self, taken: tuple[Proposal, Propose | Rollout], idx: int) -> Trace:
        """The trace that candidate `idx` continues, with it."""
        proposal, request = taken
        return request.traces[idx // request.n].extend(proposal.candidates[idx], request.writer)

    def _settle(self, trace: Trace) -> None:
        """Make the records of a search those of `trace`: its steps are chosen, what goes beyond it is thrown away."""
        for record_idx, record in enumerate(self.records):
            if record.kept is None:
                continue
            self.first_step = self.first_step or self._elapsed()
            step = trace.steps[record.step_idx] if record.step_idx < len(trace.steps) else None
            chosen = next((k for k, candidate in enumerate(record.candidates) if candidate is step), None)
            if chosen is None:
                self.records[record_idx] = replace(record, accepted=False)
            else:
                self.records[record_idx] = replace(record, decision=replace(record.decision, chosen=chosen))

    def _hand_out(self, record: StepRecord) -> Generator[StepRecord, Any, None]:
        """Give a step to the caller; the time that the caller takes is not the solve's."""
        before = time.perf_counter()
        yield record
        self.step_start = time.perf_counter()
        self.paused += self.step_start - before

    def _result(self, trace: Trace, finish: Finish, error: str | None) -> Result:
        text = readable(trace.text)
        usage = {role: self._usage(role) for role in self.sessions}
        models = {role: getattr(self.models, role) for role in self.sessions}
        return Result(
            answer=boxed(text),
            text=text,
            finish_reason=finish,
            method=self.method.name,
            question=self.question,
            steps=tuple(self.records),
            usage=usage,
            flops=sum(2.0 * models[role].parameters * use.processed for role, use in usage.items()),
            latency_s=self._elapsed(),
            time_to_first_step_s=self.first_step,
            seed=self.seed,
            models={role: model.name for role, model in models.items()},
            prompt_token_ids=dict(self.prompts),
            settings={**settings_of(self.method), **asdict(self.law), **asdict(self.limits)},
            text_scoring=any(getattr(session, "through_text", False) for session in self.sessions.values()),
            raw_scoring=self.models.inexact(self.law),
            error=error,
            chat=self.chat,
        )

    def _usage(self, role: Role) -> Usage:
        session = self.sessions[role]
        written = [record for record in self.records if record.writer is role]
        counts = session.counts
        fewest = minimum(counts.prompt, self.asks[role], self.scored[role])
        return Usage(
            prompt=counts.prompt,
            processed=counts.processed,
            cached=counts.cached,
            generated=sum(len(c.token_ids) for record in written for c in record.candidates),
            discarded=sum(record.discarded for record in written),
            speculated=counts.speculated,
            minimum=None if getattr(session, "through_text", False) else fewest,
        )


def finish_of(trace: Trace, limits: Limits) -> Finish | None:
    """Why a solve ends with a trace of at least one step, if it does."""
    if boxed(trace.text) is not None:
        return Finish.ANSWER
    if trace.steps[-1].end is End.END_OF_TEXT:
        return Finish.END_OF_TEXT
    if trace.steps[-1].end is End.CONTEXT:
        return Finish.CONTEXT
    if len(trace.token_ids) >= limits.max_tokens:
        return Finish.MAX_TOKENS
    if len(trace.steps) >= limits.max_steps:
        return Finish.MAX_STEPS
    return None


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A step that was begun early, and what for."""

    call: Ahead
    writer: Role
    asked: Asked

    def span(self, start: float, end: float) -> Done:
        """What of it lies between two moments."""
        ended = end if self.call.ended is None else self.call.ended
        return Done(_writing(self.writer), None, max(start, self.call.started), min(end, ended))


def _ended(sample: Sampled, law: Law) -> End:
    """How a step that was sampled under `law` ended: an engine stops early where the model's context is full."""
    full = sample.end is End.CAP and len(sample.token_ids) < law.steps.max_tokens
    return End.CONTEXT if full else sample.end


def _writing(writer: Role) -> str:
    """The phase of a writer."""
    return "draft" if writer is Role.DRAFT else "target_generate"


def _begins(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return other[: len(one)] == one


def _paths(groups: Sequence[Group]) -> Ask:
    """Candidates without their last tokens, which nothing follows yet."""
    return [(trace.token_ids, [c.token_ids[:-1] for c in candidates]) for trace, candidates in groups]


def _union(spans: Sequence[Done]) -> float:
    """Seconds covered by at least one span."""
    total, reach = 0.0, float("-inf")
    for span in sorted(spans, key=lambda s: s.start):
        total += max(0.0, span.end - max(span.start, reach))
        reach = max(reach, span.end)
    return total


def timed(call: Call) -> Done:
    start = time.perf_counter()
    value = call.run()
    return Done(call.phase, value, start, time.perf_counter())
