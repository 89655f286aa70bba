"""Speed of the light backend: prefill, tree decoding and tree scoring, compared with the machine's limits.

    python -m research.benchmarks.light_backend [FOLDER ...] [--threads N] [--repeats N]

Without folders it measures the three bundled shapes with random weights. Every phase is warmed up
and repeated; the last line is JSON. The same run measures the limits on one thread: the rate of a
large fp32 product by the same engine, and the rate of reading as many bytes as the weights have
(which may fit into a processor cache). A phase's `of_limit` is the least time of its weight matrices
alone (the longer of reading and arithmetic at these rates), divided by its median time; attention,
norms and the overhead of calls count as loss.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from research.cost_suite.limits import product_rate, read_rate, seconds, weight_work
from specs.engines.local.onnx.backend import LightBackend, load_light

PREFIX, PREFILL, GROWTH = 150, 90, 120
"""Tokens before the tree, tokens of the prefill, tree entries that decoding adds."""
BRANCHES, LENGTH = 8, 14
"""The scored tree: candidates and tokens of each."""
SHAPES = {  # hidden, mlp, layers, heads, head width, labels (0: a language model)
    "target": (320, 864, 6, 5, 64, 0),
    "draft": (128, 352, 4, 4, 32, 0),
    "prm": (192, 512, 4, 3, 64, 2),
}


def random_model(path: Path, hidden: int, mlp: int, layers: int, heads: int, head: int, labels: int) -> Path:
    """Write a model folder of this shape with random weights to `path`; returns `path`."""
    rng, vocab = np.random.default_rng(0), 799

    def draw(*dims: int) -> np.ndarray:
        return rng.normal(0, dims[-1] ** -0.5, dims).astype(np.float32)

    wide = heads * head
    tensors = {"model.embed_tokens.weight": draw(vocab, hidden), "model.norm.weight": np.ones(hidden, np.float32)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for name in "qkv":
            tensors[f"{prefix}self_attn.{name}_proj.weight"] = draw(wide, hidden)
        tensors[f"{prefix}self_attn.o_proj.weight"] = draw(hidden, wide)
        for name in ("gate", "up"):
            tensors[f"{prefix}mlp.{name}_proj.weight"] = draw(mlp, hidden)
        tensors[f"{prefix}mlp.down_proj.weight"] = draw(hidden, mlp)
        for name in ("input", "post_attention"):
            tensors[f"{prefix}{name}_layernorm.weight"] = np.ones(hidden, np.float32)
    if labels:
        tensors["score.weight"], tensors["score.bias"] = draw(labels, hidden), draw(labels)
    config = {
        "architectures": ["LlamaForTokenClassification" if labels else "LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "head_dim": head,
        "vocab_size": vocab,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": not labels,
    }
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    save_file(tensors, path / "model.safetensors")
    return path


def prefixed(backend: LightBackend) -> Any:
    """A cache that holds the prefix."""
    cache, rows = backend.cache(), np.arange(PREFIX)
    backend.forward(cache, rows % 100, rows, None, rows[-1:])
    return cache


def prefill(backend: LightBackend) -> Iterator[float]:
    """Seconds of one prefill that returns the last row."""
    rows, cache = np.arange(PREFILL), backend.cache()
    yield seconds(lambda: backend.forward(cache, rows % 100, rows, None, rows[-1:]))


def decode(width: int) -> Callable[[LightBackend], Iterator[float]]:
    """Seconds of each call while `width` candidates grow side by side."""

    def phase(backend: LightBackend) -> Iterator[float]:
        cache, rows = prefixed(backend), np.arange(width)
        for depth in range(GROWTH // width):
            sees = np.zeros((width, PREFIX + (depth + 1) * width), bool)
            sees[:, :PREFIX] = True
            for row in rows:
                sees[row, PREFIX + row :: width] = True
            positions = np.full(width, PREFIX + depth)
            yield seconds(lambda s=sees, p=positions: backend.forward(cache, rows, p, s, rows))

    return phase


def score_tree(backend: LightBackend) -> Callable[[], Any]:
    """Prepare a fresh prefix; returns a call that scores the tree and returns all rows."""
    cache, new = prefixed(backend), BRANCHES * LENGTH
    rows = np.arange(new)
    sees = np.ones((new, PREFIX + new), bool)
    sees[:, PREFIX:] = np.kron(np.eye(BRANCHES, dtype=bool), np.tri(LENGTH, dtype=bool))
    return lambda: backend.forward(cache, rows % 100, PREFIX + rows % LENGTH, sees, rows)


def score(backend: LightBackend) -> Iterator[float]:
    yield seconds(score_tree(backend))


def keep(backend: LightBackend) -> Iterator[float]:
    """Seconds to keep the last scored candidate and drop the others."""
    cache, new, rows = prefixed(backend), BRANCHES * LENGTH, np.arange(BRANCHES * LENGTH)
    backend.forward(cache, rows % 100, PREFIX + rows, None, rows[:1])
    moved = PREFIX + np.arange(new - LENGTH, new)
    yield seconds(lambda: backend.keep(cache, PREFIX, moved))


PHASES: dict[str, tuple[int, int, Callable[[LightBackend], Iterator[float]]]] = {
    f"prefill {PREFILL}": (PREFILL, 1, prefill),
    **{f"decode {width}": (width, width, decode(width)) for width in (1, 4, 8)},
    f"score {BRANCHES}x{LENGTH}": (BRANCHES * LENGTH, BRANCHES * LENGTH, score),
    "keep": (0, 0, keep),
}
"""For each phase: tokens a call (0: none), output rows a call, and the function that yields its seconds."""


def measure(backend: LightBackend, repeats: int, peak: float) -> dict[str, dict[str, float]]:
    """For each phase: median milliseconds a call, 10th and 90th percentile, GFLOP/s, and share of the limit.

    Args:
        peak: FLOP/s of a large product.
    """
    rate = read_rate(4 * backend.parameters)
    found = {}
    for name, (tokens, rows, phase) in PHASES.items():
        list(phase(backend))
        took = sorted(s for _ in range(repeats) for s in phase(backend))
        median = statistics.median(took)
        row = {"ms": 1e3 * median, "p10": 1e3 * np.quantile(took, 0.1), "p90": 1e3 * np.quantile(took, 0.9)}
        if tokens:
            flops, size = weight_work(backend.shape, backend.width, tokens, rows)
            row |= {"gflops": flops / median / 1e9, "of_limit": max(flops / peak, size / rate) / median}
        found[name] = {key: round(float(value), 4) for key, value in row.items()}
    return found


def side_by_side(one: LightBackend, other: LightBackend, repeats: int) -> float:
    """Median ratio of the time of two concurrent scoring calls to that of the same calls in turn (1: no gain)."""
    ratios = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(repeats):
            calls = score_tree(one), score_tree(other)
            apart = seconds(calls[0]) + seconds(calls[1])
            calls = score_tree(one), score_tree(other)
            ratios.append(seconds(lambda c=calls: list(pool.map(lambda call: call(), c))) / apart)
    return round(statistics.median(ratios), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--threads", type=int, default=1, help="threads a call (default 1)")
    parser.add_argument("--repeats", type=int, default=10, help="repeats of each phase (default 10)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders = options.folders or [random_model(Path(scratch) / name, *shape) for name, shape in SHAPES.items()]
        report(folders, options.threads, options.repeats)


def report(folders: list[Path], threads: int, repeats: int) -> None:
    load_light(folders[0])  # imports onnxruntime, which must not count as loading a model
    peak = product_rate()
    results: dict[str, Any] = {"threads": threads, "product_gflops": round(peak / 1e9, 1), "models": {}}
    backends = []
    for folder in folders:
        start = time.perf_counter()
        backend = load_light(folder, threads)
        load_ms = round(1e3 * (time.perf_counter() - start), 1)
        phases = measure(backend, repeats, peak)
        name = "/".join(folder.resolve().parts[-2:])
        results["models"][name] = {"parameters": backend.parameters, "load_ms": load_ms, "phases": phases}
        print(f"{name}: {backend.parameters:,} parameters, loaded in {load_ms} ms")
        for phase, row in phases.items():
            rates = f"{row['gflops']:7.1f} GFLOP/s {row['of_limit']:6.0%} of limit" if "gflops" in row else ""
            print(f"  {phase:12} {row['ms']:8.3f} ms ({row['p10']:.3f} to {row['p90']:.3f}) {rates}")
        backends.append(backend)
    if len(backends) > 1:
        results["first_and_last_side_by_side"] = side_by_side(backends[0], backends[-1], repeats)
        print(f"first and last model scoring together: {results['first_and_last_side_by_side']} of the time in turn")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
