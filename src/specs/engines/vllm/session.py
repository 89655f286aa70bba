"""Language models on servers, and their sessions in one solve.

A server keeps no session: every request carries the whole sequence, and the server computes only what it no longer has
in its cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from specs.core.beginnings import beginning
from specs.core.entropy import top_entropy
from specs.core.keys import Key
from specs.core.ledger import Ids
from specs.engines.event_loop import gather, wait
from specs.engines.inputs import PolicyInputs, check_size, checked_prompt
from specs.engines.overlap import PendingWork, PrefetchedStep, TokenProposer
from specs.engines.protocol import CandidateGroup, CheckStop, Sample, Stopped, TokenCounts
from specs.engines.steps import Stepper
from specs.engines.text import Text, checked_ids
from specs.engines.vllm.in_flight import InFlightRequests
from specs.engines.vllm.replicas import Replicas
from specs.engines.vllm.server import Drawn, Server, most_likely
from specs.engines.vllm.tally import Tally
from specs.errors import EngineError
from specs.types import NO_CONTEXT, Capability, Chat, End, Finish, Judge, SamplingParams, Thinking, Trace

FORBIDDEN = -100.0
"""The lowest logit bias that a server accepts; with it, a token has practically no probability."""
DrawRequest = Callable[..., Coroutine[Any, Any, tuple[list[Drawn], Tally]]]
"""`Server.sample` with those of its arguments that all requests of a step share."""
OF_SERVERS = {
    Capability.TOKEN_SPECULATION: "runs on a server, which does its own token-level speculation "
    "(vllm serve --speculative-config); leave out +speculation"
}
"""What models on servers lack."""
MOST_BIASES = 1024
"""The most tokens that one request can bias on a server with model runner V2."""


@dataclass(frozen=True)
class RemotePolicy:
    """A language model on a server.

    Attributes:
        raw: whether the server gives this role log-probabilities at temperature 1, whatever it samples at.
        system: the system prompt under which the model writes and scores; None for none.
        parameters: None, because a server does not say.
    """

    replicas: Replicas
    text: Text
    raw: bool
    system: str | None = None
    parameters: int | None = None

    @property
    def in_process(self) -> bool:
        return False

    @property
    def lacks(self) -> Mapping[Capability, str]:
        return OF_SERVERS

    @property
    def name(self) -> str:
        return self.replicas.name

    @property
    def fingerprint(self) -> str:
        return self.text.fingerprint

    @property
    def thinking(self) -> Thinking | None:
        return self.text.thinking

    def prompt(self, question: str, chat: Chat = NO_CONTEXT) -> tuple[int, ...]:
        facts = self.replicas.facts
        check_size(self.name, facts.context, question, chat)
        ids = self.text.prompt(question, self.system, chat=chat)
        return checked_prompt(ids, self.name, facts.context, facts.vocabulary)

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.text.encode(text))

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
        proposer: TokenProposer | None = None,
        score_law: SamplingParams | None = None,
        log_probabilities: bool = True,
    ) -> list[Sample]:
        """Draw `n` candidate steps of each trace, trace by trace, each with its own seed; a request for each trace.

        A server keeps what fits into its cache, whatever `keep` says. `Models.require` rules out a proposer.
        """
        sample = partial(self._sample, n=n, sampling=sampling, log_probabilities=log_probabilities)
        work = (sample(trace, key=key) for trace, key in zip(traces, keys, strict=True))
        found = [sample for samples in wait(gather(work), self._check_stop) for sample in samples]
        if score_law is None:
            return found
        pairs = [(self.trace_ids(traces[idx // n]), sample.token_ids) for idx, sample in enumerate(found)]
        scores = self._requests.answers(pairs, partial(self._score, sampling=score_law))
        return [replace(sample, log_p_by_token=tuple(score)) for sample, score in zip(found, scores, strict=True)]

    async def _sample(
        self, trace: Trace, n: int, sampling: SamplingParams, key: Key, log_probabilities: bool
    ) -> list[Sample]:
        ids = checked_ids(self.trace_ids(trace), self._name, self._facts.vocabulary)
        # A request that scores also samples one token.
        cap = min(sampling.steps.max_tokens, self._facts.context - len(ids) - 1)
        if cap < 1:
            raise Stopped(Finish.CONTEXT)

        different = 1 if sampling.temperature == 0 else n
        close_id = self.close_id(trace)
        request = partial(
            Server.sample,
            sampling=sampling,
            bias=self._bias,
            log_probabilities=log_probabilities,
            stop_ids=() if close_id is None else (close_id,),
        )
        stepper = partial(Stepper, sampling.steps, self.text, cap, close_id)
        drawn = await self._drawn(request, ids, cap, key.fold("server", ids).integer(), different)
        steps = await gather(self._step(request, stepper(), ids, one, cap, key, idx) for idx, one in enumerate(drawn))
        if doubtful := [] if log_probabilities else [(*ids, *step.token_ids) for step in steps if _may_be_nan(step)]:
            self._requests.counted(await self._next(doubtful))  # with log-probabilities, NaN is an error
        return steps if different == n else steps * n

    async def _drawn(self, request: DrawRequest, ids: Ids, cap: int, seed: int, n: int) -> list[Drawn]:
        return self._requests.counted(await self._server.send(partial(request, prompt=ids, cap=cap, seed=seed, n=n)))

    async def _step(
        self,
        request: DrawRequest,
        stepper: Stepper,
        ids: Ids,
        drawn: Drawn,
        cap: int,
        key: Key,
        candidate_idx: int,
    ) -> Sample:
        """One candidate: cut the text where the step ends, and continue it if the server has stopped too early.

        A server stops at any delimiter; a step ends at the first delimiter after text.
        """
        tokens: list[int] = []
        total = None if drawn.log_probabilities is None else 0.0
        while True:
            gains = drawn.log_probabilities or [0.0] * len(drawn.token_ids)
            for token, log_probability in zip(drawn.token_ids, gains, strict=True):
                if token >= self.text.size:
                    raise EngineError(
                        f"{self._name} sampled token {token}, a padding row: "
                        "install specs-llm beside vLLM, whose plugin gives padding rows probability 0"
                    )
                tokens.append(token)
                total = None if total is None else total + log_probability
                if end := stepper.push(token):
                    return Sample(tuple(tokens), stepper.text, end, total)
            if not drawn.token_ids:
                raise EngineError(f"{self._name} sampled no token; see its log")
            whole = (*ids, *tokens)
            seed = key.fold("more", attempt=candidate_idx).fold("server", whole).integer()
            (drawn,) = await self._drawn(request, whole, cap - len(tokens), seed, 1)

    @property
    def overlap(self) -> RemotePolicyOverlap:
        return RemotePolicyOverlap(self)

    def request_prefill(self, trace: Trace) -> PendingWork | None:
        """Have the server compute the prompt and the trace, so that scoring finds them in its cache."""
        return self._requests.submit(self._next([self.trace_ids(trace)])) if self._facts.suffix else None

    def score(
        self, groups: Sequence[CandidateGroup], sampling: SamplingParams, unread: Sequence[CandidateGroup] = ()
    ) -> list[list[float]]:
        """See `specs.engines.protocol.PolicySession.score`; a request for each trace, all at the same time."""
        read = [self.candidate_paths(trace, candidates) for trace, candidates in groups]
        pairs = [(before, path) for before, paths in read for path in paths]
        scores = self._requests.answers(pairs, partial(self._score, sampling=sampling))
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
        """See `specs.engines.local.session.LocalPolicySession.judge`; one request."""
        read = [(trace, *self.candidate_paths(trace, candidates)) for trace, candidates in groups]
        prompts = [
            (*before, *self.judge_path(trace, path, judge)) if path else ()
            for trace, before, paths in read
            for path in paths
        ]
        phases = [trace.phase for trace, _, paths in read for _ in paths]
        answers = zip(self._requests.answers(prompts, self._next), phases, strict=True)
        return [self.label_rating(token, judge, phase) for token, phase in answers]

    def entropies(self, traces: Sequence[Trace], top: int) -> list[float]:
        """See `specs.engines.protocol.PolicySession.entropies`; a request for each trace, all at the same time."""
        return self._requests.answers([self.trace_ids(trace) for trace in traces], partial(self._entropies, top=top))

    async def _entropies(self, prompts: Sequence[Ids], top: int) -> tuple[list[float], Tally]:
        request = partial(most_likely, top=top, bias=self._bias, below=self.text.size)
        checked = [checked_ids(ids, self._name, self._facts.vocabulary) for ids in prompts]
        answers = await gather(self._server.send(partial(request, prompt=ids)) for ids in checked)
        return [top_entropy(logs, top) for logs, _ in answers], Tally.total(tally for _, tally in answers)

    async def _score(
        self, pairs: Sequence[tuple[Ids, Ids]], sampling: SamplingParams
    ) -> tuple[list[list[float]], Tally]:
        """Log-probabilities of each path after the tokens before it; -inf if the model cannot read the path."""
        paths: dict[Ids, list[Ids]] = {}
        for before, path in pairs:
            if self._reads(path):
                paths.setdefault(before, []).append(path)
        answers = await gather(
            self._server.send(partial(Server.score, prompt=before, paths=some, sampling=sampling))
            for before, some in paths.items()
        )
        read = [(before, path) for before, some in paths.items() for path in some]
        score_of = dict(zip(read, [score for scores, _ in answers for score in scores], strict=True))
        return [score_of.get(pair, [-math.inf]) for pair in pairs], Tally.total(tally for _, tally in answers)

    async def _next(self, prompts: Sequence[Ids]) -> tuple[list[int], Tally]:
        """The most likely token after each prompt; -1 if the model cannot read it."""
        if not (read := [ids for ids in prompts if self._reads(ids)]):
            return [-1] * len(prompts), Tally(0, 0)
        request = partial(Server.next_tokens, prompts=read, bias=self._bias)
        tokens, tally = await self._server.send(request)
        token_of = dict(zip(read, tokens, strict=True))
        return [token_of.get(ids, -1) for ids in prompts], tally

    def _reads(self, ids: Ids) -> bool:
        return bool(ids) and max(ids) < self._facts.vocabulary


def _may_be_nan(step: Sample) -> bool:
    """Whether a step may have been drawn from NaN, of which a server always takes the same token: on a CPU, token 0."""
    last = step.token_ids[-1]
    return last == 0 or (step.end is End.CAP and step.token_ids[-2:-1] == (last,))


class RemotePolicyOverlap:
    """`PolicyOverlap` of a session on a server, which samples and speculates by itself."""

    def __init__(self, session: RemotePolicySession) -> None:
        self.prefill = session.request_prefill

    def prefetch(
        self, trace: Trace, alternatives: Sequence[Trace], n: int, sampling: SamplingParams, key: Key
    ) -> PrefetchedStep | None:
        return None

    def token_proposer(
        self,
        traces: Sequence[Trace],
        n: int,
        sampling: SamplingParams,
        keys: Sequence[Key],
        keep: Sequence[Trace],
        tokens: int,
    ) -> TokenProposer | None:
        return None
