"""The page of the study quotes docs/study/study.json, which is of a complete run."""

import json
import re
from pathlib import Path

import pytest

from research.study.markdown import tables
from research.study.plan import TITLES

STUDY = Path(__file__).parents[2] / "docs/study"
FOUND = json.loads((STUDY / "study.json").read_text())
TABLES = (STUDY / "tables.md").read_text()
PAGE = (STUDY / "README.md").read_text()
AFTER = {
    "specs beta=16.0": "`specs`, as tuned",
    "specs beta=16.0 tau=0.5 switch-on=tilted": "`specs`, tilted rule",
    "gsi threshold=0.7": "`gsi`, as tuned",
    "beam": "`beam`",
}


def after():
    """Table rows about later changes, from the summaries in research/records."""
    for tier, limit in (("medium", 400), ("hard", 300)):
        found = json.loads((STUDY.parents[1] / f"research/records/tilted-{tier}.json").read_text())
        assert (found["problem_seed"], found["limit"], found["interrupted"]) == (1_030_000, limit, False)
        for name, title in AFTER.items():
            one = found["methods"][name]
            assert (one["solves"], one["failed"]) == (limit, 0)
            low, high = one["accuracy_interval"]
            minus = one["accuracy_minus_beam"]
            points = "" if name == "beam" else "{:+.1f} [{:+.1f}, {:+.1f}]".format(
                *(100 * minus[end] for end in ("mean", "low", "high"))
            )  # fmt: skip
            row = f"| {tier} | {title} | {100 * one['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}] | {points} "
            yield row + f"| {one['draft_share']:.0%} | {one['flops'] * 1e-9:.1f} |"


def test_the_record_is_of_a_complete_run():
    assert (FOUND["scale"], FOUND["solves_missing"]) == (1, 0)
    assert list(FOUND["parts"]) == list(TITLES)
    rows = [row for part in FOUND["parts"].values() for tier in part.get("tiers", {}).values() for row in tier]
    rows += [row for variant in FOUND["parts"]["g"]["models"].values() for row in variant]
    assert {row["failed"] for row in rows} == {0}


def test_the_tables_are_those_of_the_record():
    assert tables(FOUND).rstrip() == TABLES.rstrip()


def test_the_page_quotes_the_tables():
    """Every row of results, and every difference or ratio with an interval in the text, occurs in a table."""
    quoted = re.findall(r"^\| (?:`|\d+ tokens|a line|as fast).*$", PAGE, re.MULTILINE)
    assert len(quoted) > 20
    assert [row for row in quoted if row not in TABLES] == []
    later = "\n".join(after()).replace("|  |", "| |")
    assert later in PAGE
    numbers = re.findall(r"[-+]?\d+\.\d+ \[[-+]?\d+\.\d+, [-+]?\d+\.\d+\]", PAGE)
    assert [number for number in numbers if number not in TABLES + later] == []


@pytest.mark.parametrize("part", TITLES)
def test_every_part_of_the_study_has_its_figure(part):
    assert (STUDY / f"{part}.svg").is_file()
    assert f"({part}.svg)" in PAGE
