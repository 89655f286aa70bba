"""Answers in text, and majority votes over them (self-consistency)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from specs.core.answers import normal

_BOX_OR_BRACE = re.compile(r"\\+boxed\s*\{|\\.|[{}]", re.DOTALL)


def boxes(text: str) -> list[str]:
    r"""The contents of all complete, non-blank `\boxed{...}` in order; of nested boxes only the inner ones.

    A complete box has balanced braces, not counting escaped ones (`\{`). Takes one pass over the text.
    """
    found: list[str] = []
    open_at: list[int | None] = []  # where the content of a box starts; None for plain braces
    complete = 0  # end of the last complete box: a box that starts before it encloses it
    first = text.find("\\boxed")
    for piece in _BOX_OR_BRACE.finditer(text, first) if first >= 0 else ():
        kind = piece.group()[-1]
        if kind == "{" and len(piece.group()) > 2:
            open_at.append(piece.end())
        elif piece.group() == "{":
            open_at.append(None)
        elif piece.group() == "}" and open_at:
            start = open_at.pop()
            if start is not None and start >= complete and (content := text[start : piece.start()].strip()):
                found.append(content)
                complete = piece.end()
    return found


def boxed(text: str) -> str | None:
    r"""Content of the last complete `\boxed{...}` (`boxes`); None without one."""
    found = boxes(text)
    return found[-1] if found else None


def majority(answers: Sequence[str | None], weights: Sequence[float] | None = None) -> list[float]:
    """[n] for each row, the share of all votes that its answer has; rows without an answer get 0 and have no vote.

    Args:
        answers: [n] the answer of each row; answers with the same normal form count as one.
        weights: [n] >= 0, the weight of each vote; 1 each if None. If all weights are 0, all shares are 0.
    """
    spelled = [normal(answer or "") for answer in answers]
    votes: dict[str, float] = {}
    for answer, weight in zip(spelled, weights or [1.0] * len(spelled), strict=True):
        if answer:
            votes[answer] = votes.get(answer, 0.0) + weight
    cast = sum(votes.values())
    return [votes[answer] / cast if answer and cast else 0.0 for answer in spelled]
