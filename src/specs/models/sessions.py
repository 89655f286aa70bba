"""In-process sessions: one role's view of one solve, on any backend.

A session is asked about a trace and brings its own token sequence in line with it; what it
computed before is kept. The same code serves every backend (light, transformers, tabular).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from specs.core.keys import Key, TokenUniforms
from specs.core.ledger import Turn
from specs.core.sampling import draw, log_law
from specs.errors import Stopped
from specs.models.backend import Backend
from specs.models.stepping import Stepper
from specs.models.text import Text
from specs.models.tree import ROOT, Counts, Tree
from specs.rewards.formats import RewardFormat
from specs.types import Candidate, End, Finish, Law, Trace

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
    """A language model in one solve: samples steps, scores steps."""

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

    def sample(self, trace: Trace, n: int, law: Law, key: Key, watch: Watch) -> list[Sample]:
        """Draw `n` independent candidate steps.

        Rows are distinct beginnings, not candidates: candidates that have drawn the same tokens
        so far share one row, and a finished candidate costs nothing more.
        """
        tree = self._tree
        tree.settle(self._ids(trace))
        cap = min(law.steps.max_tokens, tree.room)
        if cap < 1:
            raise Stopped(Finish.CONTEXT)
        uniforms = TokenUniforms(key, n)
        drawn: list[list[int]] = [[] for _ in range(n)]
        total = np.zeros(n)
        steppers = [Stepper(law.steps, self._text, cap) for _ in range(n)]
        ends: list[End | None] = [None] * n
        live = list(range(n))
        row_of = [0] * n  # the row of `rows` that each live candidate goes on from
        first_node = ROOT  # the tree's node of row 0
        rows = tree.root()[None]
        grown_before = 0
        for token_idx in range(cap):
            log_p = log_law(rows, law.temperature, law.top_p)
            tokens = draw(log_p, row_of, uniforms.at(token_idx)[live])
            total[live] += log_p[row_of, tokens]
            branches: dict[tuple[int, int], int] = {}  # (node, token) -> row of the next round
            still, next_row = [], []
            for candidate_idx, row, token in zip(live, row_of, tokens, strict=True):
                drawn[candidate_idx].append(token)
                end = ends[candidate_idx] = steppers[candidate_idx].push(token)
                if end is None:
                    still.append(candidate_idx)
                    next_row.append(branches.setdefault((first_node + row, token), len(branches)))
            if not still:
                break
            live, row_of = still, next_row
            watch()
            parents, new_tokens = zip(*branches, strict=True)
            rows = tree.grow(parents, new_tokens)
            first_node, grown_before = grown_before, grown_before + len(branches)
        return [
            Sample(tuple(drawn[k]), steppers[k].text, end, float(total[k]))
            for k, end in enumerate(ends)
            if end is not None
        ]

    def log_probabilities(self, trace: Trace, candidates: Sequence[Candidate], law: Law) -> list[float]:
        """`log p(y|c)` of each candidate in nats, end-of-text included, in one forward pass."""
        tree = self._tree
        if not self.through_text:
            tree.settle(self._ids(trace))
            paths: list[tuple[int, ...]] = [candidate.token_ids for candidate in candidates]
        else:
            paths = self._reread(trace, candidates)
        rows, walks = tree.prefixes([path[:-1] for path in paths])
        law_rows = log_law(rows, law.temperature, law.top_p)
        return [
            float(law_rows[walk, list(path)].sum(dtype=np.float64)) for walk, path in zip(walks, paths, strict=True)
        ]

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
        self._tree.settle(self._prompt + tuple(before[:common]))
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

    def rewards(self, trace: Trace, candidates: Sequence[Candidate], delimiter: str | None) -> list[float]:
        """Reward in [0, 1] of each trace extended by one candidate, read at its last step."""
        prefix, continues = self._prefix(trace, delimiter)
        paths = [self._path(trace, candidate, continues, delimiter) for candidate in candidates]
        # A blank step closes nothing: the trace still ends with the step before it, if any.
        before = trace.steps[-1].reward if trace.steps else None
        rewards = [0.0 if before is None else before] * len(paths)
        filled = [k for k, path in enumerate(paths) if path]
        if filled:
            self._tree.settle(prefix)
            rows = self._tree.ends([paths[k] for k in filled])
            for k, reward in zip(filled, self._form.rewards(rows), strict=True):
                rewards[k] = float(reward)
        return rewards

    def turn(
        self, trace: Trace, asked: Sequence[Candidate] | None, kept: Candidate | None, delimiter: str | None
    ) -> Turn:
        """This model's part in a step, for the ledger."""
        _, continues = self._prefix(trace, delimiter)
        path = partial(self._path, trace, continues=continues, delimiter=delimiter)
        accepted = None if kept is None else path(kept)[: -1 if kept.end is End.CAP else None]
        paths = [] if asked is None else [p for candidate in asked if (p := path(candidate))]
        return Turn(paths or None, accepted)

    def _prefix(self, trace: Trace, delimiter: str | None) -> tuple[tuple[int, ...], bool]:
        ids = list(self._prompt)
        continues = False
        for step_idx, step in enumerate(trace.steps):
            content = self._content(step.text, continues, step_idx == 0, delimiter)
            ids += content
            closes = step.end is not End.CAP and bool(content or continues)
            continues = step.end is End.CAP and bool(content or continues)
            if closes:
                ids.append(self._form.separator)
        return tuple(ids), continues

    def _path(self, trace: Trace, candidate: Candidate, continues: bool, delimiter: str | None) -> tuple[int, ...]:
        """What a step adds to the model's input, its separator last; nothing for a blank step.

        An unfinished step is read through a separator too, which is no part of the sequence
        that goes on.
        """
        content = self._content(candidate.text, continues, not trace.steps, delimiter)
        return (*content, self._form.separator) if content or continues else ()

    def _content(self, text: str, continues: bool, first: bool, delimiter: str | None) -> tuple[int, ...]:
        key = (text, continues, first)
        if key not in self._read:
            ids: list[int] = []
            for part_idx, part in enumerate(text.split(delimiter) if delimiter else [text]):
                content = self._form.content(part, first and not part_idx, continues and not part_idx)
                if part_idx and content and (ids or continues):
                    ids.append(self._form.separator)
                ids += content
            self._read[key] = tuple(ids)
        return self._read[key]
