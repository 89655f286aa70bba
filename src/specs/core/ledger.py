"""The fewest token positions that a solve had to compute, recomputed from what it recorded.

Per role: the prompt once; per step each *distinct beginning* of the candidates once (their
last token not, since nothing follows it yet); accepted tokens that the role has not seen
once, when it is next asked. What was run through for candidates that were not accepted is
kept until then and no longer. docs/engines.md derives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """One role's part in one step.

    Attributes:
        paths: token sequences after the accepted prefix that the role had to run through; None
            if it was not asked.
        accepted: what the step added to the role's sequence; None if the step was thrown away.
    """

    paths: Sequence[tuple[int, ...]] | None
    accepted: tuple[int, ...] | None


def minimum(prompt: int, turns: Iterable[Turn]) -> int:
    """Positions that had to be computed for a prompt of `prompt` tokens and these turns."""
    total = 0
    unseen = prompt
    since: tuple[int, ...] = ()  # accepted after the role was last asked
    beginnings: set[tuple[int, ...]] = set()  # what it ran through when it was last asked
    for turn in turns:
        if turn.paths is not None:
            kept = 0
            while kept < len(since) and since[: kept + 1] in beginnings:
                kept += 1
            beginnings = {path[:k] for path in turn.paths for k in range(1, len(path) + 1)}
            total += unseen + len(since) - kept + len(beginnings)
            unseen, since = 0, ()
        if turn.accepted is not None:
            since += turn.accepted
    return total
