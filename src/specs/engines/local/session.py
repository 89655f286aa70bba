"""Sessions of this process: one model in one solve, on any backend.

A caller asks a session about a trace. The session rebases its token tree on the trace, so it keeps what it has
computed before. The same code serves every backend (onnx, torch, llama.cpp, tabular).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from specs.core.entropy import top_entropy
from specs.core.keys import Key
from specs.core.ledger import Ids, Query
from specs.engines.arrays import Floats
from specs.engines.inputs import PolicyInputs, RewardInputs
from specs.engines.local.backend import Backend, finite
from specs.engines.local.background import BackgroundTask
from specs.engines.local.nodes import ROOT
from specs.engines.local.prefetch import BackgroundPrefetch
from specs.engines.local.step_sampler import StepSampler
from specs.engines.local.token_speculation import DraftTokenProposer
from specs.engines.local.tree import TokenTree
from specs.engines.overlap import PendingWork, TokenProposer
from specs.engines.protocol import CandidateGroup, CheckStop, Sample, TokenCounts
from specs.engines.steps import Stepper
from specs.engines.text import Text
from specs.rewards.format import PRMFormat
from specs.types import Judge, SamplingParams, Trace


class LocalPolicySession(PolicyInputs):
    """A language model in one solve: samples, scores and judges steps.

    Attributes:
        tree: the tokens in the cache.
        check_stop: called between tokens.
        background: the work that `overlap` has in flight.
    """

    def __init__(
        self,
        backend: Backend,
        text: Text,
        prompt_ids: Sequence[int],
        fingerprints: frozenset[str],
        check_stop: CheckStop,
    ) -> None:
        """For the arguments see the attributes, here and of `PolicyInputs`."""
        super().__init__(text, prompt_ids, fingerprints)
        self.tree = TokenTree(backend, prompt_ids)
        self.check_stop = check_stop
        self.background = BackgroundTask(backend.concurrent_calls >= 1)

    @property
    def counts(self) -> TokenCounts:
        return self.tree.counts

    @property
    def overlap(self) -> LocalPolicyOverlap:
        return LocalPolicyOverlap(self)  # made anew each time: a reference cycle would keep the cache alive

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
        """Draw `n` independent candidate steps of each trace, trace by trace; each trace has its own key.

        A pass has a row for each distinct beginning, not for each candidate: candidates that have drawn the same tokens
        so far share a row, and a finished candidate costs nothing more. Known logits cost nothing either: a candidate
        draws until it reaches a new token, and waits there for the others. Log-probabilities cost nothing, so samples
        have them in any case.
        """
        return self.sample_with(traces, n, sampling, keys, keep, self.check_stop, proposer, score_law)

    def sample_with(
        self,
        traces: Sequence[Trace],
        n: int,
        sampling: SamplingParams,
        keys: Sequence[Key],
        keep: Sequence[Trace],
        check_stop: CheckStop,
        proposer: TokenProposer | None = None,
        score_law: SamplingParams | None = None,
    ) -> list[Sample]:
        """`sample`, with another `check_stop`."""
        self.background.join()
        sequences = [self.trace_ids(trace) for trace in traces]
        with finite(self.tree.backend, "logits"):
            tails = self.tree.rebase(*sequences, *map(self.trace_ids, keep), logits=True)
            tails, kept = tails[: len(sequences)], tails[len(sequences) :]
            self._keep_ends(tails, kept)
            lengths = list(map(len, sequences))
            close_ids = list(map(self.close_id, traces))
            sampler = StepSampler(self.tree, self.text, lengths, n, sampling, keys, score_law, close_ids)
            return sampler.run(tails, check_stop, proposer)

    def _keep_ends(self, tails: Sequence[Ids], kept: Sequence[Ids]) -> None:
        """Keep the logits after each kept trace that a sampled one continues, which the same pass computes.

        Without them, a sample of the kept trace would have to compute its last token again.
        """
        inner = [{len(one) for one in kept if len(one) < len(tail) and tail[: len(one)] == one} for tail in tails]
        if any(inner):
            stops = [[*sorted(lengths), len(tail)] for tail, lengths in zip(tails, inner, strict=True)]
            self.tree.end_logits(tails, stops)

    def score(
        self, groups: Sequence[CandidateGroup], sampling: SamplingParams, unread: Sequence[CandidateGroup] = ()
    ) -> list[list[float]]:
        """The log-probability of each token of each candidate in nats, end-of-text included, in one forward pass.

        If the model reads candidates through their text, it takes one pass for each trace. Candidates that the model
        cannot write or read get -inf without a pass. For `unread` see `specs.engines.protocol.PolicySession.score`:
        the logits after the common beginning with another candidate give the first token that differs, too.
        """
        scores = [[-math.inf] for _, candidates in groups for _ in candidates]
        ops = self.tree.backend.logits_ops
        for places, tails, paths in self._passes(groups, self.tree.backend.width):
            rows, walks = self.tree.prefix_logits(tails, [path[:-1] for path in paths])
            row_of = [row for walk in walks for row in walk]  # the row before each token of a path
            tokens = [token for path in paths for token in path]
            with finite(self.tree.backend, "logits"):
                found = ops.log_probabilities(rows, sampling, row_of, tokens)
            ends = np.cumsum([len(path) for path in paths])
            for place, some in zip(places, np.split(found, ends[:-1]), strict=True):
                scores[place] = some.tolist()
        return scores + [
            self._beginning(candidate.token_ids, sampling) if len(unread) == 1 and not self.through_text else []
            for _, candidates in unread
            for candidate in candidates
        ]

    def _beginning(self, path: Ids, sampling: SamplingParams) -> list[float]:
        """The log-probabilities of the first tokens of a path after the trace just scored, as far as they are known."""
        nodes = [ROOT]
        for token in path[:-1]:
            child = self.tree.known_child(nodes[-1], token)
            if child is None:
                break
            nodes.append(child)
        known = path[: len(nodes)]
        if max(known) >= self.tree.backend.width:
            return [-math.inf]
        rows = self.tree.logits(nodes)
        with finite(self.tree.backend, "logits"):
            ops = self.tree.backend.logits_ops
            return ops.log_probabilities(rows, sampling, range(len(nodes)), known).tolist()

    def judge(self, groups: Sequence[CandidateGroup], judge: Judge) -> list[float]:
        """Rating in [0, 1] of each trace extended by one candidate, in as few passes as `score`.

        The rating is the rank of the label that is the most likely next token. It is 0 if another token is the most
        likely one, or if the model cannot read the candidate.
        """
        owners = [trace for trace, candidates in groups for _ in candidates]
        ratings = [0.0] * len(owners)
        for places, tails, paths in self._passes(groups, self.tree.backend.vocabulary):
            asked = [self.judge_path(owners[place], path, judge) for place, path in zip(places, paths, strict=True)]
            # The target may have to write the next step after any of these, or this one again. Then its own step may
            # begin like the kept step of another trace, but only if these two traces are equal.
            ends = [len(tail) + len(self.without_end(path)) for tail, path in zip(tails, paths, strict=True)]
            keep = [
                range(len(tail), end + 1) if tails.count(tail) > 1 else (len(tail), end)
                for tail, end in zip(tails, ends, strict=True)
            ]
            rows = self.tree.end_logits([(*tail, *path) for tail, path in zip(tails, asked, strict=True)], keep)
            with finite(self.tree.backend, "logits"):
                best: list[int] = self.tree.backend.logits_ops.to_numpy(rows).argmax(axis=1).tolist()
            for place, token in zip(places, best, strict=True):
                ratings[place] = self.label_rating(token, judge, owners[place].phase)
        return ratings

    def entropies(self, traces: Sequence[Trace], top: int) -> list[float]:
        """See `specs.engines.protocol.PolicySession.entropies`; one pass over what the trees lack."""
        self.background.join()
        with finite(self.tree.backend, "logits"):
            tails = self.tree.rebase(*map(self.trace_ids, traces), logits=True)
            rows, _, row_of = self.tree.tip_logits(tails)
            found = self.tree.backend.logits_ops.to_numpy(rows)
        return [top_entropy(found[row], top) for row in row_of]

    def _passes(
        self, groups: Sequence[CandidateGroup], below: int
    ) -> Iterator[tuple[list[int], list[tuple[int, ...]], list[Ids]]]:
        """The candidates of each pass, without those that have a token of `below` or more.

        Yields:
            The place of each candidate in the reply, the tail of its trace, and its tokens after the tail.
        """
        self.background.join()
        read = [self.candidate_paths(trace, candidates) for trace, candidates in groups]
        first = 0
        for batch in [[one] for one in read] if self.through_text else [read]:
            tails = self.tree.rebase(*(before for before, _ in batch), logits=True)
            every = [(tail, path) for tail, (_, paths) in zip(tails, batch, strict=True) for path in paths]
            places = [place for place, (_, path) in enumerate(every) if path and max(path) < below]
            if places:
                yield (
                    [first + place for place in places],
                    [every[place][0] for place in places],
                    [every[place][1] for place in places],
                )
            first += len(every)


class LocalPolicyOverlap:
    """`PolicyOverlap` of a session in this process."""

    def __init__(self, session: LocalPolicySession) -> None:
        self._session = session

    def prefill(self, trace: Trace) -> PendingWork | None:
        tree, ids = self._session.tree, self._session.trace_ids(trace)

        def compute() -> None:
            tree.rebase(ids, logits=True)
            tree.compute_trunk()

        return self._session.background.submit(compute)

    def prefetch(
        self, trace: Trace, alternatives: Sequence[Trace], n: int, sampling: SamplingParams, key: Key
    ) -> BackgroundPrefetch | None:
        """See `PolicyOverlap`. The tree keeps what it has computed of the alternatives."""
        session = self._session
        if not session.tree.backend.concurrent_calls or session.through_text:
            return None

        def sample(check_stop: CheckStop) -> list[Sample]:
            return session.sample_with([trace], n, sampling, [key], alternatives, check_stop)

        def forget() -> None:  # keep only what was there before: candidates without their last tokens
            session.tree.rebase(*(session.trace_ids(one)[:-1] for one in (trace, *alternatives)), descendants=False)

        return BackgroundPrefetch(sample, session.check_stop, session.counts, forget)

    def token_proposer(
        self,
        traces: Sequence[Trace],
        n: int,
        sampling: SamplingParams,
        keys: Sequence[Key],
        keep: Sequence[Trace],
        tokens: int,
    ) -> DraftTokenProposer:
        session = self._session
        sequences, kept = ([session.trace_ids(trace) for trace in some] for some in (traces, keep))
        steppers = [
            partial(Stepper, sampling.steps, session.text, sampling.steps.max_tokens, session.close_id(trace))
            for trace in traces
        ]
        return DraftTokenProposer(
            session.tree, steppers, sequences, kept, n, sampling, keys, tokens, session.check_stop
        )


class LocalRewardSession(RewardInputs):
    """A process reward model in one solve."""

    def __init__(self, backend: Backend, prm_format: PRMFormat, prompt_ids: Sequence[int]) -> None:
        super().__init__(backend.name, prm_format, prompt_ids)
        self.tree = TokenTree(backend, prompt_ids)
        # Draft and target run at the same time. The target takes longer, and a third model on two cores slows both.
        self.background = BackgroundTask(backend.concurrent_calls >= 2)

    @property
    def counts(self) -> TokenCounts:
        return self.tree.counts

    @property
    def overlap(self) -> LocalRewardOverlap | None:
        return LocalRewardOverlap(self.background, self.tree) if self.background.enabled else None

    def head_outputs(self, query: Query) -> Floats:
        self.background.join()
        tails = self.tree.rebase(*((*self.prompt, *prefix) for prefix, _ in query))
        whole = [(*tail, *path) for tail, (_, paths) in zip(tails, query, strict=True) for path in paths]
        rows = self.tree.end_logits(whole, [self.reward_lengths(path) for path in whole])
        with finite(self.tree.backend, "rewards"):
            found = self.tree.backend.logits_ops.to_numpy(rows)
            if not np.isfinite(found).all():  # a token may be impossible, a label may not
                raise FloatingPointError("-infinity for a label")
        return found


class LocalRewardOverlap:
    """`RewardOverlap` of a session in this process."""

    def __init__(self, background: BackgroundTask, tree: TokenTree) -> None:
        self._background, self._tree = background, tree

    def prefill(self) -> PendingWork | None:
        return self._background.submit(self._tree.compute_trunk)
