"""Times of single passes of each model, over different numbers of tokens and lengths of the prefix.

A pass over up to 8 tokens adds one token to as many candidates; a larger one scores 8 candidates. Passes are called
operator by operator, or replayed from a recording (a CUDA graph), which must give the same outputs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from functools import lru_cache, partial

import numpy as np
import torch

from research.benchmarks.gpu.act import Act, Found, Point
from research.benchmarks.gpu.timing import timed
from research.cost_suite.limits import Floor, Rates, device_rates
from research.cost_suite.shapes import TRIOS, Trio, free, random_model
from specs.engines.local.buffers import release_spare_buffers
from specs.engines.local.torch.backend import HFBackend
from specs.engines.local.torch.loading import usual_dtype
from specs.engines.local.torch.passes import SIZES
from specs.types import Role

CANDIDATES = 8
SCORED = 480
"""Tokens of 8 candidates with 60 tokens each."""
NOTHING = np.zeros(0, np.int64)
BF16_ERROR = 0.1
"""Largest difference between two ways of computing a pass that counts as rounding, relative to the largest output."""


def trio(dry: bool) -> Trio:
    return TRIOS["1M, 5M, 5M" if dry else "Qwen2.5 1.5B, 7B, 7B"]


def points(act: Act) -> Iterator[Point]:
    prefixes = (16, 48) if act.dry else (1024, 256, 4096, 16384)
    for prefix in prefixes:
        for role in Role:
            yield Point(f"{role} behind {prefix}", partial(grid, act, role, prefix), 25)
    yield Point("memory", partial(memory, act), 25)
    yield Point("target by cudnn", partial(cudnn, act, Role.TARGET, prefixes[0]), 40)
    yield Point("profile", partial(profiled, act, prefixes[0]), 60)


@lru_cache  # all three stay: they have to fit on one card
def model(role: Role, device: str, dry: bool) -> HFBackend:
    backend = random_model(trio(dry)[role], "torch", device, f"random {role}")
    assert isinstance(backend, HFBackend)
    if backend.record is None:  # on a CPU: let a dry run use the code for recorded passes too
        backend.prepare(lambda work: work)
    return backend


def release() -> None:
    """Free the models and their memory."""
    model.cache_clear()
    free("torch")


def memory(act: Act) -> Found:
    """Bytes of the three models with recorded memory for four solves each, at the end and at the peak."""
    release_spare_buffers()
    free("torch")
    if act.on_gpu:
        torch.cuda.reset_peak_memory_stats(act.device)
    caches = []
    for role in Role:
        backend = model(role, act.device, act.dry)
        caches += [backend.cache() for _ in range(4)]
        for cache in caches[-4:]:
            for size in SIZES:
                backend.forward(cache, np.zeros(size, np.int64), np.arange(size), None, NOTHING)
    found: Found = {"models": len(Role), "solves": len(caches) // len(Role)}
    if act.on_gpu:
        left, whole = torch.cuda.mem_get_info(act.device)
        found |= {
            "bytes": torch.cuda.memory_reserved(act.device),
            "allocated": torch.cuda.memory_allocated(act.device),
            "peak": torch.cuda.max_memory_reserved(act.device),
            "of_the_card": whole - left,
        }
    return found


@lru_cache(maxsize=1)
def rates(device: str, dry: bool) -> Rates:
    return device_rates(1_000_000 if dry else 7_000_000_000, device)


def grid(act: Act, role: Role, prefix: int) -> Found:
    """Times of passes of one model after one prefix, with their floors.

    Raises:
        AssertionError: a recorded pass differs from the called one by more than rounding.
    """
    release_spare_buffers()  # earlier measurements must not decide how large buffers are
    backend = model(role, act.device, act.dry)
    floor = Floor(rates(act.device, act.dry), trio(act.dry), prefix)
    sizes = (1, 8, 16) if act.dry else (1, 8, 64, 128, SCORED, 1024)
    found: Found = {"rates": asdict(rates(act.device, act.dry)), "dtype": usual_dtype(torch.device(act.device))}
    for tokens in sizes:
        floor_ms = round(1e3 * floor.a_pass(role, tokens, wanted(backend, tokens)), 4)
        found[str(tokens)] = {"floor_ms": floor_ms, **both_ways(act, backend, prefix, tokens)}
    errors = {tokens: found[str(tokens)].get("recorded", {}).get("error", 0.0) for tokens in sizes}
    if wrong := {tokens: error for tokens, error in errors.items() if not error <= BF16_ERROR}:
        raise AssertionError(f"errors of recorded passes, relative to the largest output: {wrong}; times: {found}")
    return found


def cudnn(act: Act, role: Role, prefix: int) -> Found:
    """The same passes with cuDNN's attention, which torch would choose on recent GPUs."""
    backend = model(role, act.device, act.dry).with_attention(nullcontext)
    sizes = (8,) if act.dry else (8, 128, SCORED)
    return {str(tokens): both_ways(act, backend, prefix, tokens) for tokens in sizes}


def both_ways(act: Act, backend: HFBackend, prefix: int, tokens: int) -> Found:
    """Times of a pass called and, if a recording of its size exists, replayed, with the error of the replay."""
    found: Found = {}
    found["called"], rows = taken(act, backend.unrecorded(), prefix, tokens)
    if tokens <= SIZES[-1]:
        found["recorded"], others = taken(act, backend, prefix, tokens)
        found["recorded"]["error"] = difference(others, rows)
    return found


def taken(act: Act, backend: HFBackend, prefix: int, tokens: int) -> tuple[Found, torch.Tensor]:
    """The times of a pass (`timed`), and its outputs."""
    run, back, rows = prepared(backend, prefix, tokens)
    found = timed(run, act.device, 2 if act.dry else 12, back)
    run()
    return found, rows()


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, relative to the largest output or to 1 if outputs are smaller; NaN if one is NaN."""
    return round(float((one.float() - other.float()).abs().max() / other.float().abs().max().clamp(min=1.0)), 6)


def wanted(backend: HFBackend, tokens: int) -> int:
    """Output rows of a pass: all of them for a language model, one for each candidate for a PRM."""
    return tokens if backend.width > 2 else min(tokens, CANDIDATES)


def prepared(
    backend: HFBackend, prefix: int, tokens: int
) -> tuple[Callable[[], None], Callable[[], None], Callable[[], torch.Tensor]]:
    """Compute a prefix; returns three functions: one runs the pass, one undoes it, one returns its outputs."""
    rng, cache = np.random.default_rng(0), backend.cache()
    start = rng.integers(backend.vocabulary, size=prefix)
    for part in np.array_split(np.arange(prefix), -(-prefix // 4096)):
        backend.forward(cache, start[part], part, None, part[-1:] - part[0])
    candidates = min(tokens, CANDIDATES)
    length = tokens // candidates
    own = np.kron(np.eye(candidates, dtype=bool), np.tri(length, dtype=bool))
    visible = np.hstack([np.ones((tokens, prefix), bool), own])
    ids = rng.integers(backend.vocabulary, size=tokens)
    positions = np.tile(np.arange(prefix, prefix + length), candidates)
    ends = np.arange(length - 1, tokens, length)
    want = np.arange(tokens) if backend.width > 2 else ends
    rows: list[torch.Tensor] = []

    def run() -> None:
        rows[:] = [backend.forward(cache, ids, positions, visible, want)]

    def back() -> None:
        backend.keep(cache, prefix, NOTHING)

    return run, back, lambda: rows[0]


def profiled(act: Act, prefix: int) -> Found:
    """Kernels of two passes of the target; runs `research.benchmarks.gpu.profile` in a process of its own."""
    release()
    command = [sys.executable, "-m", "research.benchmarks.gpu.profile", act.device, str(prefix)]
    ran = subprocess.run(
        [*command, *(["--dry-run"] if act.dry else [])], capture_output=True, text=True, timeout=300, check=False
    )
    if ran.returncode:
        raise RuntimeError(f"the profile ended with {ran.returncode}: {ran.stderr[-1000:]}")
    return json.loads(ran.stdout.splitlines()[-1])
