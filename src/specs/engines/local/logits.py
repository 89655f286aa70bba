"""Output rows where a backend keeps them: in memory, or on a device that they need not leave.

A row has an entry for every token of the vocabulary. With 150,000 of them it costs more to bring the
rows of one pass to the processor and to draw from them there than a GPU takes for the pass, so who holds
the rows also draws from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from specs.core import sampling
from specs.engines.arrays import Floats

Rows = Any
"""[rows, width] raw outputs: an array that has `len`, and rows where it is indexed by a number, a slice or a list."""


class Outputs(Protocol):
    """What sessions do with output rows; results are in memory.

    Methods that bring numbers to memory raise FloatingPointError if a row that they read is unusable: it has NaN
    or +inf in it, or nothing but -inf (`specs.core.sampling.highest`).
    """

    def stack(self, rows: Sequence[Rows]) -> Rows:
        """A copy of single rows [width], in this order: [len(rows), width]; there is at least one."""
        ...

    def concatenate(self, first: Rows, second: Rows) -> Rows:
        """The rows of both, in this order."""
        ...

    def sample(
        self, rows: Rows, temperature: float, top_p: float, row_of: Sequence[int], uniforms: Sequence[float]
    ) -> tuple[list[int], list[float]]:
        """`specs.core.sampling.sample`: the same tokens from the same uniforms, rounding apart."""
        ...

    def log_probabilities(
        self, rows: Rows, temperature: float, top_p: float, row_of: Sequence[int], tokens: Sequence[int]
    ) -> NDArray[np.floating]:
        """[len(tokens)] nats, under `specs.core.sampling.log_law` of its row, of each token."""
        ...

    def numbers(self, rows: Rows) -> Floats:
        """The rows in memory: [rows, width] float32."""
        ...


class _InMemory:
    """`Outputs` of numpy arrays."""

    def stack(self, rows: Sequence[Floats]) -> Floats:
        return np.array(rows)

    def concatenate(self, first: Floats, second: Floats) -> Floats:
        return np.concatenate([first, second])

    def sample(
        self, rows: Floats, temperature: float, top_p: float, row_of: Sequence[int], uniforms: Sequence[float]
    ) -> tuple[list[int], list[float]]:
        return sampling.sample(rows, temperature, top_p, row_of, uniforms)

    def log_probabilities(
        self, rows: Floats, temperature: float, top_p: float, row_of: Sequence[int], tokens: Sequence[int]
    ) -> NDArray[np.floating]:
        return sampling.log_law(rows, temperature, top_p)[row_of, tokens]

    def numbers(self, rows: Floats) -> Floats:
        sampling.highest(rows)
        return rows


IN_MEMORY: Outputs = _InMemory()
