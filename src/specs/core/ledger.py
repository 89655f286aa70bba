"""The fewest token positions that a solve had to compute, recomputed from what it recorded.

Per role: the prompt once; per ask each *distinct beginning* of the traces and candidates that it
was asked about once (a writer's or scorer's candidates without their last token, since nothing
follows it yet). Of what it ran through, a role keeps what the traces of its next ask begin with, and
while a trace stays the same what was scored behind it. docs/engines.md derives it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

Ids = tuple[int, ...]
Ask = Sequence[tuple[Ids, Sequence[Ids]]]
"""One call of a role: per trace its tokens after the prompt, and the paths behind them to run through.

A trace without paths is not run through; what there is of it is kept.
"""


def minimum(prompt: int, asks: Sequence[Ask], scored: Container[int] = ()) -> int:
    """Positions that had to be computed for a prompt of `prompt` tokens and these asks.

    Args:
        scored: numbers of the asks after which the role can go on behind every beginning of every
            path, not only behind those that become traces.
    """
    nodes: dict[tuple[int, int], int] = {}
    parents: dict[int, int] = {}

    def walk(start: int, path: Ids) -> list[int]:
        """A number for each beginning of `path`, the same for equal beginnings."""
        walked: list[int] = []
        for token in path:
            node = nodes.setdefault((start, token), len(nodes) + 1)
            parents[node] = start
            walked.append(start := node)
        return walked

    total = 0
    held: set[int] | None = None
    open_: set[int] = set()
    """Of what is held, what can be gone on behind."""
    for ask_idx, ask in enumerate(asks):
        if not ask:  # about blank steps alone: nothing is run, and nothing is dropped
            continue
        if held is None:
            total, held = prompt, set[int]()
        traces: set[int] = set()
        needed: set[int] = set()
        ends: set[int] = set()
        for trace, paths in ask:
            begun = walk(0, trace)
            traces.update(begun if paths else held.intersection(begun))
            ends.add(begun[-1] if begun else 0)
            for path in paths:
                needed.update(walk(begun[-1] if begun else 0, path))
        needed |= traces
        kept = held & traces
        for node in sorted(open_):  # parents first
            if parents[node] in ends or (parents[node] in kept and parents[node] not in traces):
                kept.add(node)
        total += len(needed - kept)
        held = kept | needed
        open_ = (open_ & kept) | (needed if ask_idx in scored else set())
        open_ -= traces
    return total
