"""Sampling and scoring where a backend keeps its logits: in memory, or on a device.

A row of logits has an entry for every token of the vocabulary. With 150,000 entries, copying the rows of one pass to
the processor and sampling there takes longer than a GPU takes for the pass. So sampling runs where the logits are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from specs.core import sampling
from specs.engines.arrays import Floats
from specs.types import SamplingParams

Logits = Any
"""[rows, width] raw outputs: an array with `len` that can be indexed by a row number, a slice or a list of rows."""


class LogitsOps(Protocol):
    """What sessions do with the logits of one kind of array; results are in memory.

    Methods that copy numbers to memory raise FloatingPointError if a row that they read is unusable: it contains NaN
    or +inf, or nothing but -inf (`specs.core.sampling.highest`).
    """

    def stack(self, rows: Sequence[Logits]) -> Logits:
        """A copy of single rows [width] in this order: [len(rows), width]; there is at least one."""
        ...

    def concatenate(self, first: Logits, second: Logits) -> Logits:
        """The rows of both, in this order."""
        ...

    def sample(
        self, rows: Logits, params: SamplingParams, row_of: Sequence[int], uniforms: Sequence[float]
    ) -> tuple[list[int], list[float]]:
        """`specs.core.sampling.sample`: the same tokens from the same uniforms, up to rounding."""
        ...

    def log_probabilities(
        self, rows: Logits, params: SamplingParams, row_of: Sequence[int], tokens: Sequence[int]
    ) -> NDArray[np.floating[Any]]:
        """[len(tokens)] log-probability of each token in nats, under `specs.core.sampling.log_law` of its row."""
        ...

    def to_numpy(self, rows: Logits) -> Floats:
        """The rows in memory: [rows, width] float32."""
        ...


class _NumpyLogitsOps:
    """`LogitsOps` of numpy arrays."""

    def stack(self, rows: Sequence[Floats]) -> Floats:
        return np.array(rows)

    def concatenate(self, first: Floats, second: Floats) -> Floats:
        return np.concatenate([first, second])

    def sample(
        self, rows: Floats, params: SamplingParams, row_of: Sequence[int], uniforms: Sequence[float]
    ) -> tuple[list[int], list[float]]:
        return sampling.sample(rows, params, row_of, uniforms)

    def log_probabilities(
        self, rows: Floats, params: SamplingParams, row_of: Sequence[int], tokens: Sequence[int]
    ) -> NDArray[np.floating[Any]]:
        return sampling.log_law(rows, params)[row_of, tokens]

    def to_numpy(self, rows: Floats) -> Floats:
        sampling.highest(rows)
        return rows


NUMPY_LOGITS_OPS: LogitsOps = _NumpyLogitsOps()
