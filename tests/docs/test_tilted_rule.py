"""docs/experiments/tilted-switching-rule.md quotes its records, which are of complete runs."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/experiments/tilted-switching-rule.md").read_text()
TITLES = {
    "specs beta=16.0": "`specs`, as tuned",
    "specs beta=16.0 tau=0.5 switch-on=tilted": "`specs`, tilted rule",
    "gsi threshold=0.7": "`gsi`, as tuned",
    "beam": "`beam`",
}


@pytest.mark.parametrize(("tier", "limit"), [("medium", 400), ("hard", 300)])
def test_the_page_quotes_the_record(tier, limit):
    found = json.loads((ROOT / f"research/records/tilted-{tier}.json").read_text())
    assert (found["problem_seed"], found["limit"], found["interrupted"]) == (1_030_000, limit, False)
    for name, title in TITLES.items():
        one = found["methods"][name]
        assert (one["solves"], one["failed"]) == (limit, 0)
        low, high = one["accuracy_interval"]
        minus = one["accuracy_minus_beam"]
        points = "" if name == "beam" else "{:+.1f} [{:+.1f}, {:+.1f}] ".format(
            *(100 * minus[end] for end in ("mean", "low", "high"))
        )  # fmt: skip
        row = f"| {tier} | {title} | {100 * one['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}] | {points}"
        assert f"{row}| {one['draft_share']:.0%} | {one['flops'] * 1e-9:.1f} |" in PAGE
