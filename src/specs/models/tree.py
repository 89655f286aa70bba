"""The accepted prefix and its candidates as one tree of tokens over one KV cache.

No position is computed twice: the prefix is held once and shared by all candidates, and
candidates that begin alike share their beginning too (a fork is a new row in a mask). When a
step is accepted its nodes move behind the prefix and the others are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specs.errors import Stopped
from specs.models.backend import Backend, Bools, Floats
from specs.types import Finish

ROOT = -1
"""The parent of nodes that follow the accepted prefix directly."""


@dataclass(slots=True)
class Counts:
    """Token positions of one session (`specs.types.Usage` has the meanings)."""

    prompt: int = 0
    processed: int = 0
    cached: int = 0


class Tree:
    """Token tree of one sequence on one backend.

    The cache holds the computed part of the accepted sequence, then the nodes in the order in
    which they grew. Nodes are numbered from 0 in that order.
    """

    def __init__(self, backend: Backend, prompt_ids: Sequence[int]) -> None:
        self.backend = backend
        self.counts = Counts(prompt=len(prompt_ids))
        self._ids: tuple[int, ...] = tuple(prompt_ids)
        self._cache: Any = backend.cache()
        self._computed = 0
        self._root_row: Floats | None = None
        self._drop_nodes()

    @property
    def room(self) -> int:
        """Tokens that may still follow the accepted sequence."""
        return self.backend.context - len(self._ids)

    def settle(self, ids: Sequence[int]) -> None:
        """Make `ids` the accepted sequence and drop all nodes, keeping what was computed of it."""
        ids = tuple(ids)
        shared = _shared(ids, self._ids[: self._computed])
        path: list[int] = []
        if shared == len(self._ids):
            node = ROOT
            for token in ids[shared:]:
                node = self._children.get((node, token), ROOT)
                if node == ROOT:
                    break
                path.append(node)
        if shared < self._computed or self._depth:
            self.backend.keep(self._cache, shared, np.asarray(path, np.int64) + shared)
        if ids != self._ids or shared < self._computed:
            self._root_row = None
        self._ids = ids
        self._computed = shared + len(path)
        self._drop_nodes()

    def root(self) -> Floats:
        """[width] output after the accepted sequence."""
        if self._root_row is not None:
            return self._root_row
        if self._computed == len(self._ids):  # computed as a candidate, its output not kept
            self._computed -= 1
            self.backend.keep(self._cache, self._computed, np.zeros(0, np.int64))
        row = self._root_row = self._forward([], [], [ROOT])[0]
        return row

    def grow(self, parents: Sequence[int], tokens: Sequence[int]) -> Floats:
        """Add one node a token below its parent (an earlier node or `ROOT`).

        Returns:
            [len(tokens), width] outputs after the new nodes; they get the next numbers in order.
        """
        return self._forward(parents, tokens, range(len(tokens)))

    def prefixes(self, paths: Sequence[Sequence[int]]) -> tuple[Floats, list[list[int]]]:
        """Outputs after every prefix of every path, shared beginnings computed once, in one pass.

        The tree must have no nodes (`settle` first).

        Returns:
            Outputs [rows, width]; for each path the row of each of its prefixes, the empty one
            first (`len(path) + 1` entries).
        """
        parents, tokens, walks = _merge(paths)
        if self._root_row is None and self._computed == len(self._ids):
            self.root()
        if self._root_row is None:
            rows = self._forward(parents, tokens, [ROOT, *range(len(tokens))])
            self._root_row = rows[0]
        elif tokens:
            rows = np.concatenate([self._root_row[None], self._forward(parents, tokens, range(len(tokens)))])
        else:
            rows = self._root_row[None]
        return rows, [[0, *(node + 1 for node in walk)] for walk in walks]

    def ends(self, paths: Sequence[Sequence[int]]) -> Floats:
        """[len(paths), width] output after each whole, non-empty path, in one pass; `settle` first."""
        parents, tokens, walks = _merge(paths)
        last = [walk[-1] for walk in walks]
        distinct = sorted(set(last))
        rows = self._forward(parents, tokens, distinct)
        return rows[np.searchsorted(distinct, last)]

    def _drop_nodes(self) -> None:
        self._children: dict[tuple[int, int], int] = {}
        self._depth: list[int] = []
        self._lineage: Bools = np.zeros((32, 32), bool)
        """[node, node]: whether the row's node is the column's or descends from it."""

    def _forward(self, parents: Sequence[int], tokens: Sequence[int], want: Sequence[int]) -> Floats:
        """One pass over what is missing of the accepted sequence and over new nodes.

        `want` numbers the new nodes from 0; `ROOT` stands for the end of the accepted sequence.
        """
        missing = self._ids[self._computed :]
        held, base = len(self._depth), len(self._ids)
        for parent, token in zip(parents, tokens, strict=True):
            self._children[parent, token] = len(self._depth)
            self._depth.append(0 if parent == ROOT else self._depth[parent] + 1)
        positions = np.array([*range(self._computed, base), *(base + d for d in self._depth[held:])], np.int64)
        if positions.max() >= self.backend.context:
            raise Stopped(Finish.CONTEXT)
        rows = self.backend.forward(
            self._cache,
            np.array([*missing, *tokens], np.int64),
            positions,
            self._visible(parents, held, len(missing)) if tokens else None,
            np.array([len(missing) + node for node in want], np.int64),
        )
        self.counts.processed += len(positions)
        self.counts.cached += self._computed
        self._computed = base
        return rows

    def _visible(self, parents: Sequence[int], held: int, lead: int) -> Bools:
        """[lead + new, computed + held + lead + new]: who attends to whom."""
        new = len(parents)
        nodes = held + new
        while nodes > len(self._lineage):
            self._lineage = np.pad(self._lineage, (0, len(self._lineage)))
        for node, parent in enumerate(parents, held):
            if parent != ROOT:
                self._lineage[node] = self._lineage[parent]
            self._lineage[node, node] = True
        before = self._computed
        visible = np.ones((lead + new, before + lead + nodes), bool)
        visible[:lead, before:] = np.tri(lead, lead + nodes, dtype=bool)
        visible[lead:, before + lead :] = self._lineage[held:nodes, :nodes]
        return visible


def _merge(paths: Sequence[Sequence[int]]) -> tuple[list[int], list[int], list[list[int]]]:
    """Parents and tokens of the distinct prefixes of all paths, and each path's nodes."""
    found: dict[tuple[int, int], int] = {}
    parents: list[int] = []
    tokens: list[int] = []
    walks: list[list[int]] = []
    for path in paths:
        node, walk = ROOT, []
        for token in path:
            child = found.setdefault((node, token), len(tokens))
            if child == len(tokens):
                parents.append(node)
                tokens.append(token)
            node = child
            walk.append(node)
        walks.append(walk)
    return parents, tokens, walks


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(k for k in range(length) if one[k] != other[k])
