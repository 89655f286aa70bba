"""Sizes of the suite on a CPU and on a GPU."""

from __future__ import annotations

from dataclasses import dataclass

from research.cost_suite.shapes import Engine

PROBLEM_SEED = 2_460_000
"""First seed of the replayed problems. They are tuning problems, since the suite reports no accuracy."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of one suite.

    Attributes:
        device: a torch device, or "cpu".
        trio: name in `research.cost_suite.shapes.TRIOS` of the models with which n, context and shares vary.
        trios: names of the trios whose steps are compared.
        replayed_on: name of the trio in whose time recorded solves are repeated.
        n, tokens, context: candidates a step, tokens of a step and tokens of the prefix, where they do not vary.
        widths, contexts: values of n and of the context.
        shares: shares in [0, 1] of steps that the draft writes; the last one is 1.
        steps, repeats: each kind of step is measured in `repeats` solves of `steps` steps after the first.
        problems: recorded solves for each tier and method.
    """

    engine: Engine
    device: str
    trio: str
    trios: tuple[str, ...]
    replayed_on: str
    n: int
    tokens: int
    context: int
    widths: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    contexts: tuple[int, ...] = (128, 512, 1024, 2048, 4096)
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    steps: int = 4
    repeats: int = 5
    problems: int = 8


SCALES = {
    "cpu": Scale(
        "light", "cpu", "bundled", ("bundled", "1M, 5M, 5M", "8M, 40M, 40M", "40M, 190M, 190M"), "8M, 40M, 40M",
        n=8, tokens=16, context=128,
    ),
    "cuda": Scale(
        "torch", "cuda", "Qwen2.5 1.5B, 7B, 7B",
        ("Qwen2.5 0.5B, 1.5B, 1.5B", "Qwen2.5 0.5B, 7B, 7B", "Qwen2.5 1.5B, 7B, 7B"), "Qwen2.5 1.5B, 7B, 7B",
        n=8, tokens=60, context=1024,
    ),
}  # fmt: skip
"""Scales by kind of device."""
