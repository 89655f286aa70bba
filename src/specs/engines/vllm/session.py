"""Sessions on servers: a model's view of one solve, asked over HTTP.

A server keeps no session: every request carries the whole sequence, and what the server still has of
it in its cache it does not compute again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from specs.core.keys import Key
from specs.core.ledger import Ask, Ids
from specs.engines.arrays import Floats
from specs.engines.inputs import Reader, RewardReader, fitting
from specs.engines.protocol import Closed, Counts, Group, Guesses, Sample, Stopped, Watch, unheard
from specs.engines.steps import Stepper
from specs.engines.text import Text, known
from specs.engines.vllm.client import begin, joined, together, wait
from specs.engines.vllm.replicas import Replicas
from specs.engines.vllm.server import Server, Tally
from specs.errors import EngineError
from specs.rewards.formats import Family
from specs.types import ALONE, Candidate, Chat, Finish, Judge, Law, Trace

FORBIDDEN = -100.0
"""The lowest logit bias that a server accepts; with it, a token has practically no probability."""
MOST_BIASES = 1024
"""The most tokens that a request to a server with model runner V2 can bias."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True)
class RemotePolicy:
    """A language model on a server.

    Attributes:
        raw: whether the log-probabilities that this role needs are at temperature 1 rather than of the law.
        system: system prompt that the model writes, and is scored, under; None for none.
        parameters: 0: a server does not say.
    """

    replicas: Replicas
    text: Text
    raw: bool
    system: str | None = None
    parameters: int = 0

    @property
    def by_token(self) -> bool:
        return False

    @property
    def name(self) -> str:
        return self.replicas.name

    @property
    def fingerprint(self) -> str:
        return self.text.fingerprint

    def prompt(self, question: str, chat: Chat = ALONE) -> tuple[int, ...]:
        facts = self.replicas.facts
        ids = self.text.prompt(question, self.system, chat=chat)
        return fitting(ids, self.name, facts.context, facts.vocabulary)

    def open(self, prompt_ids: tuple[int, ...], fingerprints: frozenset[str], watch: Watch) -> RemotePolicySession:
        return RemotePolicySession(self.replicas, self.text, prompt_ids, fingerprints, watch)


class RemotePolicySession(Reader):
    """A language model on a server in one solve: `specs.engines.protocol.PolicySession`."""

    def __init__(
        self,
        replicas: Replicas,
        text: Text,
        prompt_ids: tuple[int, ...],
        fingerprints: frozenset[str],
        watch: Watch,
    ) -> None:
        """`watch` is called while a request is under way; for the rest see `Reader`."""
        super().__init__(text, prompt_ids, fingerprints)
        self._name, self._server, self._watch = replicas.name, replicas.next(), watch
        self._facts = replicas.facts
        padding = self._facts.padding(text.size)
        self._bias = {str(token): FORBIDDEN for token in padding} if len(padding) <= MOST_BIASES else {}
        self.counts = Counts(prompt=len(prompt_ids))
        self._requests = Requests(self.counts, watch)

    def sample(
        self,
        traces: Sequence[Trace],
        n: int,
        law: Law,
        keys: Sequence[Key],
        keep: Sequence[Trace] = (),
        closed: Closed = unheard,
        guesses: Guesses | None = None,
    ) -> list[Sample]:
        """Draw `n` candidate steps of each trace, trace by trace, each with a seed of its own.

        A server keeps what it has room for, whatever `keep` says. There are no guesses and no cuts (`Models.require`).
        """
        work = (
            self._sample(self.ids(trace), n, law, key, partial(closed, trace_idx))
            for trace_idx, (trace, key) in enumerate(zip(traces, keys, strict=True))
        )
        return [sample for samples in wait(together(work), self._watch) for sample in samples]

    async def _sample(self, ids: Ids, n: int, law: Law, key: Key, closed: Callable[[Sample], None]) -> list[Sample]:
        known(ids, self._name, self._facts.vocabulary)
        # Scoring asks for one token more than it scores.
        cap = min(law.steps.max_tokens, self._facts.context - len(ids) - 1)
        if cap < 1:
            raise Stopped(Finish.CONTEXT)

        async def step(k: int) -> Sample:
            sample = await self._step(ids, law, cap, key, k)
            closed(sample)
            return sample

        if law.temperature == 0:  # all would be equal
            return [await step(0)] * n
        return await together(step(k) for k in range(n))

    async def _step(self, ids: Ids, law: Law, cap: int, key: Key, k: int) -> Sample:
        """Candidate `k`: cut where the step ends, gone on with where the server stopped too early.

        A server stops at any delimiter, a step ends at the first one after text.
        """
        stepper = Stepper(law.steps, self._text, cap)
        tokens: list[int] = []
        total = 0.0
        seed = key.fold("server", ids).integer() + k
        while True:
            whole, room = (*ids, *tokens), cap - len(tokens)
            request = partial(Server.sample, prompt=whole, law=law, cap=room, seed=seed, bias=self._bias)
            drawn = self._requests.counted(await self._server.ask(request))
            for token, log_probability in zip(drawn.token_ids, drawn.log_probabilities, strict=True):
                if token >= self._text.size:
                    raise EngineError(
                        f"{self._name} sampled {token}, a row that only pads its vocabulary: "
                        "install specs-llm beside vLLM, whose plugin forbids that"
                    )
                tokens.append(token)
                total += log_probability
                if end := stepper.push(token):
                    return Sample(tuple(tokens), stepper.text, end, total)
            if not drawn.token_ids:
                raise EngineError(f"{self._name} sampled no token; see its log")
            seed = key.fold("more", attempt=k).fold("server", (*ids, *tokens)).integer()

    def warm(self, trace: Trace) -> Future[Any] | None:
        """Have the server compute the prompt and the trace, where scoring will find them in its cache."""
        return self._requests.begin(self.ids(trace), self._next) if self._facts.suffix else None

    def begin(self, trace: Trace, candidate: Candidate, law: Law, judge: Judge | None) -> Future[Any] | None:
        if self.through_text:  # which tokens are read depends on the other candidates
            return None
        before, path = self.ids(trace), candidate.token_ids
        if judge is None:
            return self._requests.begin((before, path), lambda pair: self._score(pair, law))
        return self._requests.begin((*before, *self.asked(path, judge)), self._next)

    def log_probabilities(self, groups: Sequence[Group], law: Law) -> list[float]:
        """`log p(y|c)` of each candidate in nats, end-of-text included; all at the same time."""
        read = [self.paths(trace, candidates) for trace, candidates in groups]
        pairs = [(before, path) for before, paths in read for path in paths]
        return list(map(sum, self._requests.answers(pairs, lambda pair: self._score(pair, law))))

    def ratings(self, groups: Sequence[Group], judge: Judge) -> list[float]:
        """See `specs.engines.local.session.PolicySession.ratings`; all at the same time."""
        read = [self.paths(trace, candidates) for trace, candidates in groups]
        asked = [(*before, *self.asked(path, judge)) if path else () for before, paths in read for path in paths]
        return [self.rating(token, judge) for token in self._requests.answers(asked, self._next)]

    async def _score(self, pair: tuple[Ids, Ids], law: Law) -> tuple[list[float], Tally]:
        before, path = pair
        if not path or max(path) >= self._facts.vocabulary:
            return [-math.inf], Tally(0, 0)
        return await self._server.ask(partial(Server.score, prompt=before, path=path, law=law))

    async def _next(self, ids: Ids) -> tuple[int, Tally]:
        """The most likely token after `ids`; -1 if the model cannot read them."""
        if not ids or max(ids) >= self._facts.vocabulary:
            return -1, Tally(0, 0)
        return await self._server.ask(partial(Server.next_token, prompt=ids, bias=self._bias))


@dataclass(frozen=True)
class RemoteReward:
    """A process reward model on a server, read in its own format; `why` says how that was told."""

    replicas: Replicas
    form: Family
    why: str
    parameters: int = 0

    @property
    def name(self) -> str:
        return self.replicas.name

    def prompt(self, question: str) -> tuple[int, ...]:
        facts = self.replicas.facts
        return fitting(self.form.prompt(question), self.name, facts.context, facts.vocabulary)

    def open(self, prompt_ids: tuple[int, ...], watch: Watch) -> RemoteRewardSession:
        return RemoteRewardSession(self.replicas, self.form, prompt_ids, watch)


class RemoteRewardSession(RewardReader):
    """A process reward model on a server in one solve: `specs.engines.protocol.RewardSession`."""

    def __init__(self, replicas: Replicas, form: Family, prompt_ids: tuple[int, ...], watch: Watch) -> None:
        super().__init__(replicas.name, form, prompt_ids)
        self._server, self._labels = replicas.next(), form.labels
        self.counts = Counts(prompt=len(prompt_ids))
        self._requests = Requests(self.counts, watch)

    def begin(self, trace: Trace, candidate: Candidate, delimiter: str | None) -> Future[Any] | None:
        whole = self._whole(self.ask([(trace, [candidate])], delimiter))
        return self._requests.begin(whole[0], self._row) if whole else None  # a blank step is not read

    def outputs(self, asked: Ask) -> Floats:
        """Log-probabilities in place of logits: what a format makes of them is the same."""
        rows = self._requests.answers(self._whole(asked), self._row)
        if len(labels := {len(row) for row in rows}) > 1:
            raise EngineError(f"{self._name} gives rewards of {min(labels)} and of {max(labels)} labels; see its log")
        return np.array(rows, np.float32)

    def _whole(self, asked: Ask) -> list[Ids]:
        return [(*self.prompt, *prefix, *path) for prefix, paths in asked for path in paths]

    async def _row(self, ids: Ids) -> tuple[list[float], Tally]:
        if self._labels is not None:
            return await self._server.ask(partial(Server.labelled, prompt=ids, labels=self._labels))
        shares, tally = await self._server.ask(partial(Server.pooled, sequence=ids))
        with np.errstate(divide="ignore"):
            logs = np.log(shares)
            # One label comes as a probability, of which a format expects the logit.
            return (logs if len(shares) > 1 else logs - np.log1p(np.negative(shares))).tolist(), tally


Request = Callable[[K], Coroutine[Any, Any, tuple[T, Tally]]]
"""A request for something and what it cost."""


class Requests:
    """What a session asks of its server: each thing once, when the answer is wanted or before."""

    def __init__(self, counts: Counts, watch: Watch) -> None:
        self._counts, self._watch = counts, watch
        self._begun: dict[Hashable, Future[Any]] = {}

    def begin(self, what: K, work: Request[K, T]) -> Future[tuple[T, Tally]] | None:
        """Ask before the answer is wanted; None if that was done."""
        if what in self._begun:
            return None
        self._begun[what] = future = begin(work(what))
        return future

    def answers(self, asked: Sequence[K], work: Request[K, T]) -> list[T]:
        """The answer to each, all at the same time, and the end of everything that has begun."""
        begun, self._begun = self._begun, {}
        new = [what for what in dict.fromkeys(asked) if what not in begun]
        running = [*map(joined, begun.values()), *map(work, new)]
        answers = wait(together(running), self._watch)
        found = dict(zip([*begun, *new], map(self.counted, answers), strict=True))
        return [found[what] for what in asked]

    def counted(self, answer: tuple[T, Tally]) -> T:
        """What was asked for, its positions counted."""
        value, tally = answer
        self._counts.processed += tally.processed
        self._counts.cached += tally.cached
        return value
