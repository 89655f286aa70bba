"""docs/results.md and the README quote research/records, and those records are of complete runs.

python tests/docs/test_results.py       prints the rows
"""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs/results.md").read_text()
TITLES = {"specs": "`specs:verify=all`", "gsi threshold=0.7": "`gsi`, tuned", "beam": "`beam`"}
PROBLEMS = {"medium": 1200, "hard": 600}


def methods(name, problems):
    record = json.loads((ROOT / f"research/records/{name}.json").read_text())
    assert not record["interrupted"]
    assert (record["problem_seed"], record["limit"]) == (1_022_500, problems)
    assert all((one["solves"], one["failed"]) == (problems, 0) for one in record["methods"].values())
    return record["methods"]


def interval(low, high, form):
    return f"[{low:{form}}, {high:{form}}]"


def rows(tier):
    accuracy, latency = methods(f"accuracy-{tier}", PROBLEMS[tier]), methods(f"latency-{tier}", 160)
    for name, title in TITLES.items():
        one, clock = accuracy[name], latency[name]
        low, high = one["accuracy_interval"]
        cells = [title, f"{100 * one['accuracy']:.1f} {interval(100 * low, 100 * high, '.1f')}"]
        minus, ratio = one["accuracy_minus_beam"], clock["latency_ratio_to_beam"]
        points = f"{100 * minus['mean']:+.1f} {interval(100 * minus['low'], 100 * minus['high'], '+.1f')}"
        cells += ["" if name == "beam" else points, f"{1e3 * clock['latency_s']['mean']:.0f}"]
        cells += ["1" if name == "beam" else f"{ratio['median']:.2f} {interval(ratio['low'], ratio['high'], '.2f')}"]
        cells += [f"{ratio['of_means']:.2f}" if name != "beam" else "1", f"{one['draft_share']:.0%}"]
        yield "| " + " | ".join(cells).replace("|  |", "| |") + " |"


def quoted():
    """Figures that the text quotes."""
    for tier in PROBLEMS:
        accuracy, latency = methods(f"accuracy-{tier}", PROBLEMS[tier]), methods(f"latency-{tier}", 160)
        specs = accuracy["specs"]
        assert set(specs["processed_over_minimum"].values()) == {1.0}
        yield f"{100 * specs['accuracy_minus_beam']['lower_bound_one_sided']:+.1f}"
        yield f"{latency['specs']['orchestration_share']:.1%}"
        one_core = methods(f"one-core-{tier}", 160)["specs"]["latency_ratio_to_beam"]
        yield f"{one_core['median']:.2f} {interval(one_core['low'], one_core['high'], '.2f')} (`{tier}`)"


@pytest.mark.parametrize("tier", PROBLEMS)
def test_the_table_quotes_the_record(tier):
    assert [row for row in rows(tier) if f"\n{row}\n" not in PAGE] == []


@pytest.mark.parametrize("tier", PROBLEMS)
def test_the_readme_has_the_same_table(tier):
    assert [row for row in rows(tier) if f"\n| `{tier}` {row}\n" not in README] == []


def test_the_readme_says_what_is_not_reached():
    sentence = "does not halve the strongest rival's latency"
    assert sentence in README
    assert sentence in PAGE
    rival = "0.62 [0.57, 0.66] and 0.65 [0.61, 0.73]"
    assert rival in README
    assert rival in PAGE


def test_the_text_quotes_the_record():
    assert [text for text in quoted() if text not in PAGE] == []


if __name__ == "__main__":
    for tier in PROBLEMS:
        print(*rows(tier), sep="\n")
    print(*quoted())
