"""docs/calibrate.md quotes research/records/calibrate-medium.json, in which all predictions held."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS, RECORDS = ROOT / "docs", ROOT / "research/records"
FOUND = json.loads((RECORDS / "calibrate-medium.json").read_text())


def rows():
    for name, title, scale, form in (
        ("accuracy", "right, %", 100, ".1f"),
        ("latency_ratio", "latency ratio", 1, ".3f"),
        ("p95_s", "p95, s", 1, ".3f"),
    ):
        value, low, high = (scale * FOUND["prediction"][name][part] for part in ("value", "low", "high"))
        found = scale * FOUND["check"]["found"][name]
        yield f"| {title} | {value:{form}} [{low:{form}}, {high:{form}}] | {found:{form}} | held |"


def test_the_page_quotes_the_record():
    page = (DOCS / "calibrate.md").read_text()
    assert [row for row in rows() if row not in page] == []
    assert f"--problem-seed {FOUND['problem_seed']} --limit {FOUND['problems']} " in page
    assert f"--max-{FOUND['goal']['statistic'].replace('_', '-')} {FOUND['goal']['value']} " in page


def test_every_prediction_held_on_problems_outside_the_choice():
    check = FOUND["check"]
    assert (check["problems"], check["dropped"], check["goal_met"], check["same_load"]) == (100, 0, True, True)
    assert set(check["held"].values()) == {True}
