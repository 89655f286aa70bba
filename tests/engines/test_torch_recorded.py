"""Recorded passes equal called ones: by CUDA graphs with `--device cuda`, by traces (`traced.py`) on a CPU."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from engines.test_torch_passes import SHAPE, made  # noqa: E402
from helpers.traced import Traced  # noqa: E402
from specs.engines.local.backend import tree_error  # noqa: E402
from specs.engines.local.torch import backend as hf_backend  # noqa: E402
from specs.engines.local.torch.backend import HFBackend  # noqa: E402

pytestmark = pytest.mark.slow

CANDIDATES = 8
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCE = {"fp32": 1e-4, "bf16": 0.1}
"""Relative to the largest output."""


def recorded(device: str, dtype: str = "fp32") -> HFBackend:
    backend = made("Qwen2ForCausalLM", device, DTYPES[dtype])
    if device == "cpu":
        backend.prepare(Traced())
    assert backend.record is not None
    return backend


class Growing:
    """Candidates side by side behind a prompt, extended by passes of any size; one of them is kept."""

    def __init__(self, backend: HFBackend, seed: int) -> None:
        self.backend, self.cache, self.rng = backend, backend.cache(), np.random.default_rng(seed)
        self.kept = 0
        self.rows: list[np.ndarray] = []
        prompt = self.rng.integers(SHAPE["vocab_size"], size=5)
        self._pass(prompt, np.arange(5), None)
        self.kept = 5

    def _pass(self, ids: np.ndarray, positions: np.ndarray, visible: np.ndarray | None) -> None:
        rows = self.backend.forward(self.cache, ids, positions, visible, np.arange(len(ids)))
        self.rows.append(self.backend.logits_ops.to_numpy(rows))

    def step(self, length: int, candidates: int = CANDIDATES) -> None:
        """Compute `candidates` paths of `length` tokens in one pass; then keep the third one (or the last)."""
        count = candidates * length
        own = np.kron(np.eye(candidates, dtype=bool), np.tri(length, dtype=bool))
        visible = np.hstack([np.ones((count, self.kept), bool), own])
        ids = self.rng.integers(SHAPE["vocab_size"], size=count)
        self._pass(ids, np.tile(np.arange(self.kept, self.kept + length), candidates), visible)
        chosen = min(2, candidates - 1)
        moved = self.kept + chosen * length + np.arange(length)
        self.backend.keep(self.cache, self.kept, moved)
        self.kept += length


def grown(backend: HFBackend, seed: int = 0) -> list[np.ndarray]:
    tree = Growing(backend, seed)
    for length, candidates in ((1, 8), (1, 3), (8, 8), (9, 8), (1, 1), (15, 8), (16, 8), (17, 8)):
        tree.step(length, candidates)
    return tree.rows


@pytest.mark.parametrize("dtype", DTYPES)
def test_recorded_passes_equal_called_ones(dtype: str, device: str) -> None:
    """For all sizes between those recorded, with and without surplus rows, and for larger ones."""
    backend = recorded(device, dtype)
    for one, other in zip(grown(backend), grown(backend.unrecorded()), strict=True):
        assert np.abs(one - other).max() <= TOLERANCE[dtype] * np.abs(other).max()
    assert tree_error(backend, backend.unrecorded()) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_pass_leaves_nan_or_infinity_behind(dtype: str, device: str) -> None:
    backend = recorded(device, dtype)
    tree = Growing(backend, 0)
    for length, candidates in ((1, 3), (1, 5), (5, 5), (9, 8)):
        tree.step(length, candidates)
        for block in tree.cache.buffer._blocks:
            assert block.isfinite().all()


def test_passes_over_a_grown_buffer_are_recorded_again(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_backend, "RECORDED_CAPACITY", 150)
    backend = recorded(device)
    for one, other in zip(grown(backend), grown(backend.unrecorded()), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * np.abs(other).max())
    assert backend.cache().buffer.capacity > 150


def test_models_are_recorded_after_all_earlier_ones_are_deleted(device: str) -> None:
    found: list[Any] = []
    for _ in range(2):
        backend = recorded(device)
        found.append(grown(backend)[-1])
        del backend
        gc.collect()
        if device != "cpu":
            torch.cuda.empty_cache()
    np.testing.assert_array_equal(*found)


def test_solves_in_threads_are_independent(device: str) -> None:
    """Recordings share memory, and each thread has its own tree. Twice, so that memory is reused."""
    backend = recorded(device)
    alone = [grown(backend, seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(2):
            for rows, wanted in zip(pool.map(lambda seed: grown(backend, seed), range(3)), alone, strict=True):
                for one, other in zip(rows, wanted, strict=True):
                    np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * np.abs(other).max())
