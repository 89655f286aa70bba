"""Every method solves as recorded in `v2`: bit for bit on tabular models, token for token on the bundled ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from golden import cases

V2 = Path(__file__).parent / "v2"
TOLERANCE = 1e-4
"""Nats, and of rewards, between kinds of processors."""


def recorded(name: str) -> list[dict[str, Any]]:
    lines = gzip.decompress((V2 / f"{name}.jsonl.gz").read_bytes()).decode().splitlines()
    return [json.loads(line) for line in lines]


def as_read(found: dict[str, Any]) -> dict[str, Any]:
    """After a round trip through JSON."""
    return json.loads(json.dumps(found))


@pytest.mark.parametrize("name", ["tabular", "deadlines"])
def test_tabular_models_solve_bit_for_bit_as_before(name):
    wanted = recorded(name)
    found = [as_read(one) for one in getattr(cases, name)()]
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one == other, other["method"]


@pytest.mark.slow
def test_bundled_models_solve_token_for_token_as_before():
    for one, other in zip(map(as_read, cases.bundled()), recorded("bundled"), strict=True):
        assert same(one, other), other["method"]


def same(one: Any, other: Any) -> bool:
    """Equal, floating-point numbers up to rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, abs=TOLERANCE, rel=1e-3)
    return type(one) is type(other) and one == other


def test_the_recorded_solves_cover_what_they_should():
    """Rewrites, searches, speculation and several finish reasons occur; otherwise the records would test nothing."""
    results = recorded("tabular")
    assert len(results) == len(cases.VARIANTS)
    assert {result["method"].removesuffix("+speculation") for result in results} >= {
        name for name, _ in cases.VARIANTS[:18]
    }
    steps = [step for result in results for step in result["steps"]]
    assert sum(not step["accepted"] for step in steps) >= 10
    assert {step["writer"] for step in steps} == {"draft", "target"}
    assert sum("kept" in step for step in steps) >= 5
    ends = {result["finish_reason"] for result in recorded("deadlines")}
    assert "deadline" in ends
    assert len(ends) > 1
