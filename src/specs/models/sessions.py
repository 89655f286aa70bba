"""In-process sessions: one role's view of one solve, on any backend.

A session is asked about a trace and brings its own token sequence in line with it; what it
computed before is kept. The same code serves every backend (light, transformers, tabular).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from specs.core.keys import Key, TokenUniforms
from specs.core.ledger import Ask, Ids
from specs.core.sampling import draw, log_law
from specs.engine import Group
from specs.errors import Stopped
from specs.models.backend import Backend
from specs.models.stepping import Stepper
from specs.models.text import Text
from specs.models.tree import Counts, Tree
from specs.rewards.formats import RewardFormat
from specs.types import Candidate, End, Finish, Judge, Law, Trace

Watch = Callable[[], None]
"""Called between tokens; raises `Stopped` when the solve must end."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sampled step and its log-probability in nats under the law that it was drawn from."""

    token_ids: tuple[int, ...]
    text: str
    end: End
    log_probability: float


class PolicySession:
    """A language model in one solve: samples steps, scores steps, rates steps."""

    def __init__(self, backend: Backend, text: Text, prompt_ids: Sequence[int], fingerprints: frozenset[str]) -> None:
        """`fingerprints` are the vocabularies of all writers of this solve: with more than one,
        traces and candidates are read through their text."""
        self._tree = Tree(backend, prompt_ids)
        self._text = text
        self._prompt = tuple(prompt_ids)
        self.through_text = fingerprints != {text.fingerprint}

    @property
    def counts(self) -> Counts:
        return self._tree.counts

    def sample(self, traces: Sequence[Trace], n: int, law: Law, keys: Sequence[Key], watch: Watch) -> list[Sample]:
        """Draw `n` independent candidate steps of each trace, trace by trace, each with its own key.

        Rows are distinct beginnings, not candidates: candidates that have drawn the same tokens
        so far share one row, and a finished candidate costs nothing more.
        """
        tree = self._tree
        sequences = [self._ids(trace) for trace in traces]
        tails = tree.settle(*sequences, outputs=True)
        cap = min(law.steps.max_tokens, tree.backend.context - max(map(len, sequences)))
        if cap < 1:
            raise Stopped(Finish.CONTEXT)
        total_n = n * len(traces)
        uniforms = [TokenUniforms(key, n) for key in keys]
        drawn: list[list[int]] = [[] for _ in range(total_n)]
        total = np.zeros(total_n)
        steppers = [Stepper(law.steps, self._text, cap) for _ in range(total_n)]
        ends: list[End | None] = [None] * total_n
        live = list(range(total_n))
        rows, nodes, row_of_trace = tree.tips(tails)
        row_of = [row for row in row_of_trace for _ in range(n)]  # where each live candidate goes on from
        for token_idx in range(cap):
            log_p = log_law(rows, law.temperature, law.top_p)
            tokens = draw(log_p, row_of, np.concatenate([u.at(token_idx) for u in uniforms])[live])
            total[live] += log_p[row_of, tokens]
            branches: dict[tuple[int, int], int] = {}  # (node, token) -> row of the next round
            still, next_row = [], []
            for candidate_idx, row, token in zip(live, row_of, tokens, strict=True):
                drawn[candidate_idx].append(token)
                end = ends[candidate_idx] = steppers[candidate_idx].push(token)
                if end is None:
                    still.append(candidate_idx)
                    next_row.append(branches.setdefault((nodes[row], token), len(branches)))
            if not still:
                break
            live, row_of = still, next_row
            watch()
            parents, new_tokens = zip(*branches, strict=True)
            rows, nodes = tree.grow(parents, new_tokens)
        return [
            Sample(tuple(drawn[k]), steppers[k].text, end, float(total[k]))
            for k, end in enumerate(ends)
            if end is not None
        ]

    def log_probabilities(self, groups: Sequence[Group], law: Law) -> list[float]:
        """`log p(y|c)` of each candidate in nats, end-of-text included, in one forward pass.

        (One pass a trace where candidates are read through their text.)
        """
        if self.through_text:
            return [
                log_p
                for trace, candidates in groups
                for log_p in self._score([()] * len(candidates), self._reread(trace, candidates), law)
            ]
        tails = self._tree.settle(*(self._ids(trace) for trace, _ in groups), outputs=True)
        return self._score(
            [tail for tail, (_, candidates) in zip(tails, groups, strict=True) for _ in candidates],
            [candidate.token_ids for _, candidates in groups for candidate in candidates],
            law,
        )

    def _score(self, tails: Sequence[tuple[int, ...]], paths: Sequence[tuple[int, ...]], law: Law) -> list[float]:
        """Log-probability of each path behind its tail."""
        rows, walks = self._tree.prefixes(tails, [path[:-1] for path in paths])
        law_rows = log_law(rows, law.temperature, law.top_p)
        return [
            float(law_rows[walk, list(path)].sum(dtype=np.float64)) for walk, path in zip(walks, paths, strict=True)
        ]

    def ratings(self, groups: Sequence[Group], judge: Judge) -> list[float]:
        """Rating in [0, 1] of each trace extended by one candidate: the place of the label that is
        the most likely next token, 0 where another token is. In one forward pass.

        (One pass a trace where candidates are read through their text.)
        """
        if self.through_text:
            return [
                rating
                for trace, candidates in groups
                for rating in self._rate([()] * len(candidates), self._reread(trace, candidates), judge)
            ]
        tails = self._tree.settle(*(self._ids(trace) for trace, _ in groups), outputs=True)
        return self._rate(
            [tail for tail, (_, candidates) in zip(tails, groups, strict=True) for _ in candidates],
            [candidate.token_ids for _, candidates in groups for candidate in candidates],
            judge,
        )

    def ask(self, groups: Sequence[Group], judge: Judge) -> Ask:
        """What these ratings have the model run through, for the ledger."""
        asked, _ = self._text.judgement(judge)
        return [
            (trace.token_ids, [(*self._said(candidate.token_ids), *asked) for candidate in candidates])
            for trace, candidates in groups
        ]

    def _rate(self, tails: Sequence[tuple[int, ...]], paths: Sequence[tuple[int, ...]], judge: Judge) -> list[float]:
        asked, labels = self._text.judgement(judge)
        said = [(*tail, *self._said(path)) for tail, path in zip(tails, paths, strict=True)]
        # The target may have to write the next step after any of these, or this one again.
        keep = [(len(tail), len(path)) for tail, path in zip(tails, said, strict=True)]
        likely = self._tree.ends([(*path, *asked) for path in said], keep).argmax(axis=1).tolist()
        return [labels.index(token) / (len(labels) - 1) if token in labels else 0.0 for token in likely]

    def _said(self, path: tuple[int, ...]) -> tuple[int, ...]:
        """A step without end-of-text: what asks about it ends the turn in the template's own way."""
        return path[:-1] if path[-1] in self._text.end_ids else path

    def _ids(self, trace: Trace) -> tuple[int, ...]:
        return self._prompt + (tuple(self._text.encode(trace.text)) if self.through_text else trace.token_ids)

    def _reread(self, trace: Trace, candidates: Sequence[Candidate]) -> list[tuple[int, ...]]:
        """Candidates of another vocabulary as tokens of this one (inexact, said in the result).

        Prefix and candidate are tokenised together and scored from where the candidates, and the
        prefix as it stands, first differ; what lies before is common to all and cancels.
        """
        end = min(self._text.end_ids)
        whole = [
            (*self._text.encode(trace.text + c.text), *([end] if c.end is End.END_OF_TEXT else [])) for c in candidates
        ]
        before = self._text.encode(trace.text)
        common = len(before)
        for ids in whole:
            length = min(common, len(ids) - 1)
            common = next((k for k in range(length) if ids[k] != before[k]), length)
        self._tree.settle(self._prompt + tuple(before[:common]), outputs=True)
        return [ids[common:] for ids in whole]


class RewardSession:
    """A process reward model in one solve."""

    def __init__(self, backend: Backend, form: RewardFormat, prompt_ids: Sequence[int]) -> None:
        self._tree = Tree(backend, prompt_ids)
        self._form = form
        self._prompt = tuple(prompt_ids)
        self._read: dict[tuple[str, bool, bool], tuple[int, ...]] = {}

    @property
    def counts(self) -> Counts:
        return self._tree.counts

    def rewards(self, groups: Sequence[Group], delimiter: str | None) -> list[float]:
        """Reward in [0, 1] of each trace extended by one candidate, read at its last step."""
        rewards: list[float] = []
        filled: list[int] = []
        for (trace, _), (_, paths) in zip(groups, self._read_groups(groups, delimiter), strict=True):
            # A blank step closes nothing: the trace still ends with the step before it, if any.
            before = trace.steps[-1].reward if trace.steps else None
            filled += [len(rewards) + k for k, path in enumerate(paths) if path]
            rewards += [0.0 if before is None else before] * len(paths)
        asked = self.ask(groups, delimiter)
        if asked:
            tails = self._tree.settle(*((*self._prompt, *prefix) for prefix, _ in asked))
            whole = [(*tail, *path) for tail, (_, paths) in zip(tails, asked, strict=True) for path in paths]
            # A step that was cut short may yet end as one of another trace has ended.
            closed = [self._asked(path) for path in whole]
            rows = self._tree.ends(whole, closed)
            for k, reward in zip(filled, self._form.rewards(rows), strict=True):
                rewards[k] = float(reward)
        return rewards

    def ask(self, groups: Sequence[Group], delimiter: str | None) -> Ask:
        """What these rewards have the model run through, for the ledger; nothing for blank steps."""
        read = self._read_groups(groups, delimiter)
        return [(prefix, filled) for prefix, paths in read if (filled := [path for path in paths if path])]

    def _read_groups(self, groups: Sequence[Group], delimiter: str | None) -> list[tuple[Ids, list[Ids]]]:
        """Tokens of each trace after the prompt, and what each of its candidates adds."""
        read: list[tuple[Ids, list[Ids]]] = []
        for trace, candidates in groups:
            prefix, continues = self._prefix(trace, delimiter)
            read.append((prefix, [self._path(prefix, c, continues, delimiter) for c in candidates]))
        return read

    def _asked(self, path: Ids) -> list[int]:
        """After how many tokens of a path a reward can be asked for."""
        ask = self._form.ask
        return [k for k, token in enumerate(path, 1) if token == ask[-1] and path[k - len(ask) : k] == ask]

    def _prefix(self, trace: Trace, delimiter: str | None) -> tuple[tuple[int, ...], bool]:
        ids: list[int] = []
        continues = False
        for step in trace.steps:
            content = self._content(step.text, continues, not ids, delimiter)
            ids += content
            closes = step.end is not End.CAP and bool(content or continues)
            continues = step.end is End.CAP and bool(content or continues)
            if closes:
                ids += self._form.join
        return tuple(ids), continues

    def _path(self, prefix: Ids, candidate: Candidate, continues: bool, delimiter: str | None) -> tuple[int, ...]:
        """What a step adds to the model's input to read its reward; nothing for a blank step.

        An unfinished step is asked about too, but that is no part of the sequence that goes on.
        """
        content = self._content(candidate.text, continues, not prefix, delimiter)
        return (*content, *self._form.ask) if content or continues else ()

    def _content(self, text: str, continues: bool, first: bool, delimiter: str | None) -> tuple[int, ...]:
        key = (text, continues, first)
        if key not in self._read:
            ids: list[int] = []
            breaks = self._form.breaks or delimiter
            for part_idx, part in enumerate(text.split(breaks) if breaks else [text]):
                content = self._form.content(part, first and not ids, continues and not part_idx)
                if part_idx and content and (ids or continues):
                    ids += self._form.join
                ids += content
            self._read[key] = tuple(ids)
        return self._read[key]
