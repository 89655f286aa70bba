"""The law that tokens follow, and how one is drawn from it.

`log_law` turns logits into log-probabilities for `p` and for `q`, and `sample` draws from just that
law, so the ratio `log p - log q` is 0, but for rounding, whenever the two models agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def log_law(logits: ArrayLike, temperature: float = 1.0, top_p: float = 1.0) -> NDArray[np.floating]:
    """Log-probabilities of the sampled distribution.

    Args:
        logits: [..., V] raw logits.
        temperature: >= 0; 0 puts all mass on the most likely token (the first among equals).
        top_p: nucleus in (0, 1]: the smallest set of most likely tokens whose mass, after
            temperature, reaches `top_p`; its mass is scaled to 1.

    Returns:
        [..., V] nats, in the precision of the logits; -inf outside the nucleus.
    """
    rows = np.asarray(logits)
    if rows.dtype.kind != "f":
        rows = rows.astype(np.float64)
    if temperature == 0:
        law = np.full_like(rows, -np.inf)
        np.put_along_axis(law, rows.argmax(-1, keepdims=True), 0.0, -1)
        return law
    law = _log_softmax(rows / rows.dtype.type(temperature))
    if top_p < 1:
        order = np.argsort(-law, axis=-1, kind="stable")
        mass = np.exp(np.take_along_axis(law, order, -1).astype(np.float64)).cumsum(-1)
        # A token stays if the mass before it has not reached top_p: the first always does.
        outside = np.concatenate([np.zeros_like(mass[..., :1]), mass[..., :-1]], -1) >= top_p
        cut = np.zeros(law.shape, bool)
        np.put_along_axis(cut, order, outside, -1)
        law = _log_softmax(np.where(cut, rows.dtype.type(-np.inf), law))
    return law


def _log_softmax(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    rows = _shifted(rows)
    total = np.exp(rows).sum(-1, keepdims=True, dtype=np.float64)
    rows -= np.log(total).astype(rows.dtype)
    return rows


def _shifted(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """The rows, each by a constant, so that 0 is the most in each."""
    return rows - rows.max(-1, keepdims=True)


def sample(
    logits: NDArray[np.floating], temperature: float, top_p: float, rows: Sequence[int], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    """One token a draw, by inversion: the first whose cumulative mass exceeds the uniform.

    Args:
        logits: [R, V] raw logits; for `temperature` and `top_p` see `log_law`.
        rows: [n] the row that each draw is from.
        uniforms: [n] in [0, 1).

    Returns:
        [n] token ids, never one of probability 0, and the log-probability of each under `log_law`;
        those of all other tokens are not computed.
    """
    if temperature == 0 or top_p < 1:
        scores = log_law(logits, temperature, top_p)
    else:
        scores = _shifted(logits / logits.dtype.type(temperature))
    tokens, totals = _drawn(scores, rows, uniforms)
    logs = [math.log(total) for total in totals]
    return tokens, [scores.item(row, token) - logs[row] for row, token in zip(rows, tokens, strict=True)]


def _drawn(
    scores: NDArray[np.floating], rows: Sequence[int], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    """Tokens from log-probabilities up to a constant a row, and the mass of each row."""
    mass = np.exp(scores).cumsum(-1, dtype=np.float64)
    # Scaling by the total keeps a uniform near 1 inside the support under rounding.
    totals: list[float] = mass[:, -1].tolist()
    pairs = zip(rows, uniforms, strict=True)
    return [int(mass[row].searchsorted(uniform * totals[row], "right")) for row, uniform in pairs], totals
