"""Speed of the torch engine compared with transformers' own classes used directly, with a real vocabulary.

    python -m research.benchmarks.torch_backend [--size NAME] [--layers N] [--device DEVICE] [--repeats N] [--out FILE]

A model of random weights in the shape of a Qwen2.5 (`research.cost_suite.shapes`, 152,064 tokens) does the work of a
step after a prefix: a pass over `ROWS` candidates with a draw from each (a model that writes), and a pass that scores
`ROWS` x `LENGTH` tokens (a target that verifies). The other side has the same weights, tree and mask, but uses a
`DynamicCache` and `sdpa`, and computes laws with numpy in main memory. Both take turns, warmed up. They must draw the
same tokens and agree in their scores, in bf16 up to rounding. JSON last.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from research.benchmarks.bundled import finish
from research.cost_suite.shapes import TRIOS, Size, random_transformer, recorded
from specs.core import sampling
from specs.core.statistics import median_ratio_interval, percentiles
from specs.engines.local.torch.backend import HFBackend, cache_argument
from specs.engines.local.torch.loading import device_of, usual_dtype
from specs.types import Role, SamplingParams

ROWS, LENGTH = 8, 16
PREFIXES = (128, 1024)
BF16_ERROR = 0.25
"""Largest difference in nats between two ways of computing a log-probability that counts as rounding in bf16, where
neighbouring logits of 8 and more are 0.06 apart."""
LAW = SamplingParams(0.7)
SIZES = {"0.5B": ("Qwen2.5 0.5B, 1.5B, 1.5B", Role.DRAFT), "1.5B": ("Qwen2.5 0.5B, 1.5B, 1.5B", Role.TARGET)}
SIZES |= {"7B": ("Qwen2.5 1.5B, 7B, 7B", Role.TARGET)}


Drawn = tuple[list[int], list[float]]
"""Tokens and the log-probability of each."""


class Plain:
    """transformers used directly: every call copies its logits to main memory."""

    def __init__(self, model: Any) -> None:
        self._model, self._cache = model, DynamicCache()

    def forward(self, ids: np.ndarray, positions: np.ndarray, visible: np.ndarray | None) -> np.ndarray:
        device = self._model.device
        with torch.inference_mode():
            found = self._model(
                input_ids=torch.tensor(ids, device=device)[None],
                position_ids=torch.tensor(positions, device=device)[None],
                attention_mask=None if visible is None else torch.tensor(visible, device=device)[None, None],
                use_cache=True,
                logits_to_keep=1 if visible is None else 0,
                **{cache_argument(self._model): self._cache},
            )
        return found.logits[0].float().cpu().numpy()

    def back(self, tokens: int) -> None:
        self._cache.crop(-tokens)


def measure(ours: HFBackend, plain: Plain, prefix: int, repeats: int) -> dict[str, Any]:
    """Times of both sides after a prefix of `prefix` tokens, as [median, 10%, 90%] ms, and their ratio.

    Raises:
        AssertionError: the sides disagree by more than rounding.
    """
    rng, vocabulary = np.random.default_rng(0), ours.width
    start, cache = rng.integers(vocabulary, size=prefix), ours.cache()
    ours.forward(cache, start, np.arange(prefix), None, np.array([prefix - 1]))
    plain.forward(start, np.arange(prefix), None)
    ids = rng.integers(vocabulary, size=(ROWS, LENGTH))
    row_of, uniforms = range(ROWS), rng.random(ROWS).tolist()
    own = np.eye(ROWS, dtype=bool)
    first = np.hstack([np.ones((ROWS, prefix), bool), own])
    tree = np.hstack([np.ones((ROWS * LENGTH, prefix), bool), np.kron(own, np.tri(LENGTH, dtype=bool))])
    depths = np.tile(np.arange(prefix, prefix + LENGTH), ROWS)
    places = np.arange(ROWS * LENGTH)
    following = np.roll(ids.ravel(), -1).tolist()

    def forget(tokens: int) -> None:
        plain.back(tokens)
        ours.keep(cache, prefix, np.zeros(0, np.int64))

    def our_draw() -> Drawn:
        rows = ours.forward(cache, ids[:, 0], np.full(ROWS, prefix), first, np.arange(ROWS))
        return ours.logits_ops.sample(rows, LAW, row_of, uniforms)

    def plain_draw() -> Drawn:
        rows = plain.forward(ids[:, 0], np.full(ROWS, prefix), first)
        return sampling.sample(rows, LAW, row_of, uniforms)

    def our_scores() -> Drawn:
        rows = ours.forward(cache, ids.ravel(), depths, tree, places)
        return following, ours.logits_ops.log_probabilities(rows, LAW, places.tolist(), following).tolist()

    def plain_scores() -> Drawn:
        rows = plain.forward(ids.ravel(), depths, tree)
        return following, sampling.log_law(rows, LAW)[places, following].tolist()

    in_fp32 = usual_dtype(device_of(ours.device)) == "fp32"
    found: dict[str, Any] = {"prefix": prefix}
    for name, calls, tokens in (
        ("a token of each candidate", (our_draw, plain_draw), ROWS),
        ("scores of all candidates", (our_scores, plain_scores), ROWS * LENGTH),
    ):
        times: tuple[list[float], list[float]] = ([], [])
        agreed: list[tuple[float, float]] = []
        for repeat in range(repeats + 1):
            results = {}
            for side in (0, 1) if repeat % 2 else (1, 0):
                begun = time.perf_counter()
                results[side] = calls[side]()
                if repeat:  # the first one warms up
                    times[side].append(time.perf_counter() - begun)
            forget(tokens)
            same, error = agreement(results[0], results[1])
            if (in_fp32 and same < 1) or not error <= (1e-3 if in_fp32 else BF16_ERROR):
                raise AssertionError(f"{name}: {same:.0%} of the tokens are the same, scores differ by {error}")
            agreed.append((same, error))
        ratio = median_ratio_interval(*times)
        mine, its = ([round(1e3 * value, 2) for value in percentiles(some, (50, 10, 90))] for some in times)
        over = [round(value, 3) for value in (ratio.median, ratio.low, ratio.high)]
        found[name] = {"ours_ms": mine, "plain_ms": its, "over_plain": over}
        found[name] |= {
            "same_tokens": min(agreed)[0],
            "largest_difference": round(max(agreed, key=itemgetter(1))[1], 4),
        }
        print(f"  {name}: {mine} ms, plain {its} ms, ratio {over}", flush=True)
    return found


def agreement(one: Drawn, other: Drawn) -> tuple[float, float]:
    """Share of equal tokens, and the largest difference of their log-probabilities, in nats."""
    both = list(zip(*one, *other, strict=True))
    errors = [abs(mine - its) for token, mine, drawn, its in both if token == drawn]
    return len(errors) / len(both), max(errors, default=0.0)


def compared(size: Size, device: str, prefixes: Sequence[int], repeats: int) -> dict[str, Any]:
    """Measure both sides on a device after each prefix; AssertionError if they disagree by more than rounding."""
    place = device_of(device)
    dtype = usual_dtype(place)
    plain = random_transformer(size, place, dtype)
    model = random_transformer(size, place, dtype)
    ours = recorded(HFBackend("ours", "lm", model, size.shape.context, dtype))
    found: dict[str, Any] = {
        "layers": size.shape.layers,
        "parameters": ours.parameters,
        "device": ours.device,
        "threads": torch.get_num_threads(),
        "dtype": dtype,
        "rows": ROWS,
        "length": LENGTH,
        "repeats": repeats,
        "prefixes": [],
    }
    for prefix in prefixes:
        print(f"after {prefix} tokens:", flush=True)
        found["prefixes"].append(measure(ours, Plain(plain), prefix, repeats))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="0.5B")
    parser.add_argument("--layers", type=int, help="number of layers, to use fewer than the model has")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    trio, role = SIZES[args.size]
    size = TRIOS[trio][role]
    if args.layers:
        size = replace(size, shape=replace(size.shape, layers=args.layers))
    finish({"size": args.size, **compared(size, args.device, PREFIXES, args.repeats)}, args.out)


if __name__ == "__main__":
    main()
