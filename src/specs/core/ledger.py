"""The fewest token positions that a solve has to compute, derived from its queries.

Each role computes the prompt once, and in each query every *distinct prefix* of its traces and candidates once
(a writer or scorer leaves out a candidate's last token, since nothing follows it yet). Between two queries a role keeps
the prefixes of the next query's traces and, as long as a trace stays the same, what it has scored after that trace.
docs/engines.md derives this.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from itertools import takewhile

Ids = tuple[int, ...]
Query = Sequence[tuple[Ids, Sequence[Ids]]]
"""One call of a role: for each trace its tokens after the prompt, and the token paths after them to be computed.

The role computes nothing for a trace without paths, but keeps what it has of that trace.
"""
ROOT = 0
"""The node at the end of the trunk."""


class Minimum:
    """Counts the positions of one role, query by query.

    What the role keeps is a tree of tokens: the common beginning of the last query's traces (the trunk), and nodes
    below it. So a query takes time for its candidates; of a trace, only the comparison with the trunk grows.

    Attributes:
        total: the positions so far, prompt included; 0 while no query had anything to compute.
        queries: the number of queries so far.
    """

    def __init__(self, prompt: int) -> None:
        """`prompt` is the number of tokens of the prompt."""
        self.total = self.queries = 0
        self._prompt, self._begun = prompt, False
        self._trunk: Ids = ()
        self._nodes: dict[tuple[int, int], int] = {}
        """Node by parent and token; later nodes have larger numbers."""
        self._parents: dict[int, int] = {}
        self._last = ROOT
        self._held: set[int] = set()
        self._open: set[int] = set()
        """The held nodes after which the role can continue, other than the last query's traces."""

    def add(self, query: Query, scored: bool = False) -> None:
        """Count a query; after a `scored` one the role can continue after every prefix of every path."""
        self.queries += 1
        if not query:  # only blank steps: the role computes nothing and drops nothing
            return
        if not self._begun:
            self._begun, self.total = True, self._prompt
        self._shorten(min(shared_length(self._trunk, trace) for trace, _ in query))
        rests = [trace[len(self._trunk) :] for trace, _ in query]
        held = self._held
        traces: set[int] = set()
        needed: set[int] = set()
        ends: set[int] = set()
        for rest, (_, paths) in zip(rests, query, strict=True):
            walked = self._walk(ROOT, rest)
            traces.update(walked if paths else held.intersection(walked))
            end = walked[-1] if walked else ROOT
            ends.add(end)
            for path in paths:
                needed.update(self._walk(end, path))
        needed |= traces
        kept = held & traces
        for node in sorted(self._open):  # parents first
            parent = self._parents[node]
            if parent in ends or (parent in kept and parent not in traces):
                kept.add(node)
        self.total += len(needed - kept)
        self._held = kept | needed
        self._open = ((self._open & kept) | (needed if scored else set())) - traces
        self._lengthen(rests)

    def _walk(self, start: int, path: Ids) -> list[int]:
        """The node of each prefix of `path`; equal prefixes have the same node."""
        walked: list[int] = []
        for token in path:
            start = self._nodes.get((start, token)) or self._new(start, token)
            walked.append(start)
        return walked

    def _new(self, parent: int, token: int) -> int:
        self._last += 1
        self._link(parent, token, self._last)
        return self._last

    def _lengthen(self, rests: Sequence[Ids]) -> None:
        """Move the trunk's end along the held common beginning of all traces, and drop what is not held."""
        first, shared = rests[0], min(shared_length(rests[0], rest) for rest in rests)
        path = takewhile(self._held.__contains__, self._walk(ROOT, first[:shared]))
        trunk = [ROOT, *path]
        self._trunk += first[: len(trunk) - 1]
        self._held.difference_update(trunk)
        before, self._nodes, self._parents = self._nodes, {}, {}
        for (parent, token), node in before.items():
            if node in self._held:
                self._link(ROOT if parent == trunk[-1] else parent, token, node)

    def _shorten(self, length: int) -> None:
        """Turn the tokens of the trunk from index `length` on into held nodes, above the others."""
        rest, self._trunk = self._trunk[length:], self._trunk[:length]
        if not rest:
            return
        below, self._nodes, self._parents = self._nodes, {}, {}
        chain = self._walk(ROOT, rest)
        number = {ROOT: chain[-1]}
        for (parent, token), node in below.items():  # parents first, and with smaller numbers
            number[node] = self._new(number[parent], token)
        self._held = {*chain, *(number[node] for node in self._held)}
        self._open = {number[node] for node in self._open}

    def _link(self, parent: int, token: int, node: int) -> None:
        self._nodes[parent, token] = node
        self._parents[node] = parent


def minimum(prompt: int, queries: Iterable[Query], scored: Container[int] = ()) -> int:
    """The positions that a role has to compute for a prompt of `prompt` tokens and these queries.

    Args:
        scored: indices of the queries after which the role can continue after every prefix of every path, not only
            after those that become traces.
    """
    counted = Minimum(prompt)
    for query_idx, query in enumerate(queries):
        counted.add(query, query_idx in scored)
    return counted.total


def shared_length(one: Ids, other: Ids) -> int:
    """Length of the longest common prefix."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(place for place in range(length) if one[place] != other[place])
