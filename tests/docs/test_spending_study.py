"""docs/method.md quotes research/records/spending.json."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS, RECORDS = ROOT / "docs", ROOT / "research/records"
FOUND = json.loads((RECORDS / "spending.json").read_text())


def interval(form, scale, mean, low, high):
    return f"{form.format(scale * mean)} [{form.format(scale * low)}, {form.format(scale * high)}]"


def rows():
    """Table rows, one for each method and tier."""
    for tier in ("medium", "hard"):
        for name, one in FOUND.get(tier, {"fresh": {}})["fresh"].items():
            cells = [
                name,
                "" if one["tau"] is None else f"{one['tau']:.3g}",
                interval("{:.1f}", 100, one["accuracy"], *one["accuracy_interval"]),
                interval("{:+.1f}", 100, *one["minus_searched"]) if "minus_searched" in one else "",
                interval("{:.2f}", 1, *one["latency_ratio_to_beam"]) if "latency_ratio_to_beam" in one else "1",
                interval("{:.1f}", 100, one["spent"], *one["spent_interval"]) if one["spent"] is not None else "",
            ]
            yield f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def test_the_table_of_the_study_is_its_record():
    page = (DOCS / "method.md").read_text()
    assert [row for row in rows() if row not in page] == []
    assert f"{FOUND['limit']} tuning and {FOUND['limit']} fresh problems" in page


if __name__ == "__main__":
    print("\n".join(rows()))
