"""How uncertain a model is of its next token."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def top_entropy(logits: ArrayLike, top: int) -> float:
    """Entropy in nats of the `top` most likely tokens, their probabilities scaled to sum to 1.

    Args:
        logits: [V] raw logits or log-probabilities, -inf for impossible tokens; at least one is finite.
        top: at least 1. Of equally likely tokens any may be left out, since the entropy is the same.

    Returns:
        A number in [0, log(min(top, V))].
    """
    row = np.asarray(logits, np.float64)
    kept = np.partition(row, -top)[-top:] if top < len(row) else row
    weights = np.exp(kept - kept.max())
    probabilities = weights[weights > 0] / weights.sum()
    return max(0.0, float(-(probabilities * np.log(probabilities)).sum()))
