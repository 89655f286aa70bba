"""Sessions on servers: a model's view of one solve, asked over HTTP.

A server keeps no session: every request carries the whole sequence, and what the server still has of
it in its cache it does not compute again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from specs.core.keys import Key
from specs.core.ledger import Ask, Ids
from specs.engine import Group, Watch
from specs.errors import EngineError, Stopped
from specs.models.backend import Floats
from specs.models.reading import Reader, RewardReader, fitting
from specs.models.remote.client import together, wait
from specs.models.remote.replicas import Replicas
from specs.models.remote.vllm import Drawn, Server, Tally
from specs.models.sessions import Sample
from specs.models.stepping import Stepper
from specs.models.text import Text
from specs.models.tree import Counts
from specs.rewards.formats import Family
from specs.types import Finish, Judge, Law, Trace

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
    def name(self) -> str:
        return self.replicas.name

    @property
    def fingerprint(self) -> str:
        return self.text.fingerprint

    def prompt(self, question: str) -> tuple[int, ...]:
        return fitting(self.text.prompt(question, self.system), self.name, self.replicas.facts.context)

    def open(self, prompt_ids: tuple[int, ...], fingerprints: frozenset[str], watch: Watch) -> RemotePolicySession:
        return RemotePolicySession(self.replicas, self.text, prompt_ids, fingerprints, watch)


class RemotePolicySession(Reader):
    """A language model on a server in one solve: `specs.engine.PolicySession`."""

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
        self._server, self._context, self._watch = replicas.next(), replicas.facts.context, watch
        self.counts = Counts(prompt=len(prompt_ids))

    def sample(
        self, traces: Sequence[Trace], n: int, law: Law, keys: Sequence[Key], keep: Sequence[Trace] = ()
    ) -> list[Sample]:
        """Draw `n` candidate steps of each trace, trace by trace, each trace with a seed of its own.

        A server keeps what it has room for, whatever `keep` says.
        """
        work = (self._sample(self.ids(trace), n, law, key) for trace, key in zip(traces, keys, strict=True))
        return [sample for samples in wait(together(work), self._watch) for sample in samples]

    async def _sample(self, ids: Ids, n: int, law: Law, key: Key) -> list[Sample]:
        # Scoring asks for one token more than it scores.
        cap = min(law.steps.max_tokens, self._context - len(ids) - 1)
        if cap < 1:
            raise Stopped(Finish.CONTEXT)
        drawn = self._counted(await self._draw(ids, n, law, cap, key))
        keys = [key.fold("more", attempt=k) for k in range(n)]
        return await together(self._step(ids, one, law, cap, own) for one, own in zip(drawn, keys, strict=True))

    async def _step(self, ids: Ids, drawn: Drawn, law: Law, cap: int, key: Key) -> Sample:
        """A continuation as a step: cut where the step ends, gone on with where the server stopped too early.

        A server stops at any delimiter, a step ends at the first one after text.
        """
        stepper = Stepper(law.steps, self._text, cap)
        tokens: list[int] = []
        total = 0.0
        while True:
            for token, log_probability in zip(drawn.token_ids, drawn.log_probabilities, strict=True):
                tokens.append(token)
                total += log_probability
                if end := stepper.push(token):
                    return Sample(tuple(tokens), stepper.text, end, total)
            if not drawn.token_ids:
                raise EngineError("the server sampled no token; see its log")
            (drawn,) = self._counted(await self._draw((*ids, *tokens), 1, law, cap - len(tokens), key))

    async def _draw(self, ids: Ids, n: int, law: Law, cap: int, key: Key) -> tuple[list[Drawn], Tally]:
        seed = key.fold("server", ids).integer()
        return await self._server.ask(lambda server: server.sample(ids, n, law, cap, seed))

    def log_probabilities(self, groups: Sequence[Group], law: Law) -> list[float]:
        """`log p(y|c)` of each candidate in nats, end-of-text included; all at the same time."""
        read = [self.paths(trace, candidates) for trace, candidates in groups]
        pairs = [(before, path) for before, paths in read for path in paths]
        work = (self._server.ask(partial(Server.score, prompt=b, path=p, law=law)) for b, p in pairs)
        return [sum(self._counted(one)) for one in wait(together(work), self._watch)]

    def ratings(self, groups: Sequence[Group], judge: Judge) -> list[float]:
        """See `specs.models.sessions.PolicySession.ratings`; all at the same time."""
        read = [self.paths(trace, candidates) for trace, candidates in groups]
        asked = ((*before, *self.asked(path, judge)) for before, paths in read for path in paths)
        work = (self._server.ask(partial(Server.next_token, prompt=ids)) for ids in asked)
        return [self.rating(self._counted(one), judge) for one in wait(together(work), self._watch)]

    def _counted(self, answer: tuple[T, Tally]) -> T:
        """What was asked for, its positions counted."""
        return _counted(self.counts, answer)


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
        return fitting(self.form.prompt(question), self.name, self.replicas.facts.context)

    def open(self, prompt_ids: tuple[int, ...], watch: Watch) -> RemoteRewardSession:
        return RemoteRewardSession(self.replicas, self.form, prompt_ids, watch)


class RemoteRewardSession(RewardReader):
    """A process reward model on a server in one solve: `specs.engine.RewardSession`."""

    def __init__(self, replicas: Replicas, form: Family, prompt_ids: tuple[int, ...], watch: Watch) -> None:
        super().__init__(form, prompt_ids)
        self._server, self._watch, self._labels = replicas.next(), watch, form.labels
        self.counts = Counts(prompt=len(prompt_ids))

    def outputs(self, asked: Ask) -> Floats:
        """Log-probabilities in place of logits: what a format makes of them is the same."""
        whole = [(*self.prompt, *prefix, *path) for prefix, paths in asked for path in paths]
        if self._labels is None:
            answer = wait(self._server.ask(partial(Server.pooled, sequences=whole)), self._watch)
            rows = np.array(_counted(self.counts, answer))
            with np.errstate(divide="ignore"):
                # One label comes as a probability, of which a format expects the logit.
                return (np.log(rows) - (np.log1p(-rows) if rows.shape[1] == 1 else 0)).astype(np.float32)
        labels = self._labels
        work = (self._server.ask(partial(Server.labelled, prompt=ids, labels=labels)) for ids in whole)
        return np.array([_counted(self.counts, one) for one in wait(together(work), self._watch)], np.float32)


def _counted(counts: Counts, answer: tuple[T, Tally]) -> T:
    value, tally = answer
    counts.processed += tally.processed
    counts.cached += tally.cached
    return value
