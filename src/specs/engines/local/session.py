"""In-process sessions: one role's view of one solve, on any backend.

A session is asked about a trace and brings its own token sequence in line with it; what it
computed before is kept. The same code serves every backend (light, transformers, tabular).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from specs.core.keys import Key, TokenUniforms
from specs.core.ledger import Ask, Ids
from specs.engines.arrays import Floats
from specs.engines.inputs import Reader, RewardReader
from specs.engines.local.backend import Backend, finite
from specs.engines.local.background import Beside
from specs.engines.local.prefetch import Ahead
from specs.engines.local.stragglers import Stragglers
from specs.engines.local.token_speculation import Checked, Drafted
from specs.engines.local.tree import Tree
from specs.engines.protocol import Closed, Counts, Group, Guesses, Sample, Stopped, Watch, unheard
from specs.engines.steps import Stepper
from specs.engines.text import Text, to_text
from specs.rewards.formats import RewardFormat
from specs.types import End, Finish, Judge, Law, Trace


class PolicySession(Reader):
    """A language model in one solve: samples steps, scores steps, rates steps."""

    def __init__(
        self,
        backend: Backend,
        text: Text,
        prompt_ids: Sequence[int],
        fingerprints: frozenset[str],
        watch: Watch,
    ) -> None:
        """`watch` is called between tokens; for the rest see `Reader`."""
        super().__init__(text, prompt_ids, fingerprints)
        self._tree = Tree(backend, prompt_ids)
        self._watch = watch
        self._beside = Beside(backend.beside >= 1)

    @property
    def counts(self) -> Counts:
        return self._tree.counts

    def warm(self, trace: Trace) -> Future[Any] | None:
        """Compute the prompt and the trace, in a thread of its own."""

        def compute() -> None:
            self._tree.settle(self.ids(trace), outputs=True)
            self._tree.compute()

        return self._beside.start(compute)

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
        """Draw `n` independent candidate steps of each trace, trace by trace, each with its own key.

        Rows are distinct beginnings, not candidates: candidates that have drawn the same tokens
        so far share one row, and a finished candidate costs nothing more. Nor do tokens whose
        outputs are known: a candidate draws on until it comes to something new, and waits there
        for the others.
        """
        with finite(self._tree.backend, "logits"):
            return self._sample(traces, n, law, keys, keep, closed, self._watch, guesses)

    def guesses(self, traces: Sequence[Trace], n: int, law: Law, keys: Sequence[Key], tokens: int) -> Drafted:
        """See `specs.engines.protocol.PolicySession`."""
        sequences = [self.ids(trace) for trace in traces]
        return Drafted(self._tree, self._text, sequences, n, law, keys, tokens, self._watch)

    def ahead(self, trace: Trace, beside: Sequence[Trace], n: int, law: Law, key: Key) -> Ahead | None:
        """See `specs.engines.protocol.PolicySession`. What is known of the traces beside stays."""
        if not self._tree.backend.beside or self.through_text:
            return None

        def sample(watch: Watch, closed: Closed) -> list[Sample]:
            with finite(self._tree.backend, "logits"):
                return self._sample([trace], n, law, [key], beside, closed, watch)

        def forget() -> None:  # all but what was there: candidates without their last tokens
            self._tree.settle(*(self.ids(one)[:-1] for one in (trace, *beside)), behind=False)

        return Ahead(sample, self._watch, self.counts, forget)

    def _sample(
        self,
        traces: Sequence[Trace],
        n: int,
        law: Law,
        keys: Sequence[Key],
        keep: Sequence[Trace],
        closed: Closed,
        watch: Watch,
        guesses: Guesses | None = None,
    ) -> list[Sample]:
        self._beside.join()
        tree, outputs = self._tree, self._tree.backend.outputs
        sequences = [self.ids(trace) for trace in traces]
        tails = tree.settle(*sequences, *map(self.ids, keep), outputs=True)[: len(sequences)]
        caps = [min(law.steps.max_tokens, tree.backend.context - len(sequence)) for sequence in sequences]
        if min(caps) < 1:
            raise Stopped(Finish.CONTEXT)
        total_n = n * len(traces)
        uniforms = TokenUniforms(keys, n)
        drawn: list[list[int]] = [[] for _ in range(total_n)]
        total = [0.0] * total_n
        steppers = [Stepper(law.steps, self._text, cap) for cap in caps for _ in range(n)]
        samples: dict[int, Sample] = {}
        rows, nodes, row_of_trace = tree.tips(tails)
        live, row_of = list(range(total_n)), [row for row in row_of_trace for _ in range(n)]
        waiting: dict[tuple[int, int], list[int]] = {}  # candidates by (node, token), a row of the next pass each
        roots = [nodes[row] for row in row_of]
        stragglers = Stragglers(n, len(traces), law.steps.enough)
        held = tree.size
        checked = None if guesses is None else Checked(tree, guesses, roots, drawn)
        while True:
            chances = [uniforms.at(len(drawn[k]))[k] for k in live]
            tokens, gains = outputs.sample(rows, law.temperature, law.top_p, row_of, chances)
            known: dict[int, list[int]] = {}  # candidates by node
            for k, row, token, gain in zip(live, row_of, tokens, gains, strict=True):
                drawn[k].append(token)
                total[k] += gain
                end = steppers[k].push(token)
                if end is not None:
                    samples[k] = Sample(tuple(drawn[k]), steppers[k].text, end, total[k])
                    stragglers.ended(k, len(drawn[k]))
                    closed(k // n, samples[k])
                elif (node := tree.known(nodes[row], token)) is not None:
                    known.setdefault(node, []).append(k)
                else:
                    waiting.setdefault((nodes[row], token), []).append(k)
            if stragglers.possible:
                known, waiting = stragglers.without(known, drawn), stragglers.without(waiting, drawn)
            if known:
                nodes, together = list(known), list(known.values())
                rows = tree.outputs(nodes)
            elif waiting:
                watch()
                together = list(waiting.values())
                rows, nodes = tree.grow(*zip(*waiting, strict=True)) if checked is None else checked.grow(waiting)
                waiting = {}
            else:
                break
            live = [k for group in together for k in group]
            row_of = [row for row, group in enumerate(together) for _ in group]
        if checked is not None:
            checked.close()
        if stragglers.possible:
            for k in range(total_n):
                if k not in samples or len(drawn[k]) > stragglers.room(k):
                    ids = tuple(drawn[k][: int(stragglers.room(k))])
                    samples[k] = Sample(ids, to_text([self._text.piece(token) for token in ids]), End.CUT, None)
            needed = {node for k, root in enumerate(roots) for node in tree.walk(root, samples[k].token_ids[:-1])}
            # Candidates that drew on without a pass were ahead of the others, perhaps of where they are cut.
            self.counts.speculated += sum(node not in needed for node in range(held, tree.size))
        return [samples[k] for k in range(total_n)]

    def log_probabilities(self, groups: Sequence[Group], law: Law) -> list[float]:
        """`log p(y|c)` of each candidate in nats, end-of-text included, in one forward pass.

        (One pass per trace if candidates are read through their text.) Candidates that the model cannot write or
        read get -inf without a pass.
        """
        scores = [-math.inf] * sum(len(candidates) for _, candidates in groups)
        for places, tails, paths in self._settled(groups, self._tree.backend.width):
            rows, walks = self._tree.prefixes(tails, [path[:-1] for path in paths])
            row_of = [row for walk in walks for row in walk]  # the row before each token of a path
            tokens = [token for path in paths for token in path]
            with finite(self._tree.backend, "logits"):
                found = self._tree.backend.outputs.log_probabilities(rows, law.temperature, law.top_p, row_of, tokens)
            ends = np.cumsum([len(path) for path in paths])
            for place, some in zip(places, np.split(found, ends[:-1]), strict=True):
                scores[place] = float(some.sum(dtype=np.float64))
        return scores

    def ratings(self, groups: Sequence[Group], judge: Judge) -> list[float]:
        """Rating in [0, 1] of each trace extended by one candidate: the place of the label that is
        the most likely next token; 0 if another token is, or if the model cannot read the candidate.
        In passes as `log_probabilities`.
        """
        ratings = [0.0] * sum(len(candidates) for _, candidates in groups)
        for places, tails, paths in self._settled(groups, self._tree.backend.vocabulary):
            pairs = list(zip(tails, paths, strict=True))
            # The target may have to write the next step after any of these, or this one again.
            keep = [(len(tail), len(tail) + len(self.said(path))) for tail, path in pairs]
            rows = self._tree.ends([(*tail, *self.asked(path, judge)) for tail, path in pairs], keep)
            with finite(self._tree.backend, "logits"):
                best = self._tree.backend.outputs.numbers(rows).argmax(axis=1)
            for place, token in zip(places, best.tolist(), strict=True):
                ratings[place] = self.rating(token, judge)
        return ratings

    def _settled(self, groups: Sequence[Group], below: int) -> Iterator[tuple[list[int], list[Ids], list[Ids]]]:
        """Candidates that go through one pass together, without those that have a token of `below` or more.

        Yields:
            The place of each in the reply, the tail of its trace, and its tokens after the tail.
        """
        self._beside.join()
        read = [self.paths(trace, candidates) for trace, candidates in groups]
        first = 0
        for together in [[one] for one in read] if self.through_text else [read]:
            tails = self._tree.settle(*(before for before, _ in together), outputs=True)
            every = [(tail, path) for tail, (_, paths) in zip(tails, together, strict=True) for path in paths]
            places = [k for k, (_, path) in enumerate(every) if path and max(path) < below]
            if places:
                yield [first + k for k in places], [every[k][0] for k in places], [every[k][1] for k in places]
            first += len(every)


class RewardSession(RewardReader):
    """A process reward model in one solve."""

    def __init__(self, backend: Backend, form: RewardFormat, prompt_ids: Sequence[int]) -> None:
        super().__init__(backend.name, form, prompt_ids)
        self._tree = Tree(backend, prompt_ids)
        # Beside the draft and the target: the target takes longer, and a third on two cores slows both.
        self._beside = Beside(backend.beside >= 2)

    @property
    def counts(self) -> Counts:
        return self._tree.counts

    def warm(self) -> Future[Any] | None:
        """Compute the prompt, in a thread of its own."""
        return self._beside.start(self._tree.compute)

    def outputs(self, asked: Ask) -> Floats:
        self._beside.join()
        tails = self._tree.settle(*((*self.prompt, *prefix) for prefix, _ in asked))
        whole = [(*tail, *path) for tail, (_, paths) in zip(tails, asked, strict=True) for path in paths]
        # A step that was cut short may yet end as one of another trace has ended.
        rows = self._tree.ends(whole, [self.stops(path) for path in whole])
        with finite(self._tree.backend, "rewards"):
            found = self._tree.backend.outputs.numbers(rows)
            if not np.isfinite(found).all():  # a token may be impossible, a label may not
                raise FloatingPointError("-infinity for a label")
        return found
