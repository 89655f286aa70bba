"""The README's results are those of docs/results, and these are of whole runs."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def methods(name):
    record = json.loads((ROOT / f"docs/results/{name}.json").read_text())
    assert not record["interrupted"]
    assert all(one["failed"] == 0 for one in record["methods"].values())
    return record["methods"]


def percent(row):
    low, high = row["accuracy_interval"]
    return f"{100 * row['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


@pytest.mark.parametrize("tier", ["medium", "hard"])
def test_the_table_quotes_the_record(tier):
    accuracy, latency = methods(f"bench-{tier}"), methods(f"latency-{tier}")
    specs, beam = accuracy["specs"], accuracy["beam"]
    assert (specs["solves"], beam["solves"]) == (2500, 2500)
    minus, ratio = specs["accuracy_minus_beam"], latency["specs"]["latency_ratio_to_beam"]
    points = f"**{100 * minus['mean']:+.1f}** [{100 * minus['low']:+.1f}, {100 * minus['high']:+.1f}]"
    rows = (
        f"| `specs`, n = 8 | {percent(specs)} | {points.replace('-0.0', '0.0')} "
        f"| {1e3 * latency['specs']['latency_s']['mean']:.0f} "
        f"| **{ratio['median']:.2f}** [{ratio['low']:.2f}, {ratio['high']:.2f}] | {specs['draft_share']:.0%} |",
        f"| `beam`, n = 8 | {percent(beam)} | | {1e3 * latency['beam']['latency_s']['mean']:.0f} | 1 | 0 |",
    )
    assert [row for row in rows if row not in README] == []
    assert f"{100 * minus['lower_bound_one_sided']:+.1f}" in README
    assert f"{ratio['of_means']:.2f}" in README
    assert f"{latency['specs']['orchestration_share']:.1%}" in README
    assert set(specs["processed_over_minimum"].values()) == {1.0}
