"""docs/experiments/what-the-log-ratio-is-for.md quotes its records.

python tests/docs/test_log_ratio.py       prints the rows
"""

import gzip
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "research/records/log-ratio-hard.json").read_text())
WEIGHTS = json.loads((ROOT / "research/records/log-ratio-weight-hard.json").read_text())
PAGE = ROOT / "docs/experiments/what-the-log-ratio-is-for.md"
TITLES = {
    "specs": ("`specs`", "choice and acceptance"),
    "specs accept-weight=0.0": ("`specs:accept_weight=0`", "choice"),
    "specs select-weight=0.0 verify=drawn": ("`specs:select_weight=0:verify=drawn`", "acceptance"),
    "specs select-weight=0.0 accept-weight=0.0": ("`specs:select_weight=0:accept_weight=0`", "neither"),
    "specs-released": ("`specs-released`", "choice and acceptance, mean"),
    "gsi threshold=0.7": ("`gsi:threshold=0.7`", "choice and acceptance"),
    "beam": ("`beam`", ""),
}


def rows():
    for name, (title, place) in TITLES.items():
        one = RECORD["methods"][name]
        assert (one["solves"], one["failed"]) == (RECORD["limit"], 0)
        low, high = one["accuracy_interval"]
        minus = one.get("accuracy_minus_beam")
        points = f"{100 * minus['mean']:+.1f} [{100 * minus['low']:+.1f}, {100 * minus['high']:+.1f}]" if minus else ""
        cells = [title, place, f"{100 * one['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]", points]
        read = one["tokens"]["target"]["processed"]
        cells += [f"{one['flops'] / 1e9:.1f}", f"{read:.0f}", f"{one['draft_share']:.0%}"]
        yield "| " + " | ".join(cells).replace("|  |", "| |") + " |"


def weight_rows():
    for power, one in WEIGHTS["by_length_power"].items():
        shares = [f"{share:.2f}" for share in one["ess_share"].values()]
        yield f"| {power} | {' | '.join(shares)} | {one['largest_weight']:.2f} |"


def lost(name):
    """What a method loses against `specs` on the same problems: points and their standard error, as quoted."""
    right = right_by_method(ROOT / "research/records/log-ratio-hard.jsonl.gz")
    points = np.array([100.0 * (right["specs"][problem] - one) for problem, one in right[name].items()])
    return f"{points.mean():.1f} ({points.std(ddof=1) / np.sqrt(len(points)):.1f})"


TUNING = {
    tier: (
        json.loads((ROOT / f"research/records/drawn-tuning-{tier}.json").read_text())["methods"],
        ROOT / f"research/records/drawn-tuning-{tier}.jsonl.gz",
    )
    for tier in ("hard", "medium")
}


def right_by_method(path):
    """Whether each problem was solved, by method."""
    right = defaultdict(dict)
    with gzip.open(path, "rt") as lines:
        for row in map(json.loads, lines):
            right[row["method"]][row["problem_id"]] = row["correct"] is True
    return right


def tuning_rows():
    right = {tier: right_by_method(path) for tier, (_, path) in TUNING.items()}
    for name in TUNING["hard"][0]:
        cells = []
        for tier, (methods, _) in TUNING.items():
            own, specs = (np.array(list(right[tier][one].values()), float) for one in (name, "specs"))
            points = 100 * (own - specs)
            error = points.std(ddof=1) / np.sqrt(len(points))
            minus = "" if name == "specs" else f" | {points.mean():+.1f} ({error:.1f})"
            cells.append(f"{100 * own.mean():.1f}{minus or ' |'} | {methods[name]['flops'] / 1e9:.1f}")
        label = name.replace("select-weight=0.0 verify=drawn", "drawn by reward")
        yield f"| {label} | {' | '.join(cells)} |"


LENGTHS = json.loads((ROOT / "research/records/weight-by-length.json").read_text())


def length_rows():
    for length, one in LENGTHS["lengths"].items():
        size = f"{length}, {one['tokens_a_step']:.0f} tokens" if "line" in length else length
        shares = [f"{100 * row['right']:.0f} ({row['ess']:.2f})" for row in one["by_weight"].values()]
        yield f"| {size} | {' | '.join(shares)} | {one['largest_weight_by_ess']:.2f} |"


def test_the_page_quotes_the_lengths():
    page = PAGE.read_text()
    assert [row for row in length_rows() if row not in page] == []
    assert {one["weight_by_bound"] for one in LENGTHS["lengths"].values()} == {1.0}  # as the page says


def test_the_page_quotes_the_tuning():
    page = PAGE.read_text()
    assert [row for row in tuning_rows() if row not in page] == []


def test_the_page_quotes_the_records():
    page = PAGE.read_text()
    assert [row for row in (*rows(), *weight_rows()) if row not in page] == []
    drawn, choice, neither, released = map(lost, (*list(TITLES)[2:0:-1], *list(TITLES)[3:5]))
    assert f"acceptance alone loses {drawn.replace('(', 'points (standard error ')}" in page
    assert f"in the choice alone {choice}, and in neither place {neither}." in page
    assert f"`specs-released` is {released.replace(' (', ' points (')} below" in page
    methods = RECORD["methods"]
    flops = {name: methods[name]["flops"] for name in ("specs", "beam", "specs select-weight=0.0 verify=drawn")}
    ratio = [flops["specs select-weight=0.0 verify=drawn"] / flops[name] for name in ("beam", "specs")]
    assert f"took {ratio[0]:.2f} of the FLOPs of `beam` and {ratio[1]:.2f} of those of `specs`" in page


if __name__ == "__main__":
    print(*rows(), "", *weight_rows(), "", *tuning_rows(), "", *length_rows(), sep="\n")
