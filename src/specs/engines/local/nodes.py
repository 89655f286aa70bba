"""The nodes of a token tree, and the logits that the tree keeps by node. Nothing here calls the model."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import takewhile

import numpy as np

from specs.engines.arrays import Bools
from specs.engines.local.logits import Logits, LogitsOps

ROOT = -1
"""The end of the trunk: the parent of the nodes that follow it directly."""


class TreeNodes:
    """Nodes below the trunk, numbered from 0 in the order in which they were added; parents come first."""

    def __init__(self) -> None:
        self._children: dict[tuple[int, int], int] = {}
        self._links: list[tuple[int, int]] = []
        """Parent and token of each node. Of nodes with the same, the newest is the child; older ones stay behind it."""
        self._depths: list[int] = []
        self._descends: Bools = np.zeros((32, 32), bool)
        """[node, node]: whether the row's node is the column's node or descends from it."""

    def __len__(self) -> int:
        return len(self._depths)

    def clear(self) -> None:
        """Drop all nodes."""
        self._children, self._links, self._depths = {}, [], []
        self._descends = np.zeros((32, 32), bool)

    def child(self, parent: int, token: int) -> int | None:
        """The node of `token` below `parent`; None if there is none."""
        return self._children.get((parent, token))

    def depth(self, node: int) -> int:
        """Tokens between the trunk and the end of this node; 0 for `ROOT`."""
        return 0 if node == ROOT else self._depths[node] + 1

    def walk(self, node: int, path: Sequence[int]) -> list[int]:
        """The nodes along `path` below `node`, as far as they exist."""
        walked: list[int] = []
        for token in path:
            child = self._children.get((node, token))
            if child is None:
                break
            walked.append(node := child)
        return walked

    def reachable(
        self, root: int, tails: Sequence[Sequence[int]], logits: KeptLogits | None, descendants: bool
    ) -> list[int]:
        """The nodes along the tails below `root` and the nodes below complete tails, in ascending order.

        Args:
            logits: if given, the last node of a tail counts only if it has logits here, and a node below a tail only
                if it is open.
            descendants: whether nodes below the tails count.
        """
        walks = [self.walk(root, tail) for tail in tails]
        if logits is not None:
            last = {walk[-1] for walk, tail in zip(walks, tails, strict=True) if walk and len(walk) == len(tail)}
            missing = {node for node in last if node not in logits}
            walks = [list(takewhile(lambda node: node not in missing, walk)) for walk in walks]
        found = {node for walk in walks for node in walk}
        if descendants:
            complete = (walk for walk, tail in zip(walks, tails, strict=True) if len(walk) == len(tail))
            found |= self._below({[root, *walk][-1] for walk in complete}, None if logits is None else logits.open)
        return sorted(found)

    def _below(self, ends: Container[int], among: Container[int] | None) -> set[int]:
        """All nodes below `ends`; with `among` only those whose path up to `ends` consists of nodes in `among`."""
        found: set[int] = set()
        for (parent, _), node in self._children.items():  # parents first
            if (parent in ends or parent in found) and (among is None or node in among):
                found.add(node)
        return found

    def plan(
        self,
        paths: Sequence[Sequence[int]],
        starts: Sequence[int] | None = None,
        usable: Container[int] | None = None,
    ) -> tuple[list[int], list[int], list[list[int]]]:
        """The nodes that must be added so that all paths exist.

        Args:
            starts: the node below which each path lies; None for `ROOT`.
            usable: the old nodes that paths may lead through; None for all.

        Returns:
            Parents and tokens of the new nodes to add, and the nodes of each path.
        """
        new: dict[tuple[int, int], int] = {}
        held = len(self)
        walks: list[list[int]] = []
        for node, path in zip(starts or [ROOT] * len(paths), paths, strict=True):
            walk: list[int] = []
            for token in path:
                known = self._children.get((node, token))
                if known is None or (usable is not None and known not in usable):
                    known = new.setdefault((node, token), held + len(new))
                walk.append(node := known)
            walks.append(walk)
        return [parent for parent, _ in new], [token for _, token in new], walks

    def add(self, parents: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """Add a node for each token; returns the number of nodes between the trunk and each new node."""
        held = len(self)
        for parent, token in zip(parents, tokens, strict=True):
            self._children[parent, token] = len(self._depths)
            self._links.append((parent, token))
            self._depths.append(self.depth(parent))
        return self._depths[held:]

    def keep(self, nodes: Sequence[int], number: Mapping[int, int], levels: int) -> None:
        """Drop all nodes but `nodes`, which ascend.

        Args:
            number: the new number of each kept node, and of the node that becomes `ROOT`.
            levels: by how much the depths shrink.
        """
        links = (self._links[node] for node in nodes)
        self._links = [(number[parent], token) for parent, token in links]
        self._children = {link: node for node, link in enumerate(self._links)}
        self._depths = [self._depths[node] - levels for node in nodes]
        descends = self._descends
        self._descends = np.zeros((32, 32), bool)
        self._reserve(len(nodes))
        self._descends[: len(nodes), : len(nodes)] = descends[np.ix_(nodes, nodes)]

    def visible(self, parents: Sequence[int], computed: int, lead: int) -> Bools:
        """The attention mask of a pass over `lead` tokens of the trunk and the newest nodes, whose `parents` are given.

        Args:
            computed: tokens of the trunk that are in the cache.

        Returns:
            [lead + new, computed + lead + nodes]: whether a token (row) attends to an entry (column).
        """
        nodes, new = len(self), len(parents)
        held = nodes - new
        self._reserve(nodes)
        for node, parent in enumerate(parents, held):
            if parent != ROOT:
                self._descends[node] = self._descends[parent]
            self._descends[node, node] = True
        visible = np.ones((lead + new, computed + lead + nodes), bool)
        if lead:
            visible[:lead, computed:] = np.tri(lead, lead + nodes, dtype=bool)
        visible[lead:, computed + lead :] = self._descends[held:nodes, :nodes]
        return visible

    def _reserve(self, nodes: int) -> None:
        while nodes > len(self._descends):
            self._descends = np.pad(self._descends, (0, len(self._descends)))


class KeptLogits:
    """The logits that a token tree keeps for later, by node.

    Attributes:
        rows: one row [width] for each node.
        open: the nodes among these after which candidates may continue (`TokenTree.prefix_logits`).
    """

    def __init__(self, ops: LogitsOps) -> None:
        self._ops = ops
        self.rows: dict[int, Logits] = {}
        self.open: set[int] = set()

    def __contains__(self, node: object) -> bool:
        return node in self.rows

    def clear(self) -> None:
        """Drop all logits."""
        self.rows, self.open = {}, set()

    def add(self, nodes: Iterable[int], rows: Logits) -> None:
        """Keep the rows of these nodes."""
        self.rows |= zip(nodes, rows, strict=True)

    def stacked(self, nodes: Sequence[int]) -> Logits:
        """The logits [len(nodes), width] of these nodes."""
        return self._ops.stack([self.rows[node] for node in nodes])

    def renumber(self, number: Mapping[int, int]) -> None:
        """Give nodes their new numbers, and drop the logits of nodes that have none."""
        kept = {number[node]: row for node, row in self.rows.items() if node in number}
        if kept and len(kept) < len(self.rows):  # copy, because a view of one row keeps all rows of its pass in memory
            kept = dict(zip(kept, self._ops.stack(list(kept.values())), strict=True))
        self.rows = kept
        self.open = {number[node] for node in self.open if node in number}
