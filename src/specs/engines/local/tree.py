"""The accepted prefix and its candidates as one tree of tokens over one KV cache.

No position is computed twice: the prefix is held once and shared by all candidates, and
candidates that begin alike share their beginning too (a fork is a new row in a mask). When a
step is accepted its nodes move behind the prefix and the others are dropped. While a sequence is
gone on with, what is known behind it stays: a step that is written again costs nothing as far as it
begins like what was scored before. Of several sequences side by side (a search), what all begin with
is the trunk; the rest of each, its tail, stays in the tree as nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from specs.engines.arrays import Bools
from specs.engines.local.backend import Backend
from specs.engines.local.logits import Rows
from specs.engines.protocol import Counts, Stopped
from specs.types import Finish

ROOT = -1
"""The end of the trunk: the parent of nodes that follow it directly."""


class Tree:
    """Token tree of one solve on one backend.

    The cache holds the computed part of the trunk, then the nodes in the order in which they
    grew. Nodes are numbered from 0 in that order. There are none before all of the trunk is
    computed.
    """

    def __init__(self, backend: Backend, prompt_ids: Sequence[int]) -> None:
        self.backend = backend
        self.counts = Counts(prompt=len(prompt_ids))
        self._ids: tuple[int, ...] = tuple(prompt_ids)
        self._cache: Any = backend.cache()
        self._computed = 0
        self._outputs: dict[int, Rows] = {}
        """Outputs that are known for later, by node."""
        self._open: set[int] = set()
        """Of these nodes, those that `prefixes` has computed."""
        self._drop_nodes()

    def settle(self, *sequences: Sequence[int], outputs: bool = False, behind: bool = True) -> list[tuple[int, ...]]:
        """Go on with these sequences: what was computed of them and behind them stays, all else is dropped.

        Args:
            outputs: whether the outputs after the sequences, and of what stays behind them, are wanted
                too. Those of `grow` are not kept, so a last token that was computed as part of a
                candidate counts as missing, and behind the sequences only what `prefixes` has
                computed stays.
            behind: whether anything behind the sequences stays.

        Returns:
            The tail of each sequence: its tokens after the trunk. All paths are taken from the trunk.
        """
        trunk, tails = _split([tuple(sequence) for sequence in sequences])
        shared = _shared(trunk, self._ids[: self._computed])
        from_root = shared == len(self._ids)  # else the nodes are no continuation of the trunk
        path = self.walk(ROOT, trunk[shared:]) if from_root else []
        known = from_root and (path[-1] if path else ROOT) in self._outputs
        if outputs and not known and () in tails and shared + len(path) == len(trunk):
            path, shared = (path[:-1], shared) if path else ([], shared - 1)
        nodes: list[int] = []
        whole = from_root and shared + len(path) == len(trunk)
        if whole:
            root = path[-1] if path else ROOT
            walks = [self.walk(root, tail) for tail in tails]
            if outputs:
                last = {walk[-1] for walk, tail in zip(walks, tails, strict=True) if walk and len(walk) == len(tail)}
                again = last - self._outputs.keys()
                walks = [list(takewhile(lambda node: node not in again, walk)) for walk in walks]
            kept = {node for walk in walks for node in walk}
            if behind:
                whole_walks = (walk for walk, tail in zip(walks, tails, strict=True) if len(walk) == len(tail))
                kept |= self._behind({[root, *walk][-1] for walk in whole_walks}, outputs)
            nodes = sorted(kept)
        if shared < self._computed or self._depth:
            self.backend.keep(self._cache, shared, np.array([*path, *nodes], np.int64) + shared)
        if not whole:
            self._outputs, self._open = {}, set()
        self._ids = trunk
        self._computed = shared + len(path)
        self._keep_nodes(nodes, path)
        return tails

    def _behind(self, ends: set[int], outputs: bool) -> set[int]:
        """All nodes behind `ends`; with `outputs` those that are reached by nodes from `prefixes` alone."""
        found: set[int] = set()
        for (parent, _), node in self._children.items():  # parents first
            if (parent in ends or parent in found) and (not outputs or node in self._open):
                found.add(node)
        return found

    def tips(self, tails: Sequence[Sequence[int]]) -> tuple[Rows, list[int], list[int]]:
        """Outputs after settled sequences (`settle` with `outputs`).

        Returns:
            Outputs [rows, width]; the node of each row; for each tail its row.
        """
        rows, walks = self.prefixes(tails, [()] * len(tails))
        row_of = [walk[0] for walk in walks]
        node_of = {row: self.walk(ROOT, tail)[-1] if tail else ROOT for row, tail in zip(row_of, tails, strict=True)}
        return rows, [node_of[row] for row in range(len(rows))], row_of

    def grow(self, parents: Sequence[int], tokens: Sequence[int]) -> tuple[Rows, range]:
        """Add one node a token below its parent (an earlier node or `ROOT`).

        Returns:
            [len(tokens), width] outputs after the new nodes, and their numbers.
        """
        held = len(self._depth)
        return self._forward(parents, tokens, range(len(tokens))), range(held, held + len(tokens))

    def run(self, starts: Sequence[int], paths: Sequence[Sequence[int]]) -> list[int]:
        """Compute what is not known of the paths behind nodes `starts`, in one pass.

        Outputs stay known until sequences are settled.

        Returns:
            The last node of each path.
        """
        held, ends = len(self._depth), []
        new: dict[tuple[int, int], int] = {}
        for node, path in zip(starts, paths, strict=True):
            for token in path:
                known = self.known(node, token)
                node = new.setdefault((node, token), held + len(new)) if known is None else known
            ends.append(node)
        if new:
            rows = self._forward([parent for parent, _ in new], [token for _, token in new], range(len(new)))
            self._outputs |= zip(range(held, held + len(new)), rows, strict=True)
        return ends

    @property
    def size(self) -> int:
        """Nodes."""
        return len(self._depth)

    def room(self, node: int) -> int:
        """The number of tokens that fit in the context after a node."""
        depth = 0 if node == ROOT else self._depth[node] + 1
        return self.backend.context - len(self._ids) - depth

    def prune(self, nodes: Sequence[int]) -> dict[int, int]:
        """Drop all nodes but these; they ascend, and parents are among them. The new number of each, and of `ROOT`."""
        self.backend.keep(self._cache, self._computed, np.array(nodes, np.int64) + self._computed)
        self._keep_nodes(nodes, [])
        return {ROOT: ROOT, **{node: k for k, node in enumerate(nodes)}}

    def known(self, parent: int, token: int) -> int | None:
        """The node of `token` below `parent`, if its output is known."""
        node = self._children.get((parent, token))
        return node if node in self._outputs else None

    def outputs(self, nodes: Sequence[int]) -> Rows:
        """[len(nodes), width] known outputs."""
        return self.backend.outputs.stack([self._outputs[node] for node in nodes])

    def prefixes(self, tails: Sequence[Sequence[int]], paths: Sequence[Sequence[int]]) -> tuple[Rows, list[list[int]]]:
        """Outputs after every prefix of every path behind its tail, in one pass; all stay known.

        Shared beginnings are computed once. Tails come from `settle` with `outputs`, one a path.

        Returns:
            Outputs [rows, width]; for each path the row of each of its prefixes, the empty one
            first (`len(path) + 1` entries).
        """
        parents, tokens, walks = self._plan([(*tail, *path) for tail, path in zip(tails, paths, strict=True)])
        wanted = [[ROOT, *walk][len(tail) :] for tail, walk in zip(tails, walks, strict=True)]
        nodes = sorted({node for walk in wanted for node in walk})
        rows = self._rows(parents, tokens, nodes)
        self._outputs |= zip(nodes, rows, strict=True)
        self._open.update(nodes)
        place = {node: row for row, node in enumerate(nodes)}
        return rows, [[place[node] for node in walk] for walk in wanted]

    def compute(self) -> None:
        """Compute what is missing of the trunk, and keep the output after it. There are no nodes yet."""
        if len(self._ids) > self._computed:
            self._outputs[ROOT] = self._forward((), (), [ROOT])[0]

    def ends(self, paths: Sequence[Sequence[int]], keep: Sequence[Sequence[int]] = ()) -> Rows:
        """Output after each whole path, in one pass.

        Args:
            keep: for each path, after how many of its tokens the output stays known, for a later
                sequence or path that ends there.

        Returns:
            [len(paths), width]
        """
        parents, tokens, walks = self._plan(paths)
        last = [walk[-1] for walk in walks]
        stops = {[ROOT, *walk][count] for walk, counts in zip(walks, keep, strict=True) for count in counts}
        nodes = sorted(stops.union(last))
        rows = self._rows(parents, tokens, nodes)
        place = {node: row for row, node in enumerate(nodes)}
        if stops:  # a copy, to hold no rows but these
            kept = sorted(stops)
            self._outputs |= zip(kept, self.backend.outputs.stack([rows[place[node]] for node in kept]), strict=True)
        return rows[[place[node] for node in last]]

    def _rows(self, parents: Sequence[int], tokens: Sequence[int], nodes: Sequence[int]) -> Rows:
        """Add new nodes and return the outputs after `nodes`, which ascend: [len(nodes), width].

        An old node's output must be known, that of the trunk's end known or missing with the trunk.
        """
        held = len(self._depth)
        known = [node for node in nodes if node in self._outputs]
        missing = [node for node in nodes if node not in self._outputs]
        assert all(node >= held or node == ROOT for node in missing), "outputs are kept or computed again"
        if not missing:
            return self.outputs(known)
        rows = self._forward(parents, tokens, [node - held if node != ROOT else ROOT for node in missing])
        # What is known is older than what is missing.
        return self.backend.outputs.concatenate(self.outputs(known), rows) if known else rows

    def walk(self, node: int, path: Sequence[int]) -> list[int]:
        """The nodes along `path`, as far as there are any."""
        walked: list[int] = []
        for token in path:
            child = self._children.get((node, token))
            if child is None:
                break
            walked.append(node := child)
        return walked

    def _plan(self, paths: Sequence[Sequence[int]]) -> tuple[list[int], list[int], list[list[int]]]:
        """Parents and tokens of the nodes that the paths still need, and the nodes of each path."""
        new: dict[tuple[int, int], int] = {}
        held = len(self._depth)
        walks: list[list[int]] = []
        for path in paths:
            node, walk = ROOT, []
            for token in path:
                known = self._children.get((node, token))
                node = new.setdefault((node, token), held + len(new)) if known is None else known
                walk.append(node)
            walks.append(walk)
        return [parent for parent, _ in new], [token for _, token in new], walks

    def _keep_nodes(self, nodes: Sequence[int], path: Sequence[int]) -> None:
        """Number the kept nodes anew; those on `path` have become part of the trunk."""
        number = {path[-1] if path else ROOT: ROOT, **{node: k for k, node in enumerate(nodes)}}
        outputs = {number[node]: row for node, row in self._outputs.items() if node in number}
        if outputs and len(outputs) < len(self._outputs):  # a copy: a row of a pass holds all rows of the pass
            outputs = dict(zip(outputs, self.backend.outputs.stack(list(outputs.values())), strict=True))
        self._outputs = outputs
        self._open = {number[node] for node in self._open if node in number}
        children, depth, lineage = self._children, self._depth, self._lineage
        self._drop_nodes()
        self._children = {
            (number[parent], token): number[node]
            for (parent, token), node in children.items()
            if node in number and parent in number
        }
        self._depth = [depth[node] - len(path) for node in nodes]
        while len(nodes) > len(self._lineage):
            self._lineage = np.pad(self._lineage, (0, len(self._lineage)))
        self._lineage[: len(nodes), : len(nodes)] = lineage[np.ix_(nodes, nodes)]

    def _drop_nodes(self) -> None:
        self._children: dict[tuple[int, int], int] = {}
        self._depth: list[int] = []
        self._lineage: Bools = np.zeros((32, 32), bool)
        """[node, node]: whether the row's node is the column's or descends from it."""

    def _forward(self, parents: Sequence[int], tokens: Sequence[int], want: Sequence[int]) -> Rows:
        """One pass over what is missing of the trunk and over new nodes.

        `want` numbers the new nodes from 0; `ROOT` stands for the end of the trunk.
        """
        missing = self._ids[self._computed :]
        held, base = len(self._depth), len(self._ids)
        for parent, token in zip(parents, tokens, strict=True):
            self._children[parent, token] = len(self._depth)
            self._depth.append(0 if parent == ROOT else self._depth[parent] + 1)
        positions = [*range(self._computed, base), *(base + depth for depth in self._depth[held:])]
        if max(positions) >= self.backend.context:
            raise Stopped(Finish.CONTEXT)
        rows = self.backend.forward(
            self._cache,
            np.array([*missing, *tokens], np.int64),
            np.array(positions, np.int64),
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
        if lead:
            visible[:lead, before:] = np.tri(lead, lead + nodes, dtype=bool)
        visible[lead:, before + lead :] = self._lineage[held:nodes, :nodes]
        return visible


def _split(sequences: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """What all sequences begin with, and the rest of each."""
    trunk = sequences[0]
    for sequence in sequences[1:]:
        trunk = trunk[: _shared(trunk, sequence)]
    return trunk, [sequence[len(trunk) :] for sequence in sequences]


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(k for k in range(length) if one[k] != other[k])
