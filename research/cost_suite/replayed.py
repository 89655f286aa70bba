"""Solves of the bundled models, made again at the cost of other models.

The outputs of every pass of a solve are kept. The same solve is then made by models of any size:
they compute every pass, and what comes out is replaced by what was kept. So all methods decide as
they did, with the same step lengths, draft shares and trees, and only the time is new.
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

    It leaves no room beside its calls, so that they come in the same order every time.
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
    """Keeps the outputs of every pass in `kept`."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.kept: list[Floats] = []

    def forward(self, cache: Any, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Floats:
        rows = self.inner.forward(cache, ids, positions, visible, want)
        self.kept.append(self.inner.logits_ops.to_numpy(rows))
        return self.kept[-1]


class Replayed(_Passing):
    """Computes every pass with `inner` and returns the outputs that were kept of it."""

    def __init__(self, inner: Backend, kept: list[Floats]) -> None:
        super().__init__(inner)
        self.width = kept[0].shape[1] if kept else inner.width
        self._kept: Iterator[Floats] = iter(kept)

    def forward(self, cache: Any, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Floats:
        wait(self.inner, self.inner.forward(cache, ids, positions, visible, want))
        rows = next(self._kept, np.empty(0, np.float32))
        if len(rows) != len(want):
            raise EngineError(
                "a replayed solve took another course than the recorded one: this is a bug, please report it"
            )
        return rows


def record(
    question: str, models: Models, method: Method, law: SamplingParams
) -> tuple[Result, dict[Role, list[Floats]]]:
    """A solve, and the outputs of all passes by role."""
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
    """That solve at the cost of the models in `sizes`; `models` are those that were recorded."""
    backends = {role: Replayed(sizes[role], kept[role]) for role in Role}
    return stream(question, _with(models, backends), SolveConfig(method, law)).result


def _backend(models: Models, role: Role) -> Backend:
    return cast("LocalPolicy | LocalReward", getattr(models, role)).backend


def _with(models: Models, backends: dict[Role, Any]) -> Models:
    return Models(**{str(role): replace(getattr(models, role), backend=one) for role, one in backends.items()})
