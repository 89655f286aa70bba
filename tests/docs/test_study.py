"""docs/study and the README's table are made from the committed rows.

python -m research.study tables > docs/study/tables.md       makes the tables again
python -m research.study summary                             the README's table
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from research.study import rows
from research.study.plan import CLAIMS, GROUPS, TIERS
from research.study.tables import (
    PLACES,
    accuracy,
    bars,
    cost,
    front,
    means,
    oracle,
    places,
    points,
    summary,
    tables,
    worse,
)
from research.study.timing import with_speculation
from research.study.tuning import by_setting, chosen, difference, mean, pairs_needed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/study/README.md").read_text()
README = (ROOT / "README.md").read_text()
TABLES = (ROOT / "docs/study/tables.md").read_text()
PUBLISHED = {tier: json.loads((ROOT / f"research/records/published-{tier}.json").read_text()) for tier in TIERS}


def test_the_tables_are_made_from_the_rows():
    assert "\n".join(tables()) + "\n" == TABLES


@pytest.mark.parametrize("tier", TIERS)
def test_the_page_has_the_table_of_right_answers(tier):
    lines = list(accuracy("main", tier))
    assert len(lines) > len(GROUPS)
    assert "\n".join(lines) in PAGE


@pytest.mark.parametrize("tier", TIERS)
def test_the_page_says_on_how_many_problems(tier):
    problems = {row["problem"] for row in rows.read("main") if row["tier"] == tier}
    cells = by_setting([row for row in rows.read("main") if row["tier"] == tier])
    assert {len(solves) for solves in cells.values()} == {len(problems)}
    assert f"{len(problems)} of `{tier}`" in PAGE


def test_the_page_has_the_oracle():
    assert "\n".join(oracle()) in PAGE


def test_the_page_has_the_pairs_and_says_how_many_were_planned():
    lines = list(accuracy("pairs", "hard"))
    assert len(lines) == 2 + 1 + len(CLAIMS)
    assert "\n".join(lines) in PAGE
    cells = by_setting(rows.read("pairs"))
    (made,) = {len(solves) for solves in cells.values()}
    assert f"on {made} other problems of `hard`" in PAGE
    planned = pairs_needed(rows.read("main"), chosen())
    assert made == max(planned.values())
    others = [number for group, number in planned.items() if group != "gsi"]
    assert f"For `gsi` these are {planned['gsi']} problems, for the others {min(others):,} to {max(others):,}" in PAGE
    assert f"all five settings solved {made}" in PAGE


def test_the_readme_has_the_summary():
    assert "\n".join(summary()) in README


@pytest.mark.parametrize("tier", TIERS)
def test_the_page_has_the_bars(tier):
    assert "\n".join(bars(tier)) in PAGE


def test_the_page_has_the_front_and_the_cost_of_a_draft_token():
    assert "\n".join(front()) in PAGE
    assert "\n".join(cost()) in PAGE
    problems = {row["problem"] for row in rows.read("front")}
    assert f"Right answers of {len(problems)} of the problems of `hard`" in PAGE
    assert "(front.svg)" in PAGE
    assert "docs/study/front.png" in README


def test_every_difference_in_the_text_is_in_a_table():
    """Numbers such as "-14.6 [-22.0, -7.1]" in the text are those of a table."""
    both = PAGE + README.partition("## Results")[2].partition("\n## ")[0]
    text = "\n".join(line for line in both.splitlines() if not line.startswith("|"))
    quoted = re.findall(r"[+-]?\d+\.\d+ \[[^\]]+\]", text)
    shown = [line for line in PAGE.splitlines() if line.startswith("|")]
    assert len(quoted) > 5
    assert [one for one in quoted if one not in TABLES and not any(one in line for line in shown)] == []


def test_the_text_counts_flops_as_the_rows_do():
    settings, cells = chosen(), by_setting([row for row in rows.read("main") if row["tier"] == "hard"])
    ours = mean(cells[settings["specs"]], "mflops")
    for group, words in (
        ("one-first", "{:.2f} of the FLOPs of `specs`"),
        ("beam", "takes {:.2f} of the FLOPs of `specs`"),
        ("gsi", "at {:.2f} times the FLOPs"),
        ("best-of-n", "at {:.1f} times the FLOPs of `specs`"),
    ):
        assert words.format(mean(cells[settings[group]], "mflops") / ours) in PAGE


def test_the_text_says_what_each_phase_takes():
    shown = dict.fromkeys(("specs", "beam"))
    found = rows.read("time-medium-1")
    for group in shown:
        setting = chosen()[group] if group == "specs" else with_speculation(chosen()[group])
        own = [row for row in found if row["method"] == setting]
        shown[group] = {phase: 1e3 * np.mean([row["busy_s"][phase] for row in own]) for phase in own[0]["busy_s"]}
        shown[group]["latency"] = 1e3 * np.mean([row["latency_s"] for row in own])
    assert (
        "On one core, of the {latency:.0f} ms of a `medium` solve the draft writes for {draft:.0f}, the target reads "
        "for {target_score:.0f} and writes for {target_generate:.0f}, the PRM takes {prm:.0f} and the rest "
        "{orchestration:.0f}.".format(**shown["specs"])
    ) in PAGE
    assert (
        "takes {latency:.0f}: for {target_generate:.0f} of them the target writes, with the draft's proposals, and the "
        "PRM takes {prm:.0f}.".format(**shown["beam"])
    ) in PAGE


def test_the_text_says_what_a_second_core_brings():
    ours = chosen()["specs"]
    busy = {}
    for cores in (1, 2):
        own = [row for row in rows.read(f"time-hard-{cores}") if row["method"] == ours]
        busy[cores] = {phase: 1e3 * np.mean([row["busy_s"][phase] for row in own]) for phase in own[0]["busy_s"]}
        busy[cores]["overlap"] = sum(busy[cores].values()) - 1e3 * np.mean([row["latency_s"] for row in own])
    assert f"phases overlap by {busy[2]['overlap']:.0f} ms on `hard`" in PAGE
    assert f"busy for {busy[2]['draft']:.0f} ms instead of {busy[1]['draft']:.0f}" in PAGE
    assert f"reads for {busy[2]['target_score']:.0f} instead of {busy[1]['target_score']:.0f}" in PAGE
    for tier, words in (("hard", "On two cores `specs` takes {:.2f} of its latency on one"), ("medium", "({:.2f} on")):
        one, two = (means(rows.read(f"time-{tier}-{cores}"), ours)["latency_s"].mean() for cores in (1, 2))
        assert words.format(two / one) in PAGE


def spread(ratio):
    return f"{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


@pytest.mark.parametrize("tier", TIERS)
def test_the_page_quotes_the_run_beside_the_published_code(tier):
    for way in PUBLISHED[tier]["methods"]:
        mine, theirs = (
            "1" if way["method"] == name else spread(way[key])
            for name, key in (("beam", "latency_to_beam"), ("their-beam", "latency_to_their_beam"))
        )
        line = (
            f"| `{tier}` | `{way['method']}` | {way['right']} of {way['problems']} | {1e3 * way['mean_latency_s']:.0f} "
            f"| {theirs} | {mine} | {way['requests_a_problem']:.0f} |"
        )
        assert line in PAGE
        assert way["failed"] == 0


def test_what_the_text_says_of_controls():
    settings, cells = chosen(), by_setting([row for row in rows.read("main") if row["tier"] == "hard"])
    (coin,) = (name for name in cells if name.startswith("random-rewrite"))
    specs = cells[settings["specs"]]
    for name in (coin, "specs:select_weight=0:accept_weight=0", "specs:select_weight=0", "specs:accept_weight=0"):
        assert points(*difference(cells[name], specs)) in PAGE


def test_the_page_has_the_log_ratio_by_place_and_its_costs():
    assert "\n".join(places()) in PAGE
    cells = by_setting([row for row in rows.read("main") if row["tier"] == "hard"])
    costs = [-100 * difference(cells[one], cells["specs"])[0] for one in PLACES.values() if one != "specs"]
    words = "leaving it out of the draw costs {:.1f} points, out of the acceptance {:.1f} and out of both {:.1f}"
    assert words.format(*costs) in PAGE


def test_the_page_has_the_table_of_worse_models():
    assert "\n".join(worse()) in PAGE
