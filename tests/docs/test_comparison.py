"""docs/study/comparison.md and its tables are made from the committed rows.

python -m research.comparison tables > docs/study/comparison-tables.md       makes the tables again
"""

import json
import re
from pathlib import Path

import pytest

from research.comparison import rows
from research.comparison.plan import GROUPS, TIERS
from research.comparison.tables import accuracy, points, tables, worse
from research.comparison.tuning import by_setting, chosen, difference, mean

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/study/comparison.md").read_text()
PUBLISHED = {tier: json.loads((ROOT / f"research/records/published-{tier}.json").read_text()) for tier in TIERS}


def test_the_tables_are_made_from_the_rows():
    assert (ROOT / "docs/study/comparison-tables.md").read_text() == "\n".join(tables()) + "\n"


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


def test_every_difference_in_the_text_is_in_a_table():
    """Numbers such as "-14.6 [-22.0, -7.1]" in the text are those of a table."""
    text = "\n".join(line for line in PAGE.splitlines() if not line.startswith("|"))
    table = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))
    quoted = re.findall(r"[+-]?\d+\.\d+ \[[^\]]+\]", text)
    assert len(quoted) > 5
    assert [one for one in quoted if one not in table] == []


def test_the_text_counts_flops_as_the_rows_do():
    settings, cells = chosen(), by_setting([row for row in rows.read("main") if row["tier"] == "hard"])
    ours = mean(cells[settings["specs"]], "mflops")
    for group, words in (
        ("one-first", "{:.2f} of the FLOPs of `specs`"),
        ("beam", "takes {:.2f} of its FLOPs"),
        ("gsi", "at {:.2f} times the FLOPs"),
        ("best-of-n", "at {:.1f} times the FLOPs of `specs`"),
    ):
        assert words.format(mean(cells[settings[group]], "mflops") / ours) in PAGE


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


def test_the_page_has_the_table_of_worse_models():
    assert "\n".join(worse()) in PAGE
