"""Whole steps and solves at the sizes of real models: the points of the benchmark suite (`research.cost_suite`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from research.benchmarks.gpu.act import Act, Found, Point
from research.cost_suite.measure import release as release
from research.cost_suite.scales import SCALES, Scale
from research.cost_suite.suite import Suite

ABOUT_S = {"steps": 90, "n": 40, "context": 50, "shares": 140, "trio": 60, "replayed": 160}
"""Estimated seconds of a point, by the first word of its name."""
TINY = Scale(
    "torch", "cpu", "1M, 5M, 5M", ("1M, 5M, 5M",), "1M, 5M, 5M", n=2, tokens=3, context=16,
    widths=(2,), contexts=(16,), shares=(0.0, 1.0), steps=1, repeats=1, problems=1,
)  # fmt: skip


def scale(act: Act) -> Scale:
    return TINY if act.dry else replace(SCALES["cuda"], device=act.device)


def points(act: Act) -> Iterator[Point]:
    own = scale(act)
    yield Point("scale", lambda: asdict(own), 0)
    for name, measured in Suite(own, act.folders[0]).points():
        yield Point(name, measured, ABOUT_S[name.partition(" ")[0]])


def suite_of(record: Found) -> Found:
    """Convert a record of this part for `research.cost_suite.tables` and `research.cost_suite.figures`."""
    found = {name: point["found"] for name, point in record["points"].items() if "found" in point}
    return {"scale": found.pop("scale"), "points": found}
