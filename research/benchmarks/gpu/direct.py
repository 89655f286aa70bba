"""Compares the torch engine with transformers' own classes (`research.benchmarks.torch_backend`), at two sizes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from research.benchmarks import torch_backend
from research.benchmarks.gpu.act import Act, Found, Point
from research.cost_suite.shapes import TRIOS, Size, free
from specs.types import Role

PREFIXES = (1024, 128)


def points(act: Act) -> Iterator[Point]:
    if act.dry:
        tiny = TRIOS["1M, 5M, 5M"][Role.TARGET]
        yield Point("5M", partial(compared, act, tiny, (16,), 2), 0)
        return
    for name in ("1.5B", "7B"):
        trio, role = torch_backend.SIZES[name]
        yield Point(name, partial(compared, act, TRIOS[trio][role], PREFIXES, 15), 60)


def compared(act: Act, size: Size, prefixes: tuple[int, ...], repeats: int) -> Found:
    try:
        return torch_backend.compared(size, act.device, prefixes, repeats)
    finally:
        free("torch")
