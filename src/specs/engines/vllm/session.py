"""Models on servers, and their sessions in one solve.

A server keeps no session: every request carries the whole sequence, and the server computes only what it no longer has
in its cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from specs.core.beginnings import beginning
from specs.core.keys import Key
from specs.core.ledger import Ids, Query
from specs.engines.arrays import Floats
from specs.engines.inputs import PolicyInputs, RewardInputs, checked_prompt
from specs.engines.protocol import (
    CandidateGroup,
    CheckStop,
    OnCandidate,
    PendingWork,
    PrefetchedStep,
    Sample,
    Stopped,
    TokenCounts,
    TokenProposer,
    ignore_candidate,
)
from specs.engines.steps import Stepper
from specs.engines.text import Text, checked_ids
from specs.engines.vllm.client import gather, wait
from specs.engines.vllm.in_flight import InFlightRequests
from specs.engines.vllm.replicas import Replicas
from specs.engines.vllm.server import Server, Tally
from specs.errors import EngineError
from specs.rewards.format import PRMFamily
from specs.types import NO_CONTEXT, Candidate, Chat, Finish, Judge, SamplingParams, Trace

FORBIDDEN = -100.0
"""The lowest logit bias that a server accepts; with it, a token has practically no probability."""
MOST_BIASES = 1024
"""The most tokens that one request can bias on a server with model runner V2."""


@dataclass(frozen=True)
class RemotePolicy:
    """A language model on a server.

    Attributes:
        raw: whether the server gives this role log-probabilities at temperature 1, whatever it samples at.
        system: the system prompt under which the model writes and scores; None for none.
        parameters: 0, because a server does not say.
    """

    replicas: Replicas
    text: Text
    raw: bool
    system: str | None = None
    parameters: int = 0

    @property
    def in_process(self) -> bool:
        return False

    @property
    def name(self) -> str:
        return self.replicas.name

    @property
    def fingerprint(self) -> str:
        return self.text.fingerprint

    def prompt(self, question: str, chat: Chat = NO_CONTEXT) -> tuple[int, ...]:
        facts = self.replicas.facts
        ids = self.text.prompt(question, self.system, chat=chat)
        return checked_prompt(ids, self.name, facts.context, facts.vocabulary)

    def open(
        self, prompt_ids: tuple[int, ...], fingerprints: frozenset[str], check_stop: CheckStop
    ) -> RemotePolicySession:
        return RemotePolicySession(self.replicas, self.text, prompt_ids, fingerprints, check_stop)


class RemotePolicySession(PolicyInputs):
    """A language model on a server in one solve: `specs.engines.protocol.PolicySession`."""

    def __init__(
        self,
        replicas: Replicas,
        text: Text,
        prompt_ids: tuple[int, ...],
        fingerprints: frozenset[str],
        check_stop: CheckStop,
    ) -> None:
        """The session calls `check_stop` while it waits for the server; for the rest see `PolicyInputs`."""
        super().__init__(text, prompt_ids, fingerprints)
        self._name, self._server, self._check_stop = replicas.name, replicas.next(), check_stop
        self._facts = replicas.facts
        padding = self._facts.padding(text.size)
        self._bias = {str(token): FORBIDDEN for token in padding} if len(padding) <= MOST_BIASES else {}
        self.counts = TokenCounts(prompt=len(prompt_ids))
        self._requests = InFlightRequests(self.counts, check_stop)
        self._read: dict[tuple[Ids, Ids], list[float]] = {}
        """The log-probability of each token of the candidates that were read after the last traces."""

    def sample(
        self,
        traces: Sequence[Trace],
        n: int,
        sampling: SamplingParams,
        keys: Sequence[Key],
        keep: Sequence[Trace] = (),
        on_candidate: OnCandidate = ignore_candidate,
        proposer: TokenProposer | None = None,
        score_law: SamplingParams | None = None,
    ) -> list[Sample]:
        """Draw `n` candidate steps of each trace, trace by trace, each with its own seed.

        A server keeps what fits into its cache, whatever `keep` says. `Models.require` rules out a proposer and cuts.
        """
        work = (
            self._sample(self.trace_ids(trace), n, sampling, key, partial(on_candidate, trace_idx))
            for trace_idx, (trace, key) in enumerate(zip(traces, keys, strict=True))
        )
        found = wait(gather(work), self._check_stop)
        if score_law is not None:
            found = [self._scored(*pair, score_law) for pair in zip(traces, found, strict=True)]
        return [sample for samples in found for sample in samples]

    def _scored(self, trace: Trace, samples: Sequence[Sample], score_law: SamplingParams) -> list[Sample]:
        """Samples with the log-probability of each token under another law, for which they are sent to the server."""
        pairs = [(self.trace_ids(trace), sample.token_ids) for sample in samples]
        scores = self._requests.answers(pairs, lambda pair: self._score(pair, score_law))
        return [replace(sample, log_p_by_token=tuple(score)) for sample, score in zip(samples, scores, strict=True)]

    async def _sample(
        self, ids: Ids, n: int, sampling: SamplingParams, key: Key, on_candidate: Callable[[Sample], None]
    ) -> list[Sample]:
        checked_ids(ids, self._name, self._facts.vocabulary)
        # A request that scores also samples one token.
        cap = min(sampling.steps.max_tokens, self._facts.context - len(ids) - 1)
        if cap < 1:
            raise Stopped(Finish.CONTEXT)

        async def step(candidate_idx: int) -> Sample:
            sample = await self._step(ids, sampling, cap, key, candidate_idx)
            on_candidate(sample)
            return sample

        if sampling.temperature == 0:  # all candidates are equal
            return [await step(0)] * n
        return await gather(step(candidate_idx) for candidate_idx in range(n))

    async def _step(self, ids: Ids, sampling: SamplingParams, cap: int, key: Key, candidate_idx: int) -> Sample:
        """Sample one candidate: cut the text where the step ends, and continue it if the server stops too early.

        A server stops at any delimiter; a step ends at the first delimiter after text.
        """
        stepper = Stepper(sampling.steps, self.text, cap)
        tokens: list[int] = []
        total = 0.0
        seed = key.fold("server", ids).integer() + candidate_idx
        while True:
            whole, room = (*ids, *tokens), cap - len(tokens)
            request = partial(Server.sample, prompt=whole, sampling=sampling, cap=room, seed=seed, bias=self._bias)
            drawn = self._requests.counted(await self._server.send(request))
            for token, log_probability in zip(drawn.token_ids, drawn.log_probabilities, strict=True):
                if token >= self.text.size:
                    raise EngineError(
                        f"{self._name} sampled token {token}, a padding row: "
                        "install specs-llm beside vLLM, whose plugin gives padding rows probability 0"
                    )
                tokens.append(token)
                total += log_probability
                if end := stepper.push(token):
                    return Sample(tuple(tokens), stepper.text, end, total)
            if not drawn.token_ids:
                raise EngineError(f"{self._name} sampled no token; see its log")
            seed = key.fold("more", attempt=candidate_idx).fold("server", (*ids, *tokens)).integer()

    @property
    def overlap(self) -> RemotePolicyOverlap:
        return RemotePolicyOverlap(self)

    def request_prefill(self, trace: Trace) -> PendingWork | None:
        """Have the server compute the prompt and the trace, so that scoring finds them in its cache."""
        return self._requests.submit(self.trace_ids(trace), self._next) if self._facts.suffix else None

    def request_score(
        self, trace: Trace, candidate: Candidate, sampling: SamplingParams, judge: Judge | None
    ) -> PendingWork | None:
        """Score or judge one candidate before the caller needs it."""
        if self.through_text:  # the tokens of a candidate depend on the other candidates
            return None
        before, path = self.trace_ids(trace), candidate.token_ids
        if judge is None:
            return self._requests.submit((before, path), lambda pair: self._score(pair, sampling))
        return self._requests.submit((*before, *self.judge_path(path, judge)), self._next)

    def score(
        self, groups: Sequence[CandidateGroup], sampling: SamplingParams, unread: Sequence[CandidateGroup] = ()
    ) -> list[list[float]]:
        """See `specs.engines.protocol.PolicySession.score`; the requests run at the same time."""
        read = [self.candidate_paths(trace, candidates) for trace, candidates in groups]
        pairs = [(before, path) for before, paths in read for path in paths]
        scores = self._requests.answers(pairs, lambda pair: self._score(pair, sampling))
        if unread:
            before = {ids for ids, _ in pairs}
            kept = {pair: score for pair, score in self._read.items() if pair[0] in before}
            self._read = kept | dict(zip(pairs, scores, strict=True))
        return scores + [
            self._beginning(self.trace_ids(trace), candidate.token_ids)
            for trace, candidates in unread
            for candidate in candidates
        ]

    def _beginning(self, before: Ids, path: Ids) -> list[float]:
        if self.through_text:
            return []
        return beginning(path, {other: by_token for (ids, other), by_token in self._read.items() if ids == before})

    def judge(self, groups: Sequence[CandidateGroup], judge: Judge) -> list[float]:
        """See `specs.engines.local.session.LocalPolicySession.judge`; the requests run at the same time."""
        read = [self.candidate_paths(trace, candidates) for trace, candidates in groups]
        prompts = [(*before, *self.judge_path(path, judge)) if path else () for before, paths in read for path in paths]
        return [self.label_rating(token, judge) for token in self._requests.answers(prompts, self._next)]

    async def _score(self, pair: tuple[Ids, Ids], sampling: SamplingParams) -> tuple[list[float], Tally]:
        before, path = pair
        if not path or max(path) >= self._facts.vocabulary:
            return [-math.inf], Tally(0, 0)
        return await self._server.send(partial(Server.score, prompt=before, path=path, sampling=sampling))

    async def _next(self, ids: Ids) -> tuple[int, Tally]:
        """The most likely token after `ids`; -1 if the model cannot read them."""
        if not ids or max(ids) >= self._facts.vocabulary:
            return -1, Tally(0, 0)
        return await self._server.send(partial(Server.next_token, prompt=ids, bias=self._bias))


class RemotePolicyOverlap:
    """`PolicyOverlap` of a session on a server, which samples and speculates by itself."""

    def __init__(self, session: RemotePolicySession) -> None:
        self.prefill, self.submit = session.request_prefill, session.request_score

    def prefetch(
        self, trace: Trace, alternatives: Sequence[Trace], n: int, sampling: SamplingParams, key: Key
    ) -> PrefetchedStep | None:
        return None

    def token_proposer(
        self, traces: Sequence[Trace], n: int, sampling: SamplingParams, keys: Sequence[Key], tokens: int
    ) -> TokenProposer | None:
        return None


@dataclass(frozen=True)
class RemoteReward:
    """A process reward model on a server.

    Attributes:
        prm_format: how the model reads a trace.
        why: how the format was chosen.
        parameters: 0, because a server does not say.
    """

    replicas: Replicas
    prm_format: PRMFamily
    why: str
    parameters: int = 0

    @property
    def name(self) -> str:
        return self.replicas.name

    def prompt(self, question: str) -> tuple[int, ...]:
        facts = self.replicas.facts
        return checked_prompt(self.prm_format.prompt(question), self.name, facts.context, facts.vocabulary)

    def open(self, prompt_ids: tuple[int, ...], check_stop: CheckStop) -> RemoteRewardSession:
        return RemoteRewardSession(self.replicas, self.prm_format, prompt_ids, check_stop)


class RemoteRewardSession(RewardInputs):
    """A process reward model on a server in one solve: `specs.engines.protocol.RewardSession`."""

    def __init__(
        self, replicas: Replicas, prm_format: PRMFamily, prompt_ids: tuple[int, ...], check_stop: CheckStop
    ) -> None:
        super().__init__(replicas.name, prm_format, prompt_ids)
        self._server, self._labels = replicas.next(), prm_format.labels
        self.counts = TokenCounts(prompt=len(prompt_ids))
        self._requests = InFlightRequests(self.counts, check_stop)

    @property
    def overlap(self) -> RemoteRewardOverlap:
        return RemoteRewardOverlap(self)

    def request_score(self, trace: Trace, candidate: Candidate, delimiter: str | None) -> PendingWork | None:
        """Score one candidate before the caller needs it."""
        whole = self._whole(self.query([(trace, [candidate])], delimiter))
        return self._requests.submit(whole[0], self._row) if whole else None  # blank steps have no tokens

    def head_outputs(self, query: Query) -> Floats:
        """Log-probabilities in place of logits: a format turns both into the same rewards."""
        rows = self._requests.answers(self._whole(query), self._row)
        if len(labels := {len(row) for row in rows}) > 1:
            raise EngineError(f"{self._name} gives rewards of {min(labels)} and of {max(labels)} labels; see its log")
        return np.array(rows, np.float32)

    def _whole(self, query: Query) -> list[Ids]:
        return [(*self.prompt, *prefix, *path) for prefix, paths in query for path in paths]

    async def _row(self, ids: Ids) -> tuple[list[float], Tally]:
        if self._labels is not None:
            return await self._server.send(partial(Server.labelled, prompt=ids, labels=self._labels))
        shares, tally = await self._server.send(partial(Server.pooled, sequence=ids))
        with np.errstate(divide="ignore"):
            logs = np.log(shares)
            # The server gives one label as a probability, but a format expects its logit.
            return (logs if len(shares) > 1 else logs - np.log1p(np.negative(shares))).tolist(), tally


class RemoteRewardOverlap:
    """`RewardOverlap` of a session on a server."""

    def __init__(self, session: RemoteRewardSession) -> None:
        self.submit = session.request_score

    def prefill(self) -> PendingWork | None:
        return None  # a server rewards steps, not prompts
