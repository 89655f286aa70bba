"""A step as published code makes it: no call reuses what an earlier one has computed.

Every candidate has a row of its own with its own copy of the prompt and the trace. At the start of
each step the writer reads all rows anew. A scorer reads each candidate from the first token of the
prompt; the target computes the outputs of all positions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from specs.engines.local.backend import Backend
from specs.engines.local.logits import Logits
from specs.engines.local.nodes import ROOT
from specs.engines.local.tree import TokenTree
from specs.types import Role, Seconds


def naive_step(backends: dict[Role, Backend], writer: Role, prefix: Sequence[int], n: int, tokens: int) -> Seconds:
    """Busy seconds of one step, whose phases do not overlap.

    All rows decode over one copy of the prefix. Published code also has to read n copies, so it takes
    longer than this.
    """
    paths = np.random.default_rng(0).integers(2, 700, (n, tokens))
    whole = [np.array([*prefix, *path]) for path in paths.tolist()]
    start = time.perf_counter()
    trees = [TokenTree(backends[writer], prefix) for _ in range(n)]
    for tree in trees:
        tree.compute_trunk()
    nodes: Sequence[int] = [ROOT] * n
    for column in paths.T[:-1]:
        rows, nodes = trees[-1].grow(nodes, column.tolist())
        wait(backends[writer], rows)
    written = scored = time.perf_counter()
    if writer is Role.DRAFT:
        for ids in whole:
            _read(backends[Role.TARGET], ids, np.arange(len(ids)))
        scored = time.perf_counter()
    for ids in whole:
        _read(backends[Role.PRM], ids, np.array([len(ids) - 1]))
    end = time.perf_counter()
    writing = {"draft" if writer is Role.DRAFT else "target_generate": written - start}
    return Seconds(**writing, target_score=scored - written, prm=end - scored, wall=end - start)


def _read(backend: Backend, ids: np.ndarray, want: np.ndarray) -> None:
    wait(backend, backend.forward(backend.cache(), ids, np.arange(len(ids)), None, want))


def wait(backend: Backend, rows: Logits) -> None:
    """Wait until the device has computed these output rows."""
    backend.logits_ops.to_numpy(rows[:1])
