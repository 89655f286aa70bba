"""The fewest token positions that a solve has to compute, derived from the queries that it records.

Each role computes the prompt once, and in each query every *distinct prefix* of its traces and candidates once
(a writer or scorer leaves out a candidate's last token, since nothing follows it yet). Between two queries a role keeps
the prefixes of the next query's traces and, as long as a trace stays the same, what it has scored after that trace.
docs/engines.md derives this.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

Ids = tuple[int, ...]
Query = Sequence[tuple[Ids, Sequence[Ids]]]
"""One call of a role: for each trace its tokens after the prompt, and the token paths after them to be computed.

The role computes nothing for a trace without paths, but keeps what it has of that trace.
"""


def minimum(prompt: int, queries: Sequence[Query], scored: Container[int] = ()) -> int:
    """Token positions that a role has to compute for a prompt of `prompt` tokens and these queries.

    Args:
        scored: indices of the queries after which the role can continue after every prefix of every path, not only
            after those that become traces.
    """
    nodes: dict[tuple[int, int], int] = {}
    parents: dict[int, int] = {}

    def walk(start: int, path: Ids) -> list[int]:
        """The node of each prefix of `path`; equal prefixes have the same node."""
        walked: list[int] = []
        for token in path:
            node = nodes.setdefault((start, token), len(nodes) + 1)
            parents[node] = start
            walked.append(start := node)
        return walked

    total = 0
    held: set[int] | None = None
    open_: set[int] = set()
    """The held nodes after which the role can continue."""
    for query_idx, query in enumerate(queries):
        if not query:  # only blank steps: the role computes nothing and drops nothing
            continue
        if held is None:
            total, held = prompt, set[int]()
        traces: set[int] = set()
        needed: set[int] = set()
        ends: set[int] = set()
        for trace, paths in query:
            walked = walk(0, trace)
            traces.update(walked if paths else held.intersection(walked))
            ends.add(walked[-1] if walked else 0)
            for path in paths:
                needed.update(walk(walked[-1] if walked else 0, path))
        needed |= traces
        kept = held & traces
        for node in sorted(open_):  # parents first
            if parents[node] in ends or (parents[node] in kept and parents[node] not in traces):
                kept.add(node)
        total += len(needed - kept)
        held = kept | needed
        open_ = (open_ & kept) | (needed if query_idx in scored else set())
        open_ -= traces
    return total
