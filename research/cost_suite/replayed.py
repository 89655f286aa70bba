"""Solves of the bundled models, repeated in the time that other models take.

A first solve records the outputs of every pass. Then the same solve runs again with models of any size:
they compute every pass, and the recorded outputs replace theirs. So the method decides as before, with
the same step lengths, draft shares and trees, and only the times are those of the other models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np

from research.cost_suite.naive import wait
from specs.config import SolveConfig
from specs.decoding.stream import stream
from specs.engines.arrays import Bools, Floats, Ints
from specs.engines.local.backend import Backend
from specs.engines.local.logits import NUMPY_LOGITS_OPS
from specs.engines.local.models import LocalPolicy, LocalReward
from specs.engines.protocol import Models
from specs.errors import EngineError
from specs.methods import Method
from specs.types import Result, Role, SamplingParams


class _Passing:
    """A backend that computes with another one.

    It allows no concurrent calls, so that calls come in the same order every time.
    """

    concurrent_calls = 0
    logits_ops = NUMPY_LOGITS_OPS

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.name, self.parameters, self.context = inner.name, inner.parameters, inner.context
        self.vocabulary, self.width, self.device = inner.vocabulary, inner.width, inner.device
        self.tolerance, self.if_not_finite = inner.tolerance, inner.if_not_finite

    def cache(self) -> Any:
        return self.inner.cache()

    def keep(self, cache: Any, length: int, moved: Ints) -> None:
        self.inner.keep(cache, length, moved)


class Recorded(_Passing):
    """Records the outputs [rows, V] of every pass in `kept`."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.kept: list[Floats] = []

    def forward(self, cache: Any, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Floats:
        rows = self.inner.forward(cache, ids, positions, visible, want)
        self.kept.append(self.inner.logits_ops.to_numpy(rows))
        return self.kept[-1]


class Replayed(_Passing):
    """Computes every pass with `inner` and returns the recorded outputs of this pass."""

    def __init__(self, inner: Backend, kept: list[Floats]) -> None:
        super().__init__(inner)
        self.width = kept[0].shape[1] if kept else inner.width
        self._kept: Iterator[Floats] = iter(kept)

    def forward(self, cache: Any, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Floats:
        wait(self.inner, self.inner.forward(cache, ids, positions, visible, want))
        rows = next(self._kept, np.empty(0, np.float32))
        if len(rows) != len(want):
            raise EngineError("a replayed solve differs from the recorded one: this is a bug, please report it")
        return rows


def record(
    question: str, models: Models, method: Method, law: SamplingParams
) -> tuple[Result, dict[Role, list[Floats]]]:
    """Solve once; returns the result and the outputs of all passes by role."""
    backends = {role: Recorded(_backend(models, role)) for role in Role}
    result = stream(question, _with(models, backends), SolveConfig(method, law)).result
    return result, {role: backend.kept for role, backend in backends.items()}


def replay(
    question: str,
    models: Models,
    method: Method,
    law: SamplingParams,
    kept: dict[Role, list[Floats]],
    sizes: dict[Role, Backend],
) -> Result:
    """Repeat a recorded solve in the time of other models.

    Args:
        models: those of the recorded solve.
        kept: outputs of its passes by role, from `record`.
        sizes: the backends whose time counts, by role.

    Raises:
        EngineError: a pass has other rows than the recorded one.
    """
    backends = {role: Replayed(sizes[role], kept[role]) for role in Role}
    return stream(question, _with(models, backends), SolveConfig(method, law)).result


def _backend(models: Models, role: Role) -> Backend:
    return cast("LocalPolicy | LocalReward", getattr(models, role)).backend


def _with(models: Models, backends: dict[Role, Any]) -> Models:
    return Models(**{str(role): replace(getattr(models, role), backend=one) for role, one in backends.items()})
