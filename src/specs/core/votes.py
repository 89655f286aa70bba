"""Answers in text, and majority votes over them (self-consistency)."""

from __future__ import annotations

import re
from collections.abc import Sequence


def boxed(text: str) -> str | None:
    """Content of the last complete `\\boxed{...}` with balanced braces; None without one."""
    found = None
    for start in re.finditer(r"\\boxed\s*\{", text):
        depth = 1
        for position in range(start.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            if depth == 0:
                found = text[start.end() : position].strip()
                break
    return found


def normal(answer: str) -> str:
    """One spelling for equal plain answers: case, white space, dollar signs, commas in numbers, 3.0 = 3."""
    plain = re.sub(r"[\s$]|\\[,;!]", "", answer.lower()).rstrip(".")
    number = plain.replace(",", "") if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?", plain) else plain
    if re.fullmatch(r"[-+]?\d+(\.\d+)?", number):
        sign = "-" if number.startswith("-") else ""
        whole, _, part = number.lstrip("+-").partition(".")
        whole, part = whole.lstrip("0") or "0", part.rstrip("0")
        value = f"{whole}.{part}" if part else whole
        return value if value == "0" else sign + value
    return plain


def majority(answers: Sequence[str | None], weights: Sequence[float] | None = None) -> list[float]:
    """Each row's share of all votes for its answer; rows without an answer get 0 and have no vote.

    Args:
        answers: [n] the answer of each row.
        weights: [n] >= 0, what each vote counts; 1 each if None. If no vote counts, all shares are 0.
    """
    spelled = [None if answer is None else normal(answer) for answer in answers]
    votes: dict[str, float] = {}
    for answer, weight in zip(spelled, weights or [1.0] * len(spelled), strict=True):
        if answer is not None:
            votes[answer] = votes.get(answer, 0.0) + weight
    cast = sum(votes.values())
    return [0.0 if answer is None or cast == 0 else votes[answer] / cast for answer in spelled]
