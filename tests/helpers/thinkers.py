"""Exact models that think: tables over a few tokens, with single digits for methods that ask the target for ratings."""

from __future__ import annotations

import numpy as np

from specs.engines.local.tabular import TabularPolicy, TabularReward, TabularText
from specs.engines.protocol import Models
from specs.types import Thinking

A, B, BREAK, CLOSE, END, BOX, STOP, LINE = range(8)
PIECES = ["a", "b", "\n\n", "</think>", "", "\\boxed{a}", "Enough.", "\n", *"0123456789"]
THINKING = Thinking("<think>\n", CLOSE, "Enough.\n</think>\n\n", (STOP, LINE, CLOSE, BREAK))
TEXT = TabularText(PIECES, END, THINKING)
SILENT = TabularText(PIECES, END)
SPECIAL = TabularText([*PIECES[:CLOSE], "", *PIECES[CLOSE + 1 :]], END, THINKING)
"""A vocabulary whose closing token adds nothing to the text, as special tokens do."""
NEVER = -30.0


def table(seed, close=0.0, end=-1.0, box=-1.0):
    """Random logits by context; a digit after end-of-text, and no second close. The numbers are added to the logits."""

    def look_up(ids):
        row = np.full(len(PIECES), -np.inf)
        random = np.random.default_rng([seed, len(ids), *ids])
        if END in ids:
            row[8:] = random.normal(size=10)
        else:
            row[:8] = random.normal(size=8)
            row[[CLOSE, END, BOX]] += close, end, box
            row[[STOP, LINE]] -= 2.0
            if CLOSE in ids:
                row[CLOSE] = -np.inf
        return row

    return look_up


def rate(steps):
    return float(np.random.default_rng([len(steps), *"|".join(steps).encode()]).random())


def thinkers(text=TEXT, draft_text=None, **logits):
    """Draft, target and PRM; `logits` are those of `table`."""
    return Models(
        TabularPolicy("q", draft_text or text, table(1, **logits)),
        TabularPolicy("p", text, table(2, **logits)),
        TabularReward("r", text, rate),
    )
