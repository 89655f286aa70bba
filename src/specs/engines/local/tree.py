"""The accepted prefix and its candidates as one tree of tokens over one KV cache.

The tree computes no position twice. It holds the prefix once for all candidates, and candidates that begin alike
share their beginning too: a fork is a new row in a mask. When the solve accepts a step, its nodes become part of the
prefix and the tree drops the others. While the prefix stays the same, the tree keeps what it has computed below it:
when the target rewrites a step, tokens with which a scored candidate began cost nothing. A search has several
sequences side by side. Their common beginning is the trunk; the rest of each, its tail, stays in the tree as nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specs.core.ledger import shared_length
from specs.engines.local.backend import Backend
from specs.engines.local.logits import Logits
from specs.engines.local.nodes import ROOT, KeptLogits, TreeNodes
from specs.engines.protocol import Stopped, TokenCounts
from specs.types import Finish


class TokenTree:
    """Token tree of one solve on one backend.

    The cache holds the computed part of the trunk, then the nodes in the order in which they were added
    (`TreeNodes`). There are no nodes before all of the trunk is computed.
    """

    def __init__(self, backend: Backend, prompt_ids: Sequence[int]) -> None:
        self.backend = backend
        self.counts = TokenCounts(prompt=len(prompt_ids))
        self._ids: tuple[int, ...] = tuple(prompt_ids)
        self._cache: Any = backend.cache()
        self._computed = 0
        self._nodes = TreeNodes()
        self._kept = KeptLogits(backend.logits_ops)

    def rebase(
        self, *sequences: Sequence[int], logits: bool = False, descendants: bool = True
    ) -> list[tuple[int, ...]]:
        """Continue with these sequences: keep what the tree has computed of them and below them, and drop the rest.

        Args:
            logits: whether the caller needs the logits after the sequences and of the kept descendants. The tree
                does not keep the logits of `grow`, so the last token of a sequence counts as missing if `grow`
                computed it, and only descendants that `prefix_logits` has computed stay.
            descendants: whether nodes below the sequences stay.

        Returns:
            The tail of each sequence: its tokens after the trunk. All paths start at the trunk's end.
        """
        trunk, tails = _split([tuple(sequence) for sequence in sequences])
        shared = shared_length(trunk, self._ids[: self._computed])
        from_root = shared == len(self._ids)  # otherwise the nodes do not continue the new trunk
        path = self.walk(ROOT, trunk[shared:]) if from_root else []
        known = from_root and (path[-1] if path else ROOT) in self._kept
        if logits and not known and () in tails and shared + len(path) == len(trunk):
            path, shared = (path[:-1], shared) if path else ([], shared - 1)
        nodes: list[int] = []
        complete = from_root and shared + len(path) == len(trunk)
        if complete:
            root = path[-1] if path else ROOT
            nodes = self._nodes.reachable(root, tails, self._kept if logits else None, descendants)
        if shared < self._computed or self._nodes:
            self.backend.keep(self._cache, shared, np.array([*path, *nodes], np.int64) + shared)
        if not complete:
            self._kept.clear()
        self._ids = trunk
        self._computed = shared + len(path)
        self._renumber(nodes, path)
        return tails

    def tip_logits(self, tails: Sequence[Sequence[int]]) -> tuple[Logits, list[int], list[int]]:
        """The logits after the sequences of the last `rebase` with `logits`.

        Returns:
            Logits [rows, width]; the node of each row; the row of each tail.
        """
        rows, walks = self.prefix_logits(tails, [()] * len(tails))
        row_of = [walk[0] for walk in walks]
        node_of = {row: self.walk(ROOT, tail)[-1] if tail else ROOT for row, tail in zip(row_of, tails, strict=True)}
        return rows, [node_of[row] for row in range(len(rows))], row_of

    def grow(self, parents: Sequence[int], tokens: Sequence[int]) -> tuple[Logits, range]:
        """Add a node for each token below its parent (an earlier node or `ROOT`).

        Returns:
            The logits [len(tokens), width] after the new nodes, and the nodes.
        """
        held = len(self._nodes)
        return self._forward(parents, tokens, range(len(tokens))), range(held, held + len(tokens))

    def compute_paths(self, starts: Sequence[int], paths: Sequence[Sequence[int]]) -> list[int]:
        """Compute the unknown part of a path below each node of `starts`, in one pass.

        The tree keeps all their logits until the next `rebase`.

        Returns:
            The last node of each path.
        """
        parents, tokens, walks = self._nodes.plan(paths, starts, self._kept)
        if tokens:
            held = len(self._nodes)
            self._kept.add(range(held, held + len(tokens)), self._forward(parents, tokens, range(len(tokens))))
        return [[start, *walk][-1] for start, walk in zip(starts, walks, strict=True)]

    @property
    def size(self) -> int:
        """The number of nodes."""
        return len(self._nodes)

    def free_context(self, node: int) -> int:
        """The number of tokens that fit in the context after a node."""
        return self.backend.context - len(self._ids) - self._nodes.depth(node)

    def prune(self, nodes: Sequence[int]) -> dict[int, int]:
        """Drop all nodes but `nodes`, which ascend and include their parents.

        Returns the new number of each of them, and of `ROOT`.
        """
        self.backend.keep(self._cache, self._computed, np.array(nodes, np.int64) + self._computed)
        return self._renumber(nodes, [])

    def known_child(self, parent: int, token: int) -> int | None:
        """The node of `token` below `parent`, if the tree keeps its logits."""
        node = self._nodes.child(parent, token)
        return node if node in self._kept else None

    def logits(self, nodes: Sequence[int]) -> Logits:
        """The kept logits [len(nodes), width] of these nodes."""
        return self._kept.stacked(nodes)

    def prefix_logits(
        self, tails: Sequence[Sequence[int]], paths: Sequence[Sequence[int]]
    ) -> tuple[Logits, list[list[int]]]:
        """The logits after every prefix of each path that follows its tail, in one pass; the tree keeps all of them.

        The pass computes shared beginnings once. The tails come from `rebase` with `logits`, one for each path.

        Returns:
            Logits [rows, width]; for each path the rows of its `len(path) + 1` prefixes, the empty one first.
        """
        parents, tokens, walks = self._nodes.plan([(*tail, *path) for tail, path in zip(tails, paths, strict=True)])
        wanted = [[ROOT, *walk][len(tail) :] for tail, walk in zip(tails, walks, strict=True)]
        nodes = sorted({node for walk in wanted for node in walk})
        rows = self._node_logits(parents, tokens, nodes)
        self._kept.add(nodes, rows)
        self._kept.open.update(nodes)
        place = {node: row for row, node in enumerate(nodes)}
        return rows, [[place[node] for node in walk] for walk in wanted]

    def compute_trunk(self) -> None:
        """Compute the missing part of the trunk, and keep the logits after it. There must be no nodes yet."""
        if len(self._ids) > self._computed:
            self._kept.add([ROOT], self._forward((), (), [ROOT]))

    def end_logits(self, paths: Sequence[Sequence[int]], keep: Sequence[Sequence[int]] = ()) -> Logits:
        """The logits [len(paths), width] after each whole path, in one pass.

        `keep` holds, for each path, the lengths of beginnings whose logits the tree keeps, unless it had dropped them.
        """
        parents, tokens, walks = self._nodes.plan(paths)
        last, held = [walk[-1] for walk in walks], len(self._nodes)
        ends = {[ROOT, *walk][count] for walk, counts in zip(walks, keep, strict=True) for count in counts}
        stops = sorted(node for node in ends if node == ROOT or node >= held or node in self._kept)
        nodes = sorted({*stops, *last})
        rows = self._node_logits(parents, tokens, nodes)
        place = {node: row for row, node in enumerate(nodes)}
        if stops:  # a copy, so that the tree does not hold the other rows
            self._kept.add(stops, self.backend.logits_ops.stack([rows[place[node]] for node in stops]))
        return rows[[place[node] for node in last]]

    def walk(self, node: int, path: Sequence[int]) -> list[int]:
        """The nodes along `path` below `node`, as far as they exist."""
        return self._nodes.walk(node, path)

    def _node_logits(self, parents: Sequence[int], tokens: Sequence[int], nodes: Sequence[int]) -> Logits:
        """Add new nodes and return the logits [len(nodes), width] after `nodes`, which ascend.

        The tree must have kept the logits of old nodes. Those of the trunk's end may be missing if the end of the
        trunk is not computed yet.
        """
        held = len(self._nodes)
        known = [node for node in nodes if node in self._kept]
        missing = [node for node in nodes if node not in self._kept]
        assert all(node >= held or node == ROOT for node in missing), "logits are kept or computed again"
        if not missing:
            return self.logits(known)
        rows = self._forward(parents, tokens, [node - held if node != ROOT else ROOT for node in missing])
        # Known nodes are older than missing ones.
        return self.backend.logits_ops.concatenate(self.logits(known), rows) if known else rows

    def _renumber(self, nodes: Sequence[int], path: Sequence[int]) -> dict[int, int]:
        """Give the kept nodes new numbers; those on `path` have become part of the trunk. Returns the new numbers."""
        number = {path[-1] if path else ROOT: ROOT, **{node: new for new, node in enumerate(nodes)}}
        self._kept.renumber(number)
        self._nodes.keep(nodes, number, len(path))
        return number

    def _forward(self, parents: Sequence[int], tokens: Sequence[int], want: Sequence[int]) -> Logits:
        """One pass over the missing part of the trunk and over new nodes.

        `want` numbers the new nodes from 0; `ROOT` stands for the end of the trunk.
        """
        missing = self._ids[self._computed :]
        base = len(self._ids)
        depths = self._nodes.add(parents, tokens)
        positions = [*range(self._computed, base), *(base + depth for depth in depths)]
        if max(positions) >= self.backend.context:
            raise Stopped(Finish.CONTEXT)
        rows = self.backend.forward(
            self._cache,
            np.array([*missing, *tokens], np.int64),
            np.array(positions, np.int64),
            self._nodes.visible(parents, self._computed, len(missing)) if tokens else None,
            np.array([len(missing) + node for node in want], np.int64),
        )
        self.counts.processed += len(positions)
        self.counts.cached += self._computed
        self._computed = base
        return rows


def _split(sequences: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The common beginning of all sequences, and the rest of each."""
    trunk = sequences[0]
    for sequence in sequences[1:]:
        trunk = trunk[: shared_length(trunk, sequence)]
    return trunk, [sequence[len(trunk) :] for sequence in sequences]
