"""The fewest token positions that a solve had to compute, recomputed from what it recorded.

Per role: the prompt once; per ask each *distinct beginning* of the traces and candidates that it
was asked about once (a writer's or scorer's candidates without their last token, since nothing
follows it yet). Of what it ran through, a role keeps what the traces of its next ask begin with.
docs/engines.md derives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Ids = tuple[int, ...]
Ask = Sequence[tuple[Ids, Sequence[Ids]]]
"""One call of a role: per trace its tokens after the prompt, and the paths behind them to run through.

A trace without paths is not run through; what there is of it is kept.
"""


def minimum(prompt: int, asks: Iterable[Ask]) -> int:
    """Positions that had to be computed for a prompt of `prompt` tokens and these asks."""
    nodes: dict[tuple[int, int], int] = {}

    def walk(start: int, path: Ids) -> list[int]:
        """A number for each beginning of `path`, the same for equal beginnings."""
        walked: list[int] = []
        for token in path:
            start = nodes.setdefault((start, token), len(nodes) + 1)
            walked.append(start)
        return walked

    total = 0
    held: set[int] | None = None
    for ask in asks:
        if not ask:  # about blank steps alone: nothing is run, and nothing is dropped
            continue
        if held is None:
            total, held = prompt, set[int]()
        traces: set[int] = set()
        needed: set[int] = set()
        for trace, paths in ask:
            begun = walk(0, trace)
            traces.update(begun if paths else held.intersection(begun))
            for path in paths:
                needed.update(walk(begun[-1] if begun else 0, path))
        needed |= traces
        total += len(needed) - len(held & traces)
        held = needed
    return total
