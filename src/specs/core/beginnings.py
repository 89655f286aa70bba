"""What log-probabilities of some steps say about another one: those of their common beginnings, and upper bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

ROUNDING = 1e-5
"""How far the probabilities of a model's next tokens may be off in sum."""


def beginning(path: Sequence[int], read: Mapping[tuple[int, ...], Sequence[float]]) -> list[float]:
    """Upper bounds of the log-probabilities of the first tokens of `path`, in nats.

    The bounds are exact as far as `path` begins like a path of `read`. The next token can have what the tokens read
    there have left of 1.

    Args:
        read: paths of tokens, each with the log-probability of every token.
    """
    found: list[float] = []
    while len(found) < len(path):
        length = len(found)
        begun = tuple(path[:length])
        next_tokens = {
            other[length]: by_token[length]
            for other, by_token in read.items()
            if length < len(other) == len(by_token) and other[:length] == begun
        }
        if not next_tokens:
            break
        if (known := next_tokens.get(path[length])) is None:
            left = 1.0 - math.fsum(map(math.exp, next_tokens.values()))
            return [*found, math.log(min(max(left, 0.0) + ROUNDING, 1.0))]
        found.append(known)
    return found
