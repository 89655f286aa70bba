"""Recorded passes without a GPU: the torch operators of one run, with the tensors that they read and write."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.fx.experimental.proxy_tensor import make_fx


class Traced:
    """A `specs.engines.local.torch.passes.Record`.

    As with a CUDA graph, no Python runs when a recording is replayed: values that come from anything but its
    tensors stay as recorded. `recorded` and `replayed` count the calls.
    """

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, work: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        self.recorded += 1
        graph = make_fx(work)()
        rows = graph()

        def replay() -> torch.Tensor:
            self.replayed += 1
            return rows.copy_(graph())

        return replay
