"""Exact models that think: tables over a few tokens, with single digits for methods that ask the target for ratings."""

from __future__ import annotations

import numpy as np

from specs.engines.local.tabular import TabularPolicy, TabularReward, TabularText
from specs.engines.protocol import Models
from specs.types import Thinking

A, B, BREAK, CLOSE, END, BOX, STOP, LINE = range(8)
DIGITS = range(8, 18)
PIECES = ["a", "b", "\n\n", "</think>", "", "\\boxed{a}", "Enough.", "\n", *"0123456789"]
THINKING = Thinking("<think>\n", CLOSE, "Enough.\n</think>\n\n", (STOP, LINE, CLOSE, BREAK), "</think>")
TEXT = TabularText(PIECES, END, THINKING)
SILENT = TabularText(PIECES, END)
SPECIAL = TabularText([*PIECES[:CLOSE], "", *PIECES[CLOSE + 1 :]], END, THINKING)
"""A vocabulary whose closing token adds nothing to the text, as special tokens do."""
NEVER = -30.0


def digit(ids, questions):
    """A pseudo-random rating in [0, 9] of the tokens so far; `questions` counts the end-of-text tokens that ask."""
    return int(np.random.default_rng([5, questions, len(ids), *ids]).integers(10))


def table(seed, close=0.0, end=-1.0, box=-1.0, rate=digit, sharp=1.0, again=False):
    """Random logits by context; after end-of-text, which stands for a question to a judge, the digit of `rate`.

    `close`, `end` and `box` are added to the logits of these tokens, and `sharp` multiplies the random part. With
    `again` the closing token may come once more in the answer, where it closes nothing.
    """

    def look_up(ids):
        row = np.full(len(PIECES), -np.inf)
        if questions := ids.count(END):
            row[DIGITS[rate(ids[: ids.index(END)], questions)]] = 0.0
            return row
        row[:8] = sharp * np.random.default_rng([seed, len(ids), *ids]).normal(size=8)
        row[[CLOSE, END, BOX, STOP, LINE]] += close, end, box, -2.0, -2.0
        if CLOSE in ids and not again:
            row[CLOSE] = -np.inf
        return row

    return look_up


def rate(steps):
    return float(np.random.default_rng([len(steps), *"|".join(steps).encode()]).random())


def thinkers(text=TEXT, draft_text=None, draft=None, target=None, **logits):
    """Draft, target and PRM; `draft` and `target` are tables, by default those of `table` with `logits`."""
    return Models(
        TabularPolicy("q", draft_text or text, draft or table(1, **logits)),
        TabularPolicy("p", text, target or table(2, **logits)),
        TabularReward("r", text, rate),
    )
