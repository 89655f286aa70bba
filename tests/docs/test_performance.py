"""docs/performance.md quotes docs/results/cost.json and lookahead-*.json.

python tests/docs/test_performance.py       prints the rows
"""

import json
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
COST = json.loads((DOCS / "results/cost.json").read_text())
AHEAD = {tier: json.loads((DOCS / f"results/lookahead-{tier}.json").read_text()) for tier in ("medium", "hard")}


def spread(ratio):
    return f"{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


def rows():
    core = COST["core"]
    yield (
        f"A core reads {core['bytes_per_s'] / 1e9:.0f} GB/s of weights as large as the target's and does "
        f"{core['flops_per_s'] / 1e9:.0f} Gflop/s, so r* is {2 * core['flops_per_s'] / core['bytes_per_s']:.0f} tokens."
    )
    for tokens in COST["passes"]["draft"]:
        found = [COST["passes"][role][tokens] for role in ("draft", "target", "prm")]
        cells = [f"{1000 * one['seconds']:.2f} ({one['seconds'] / one['floor']:.1f})" for one in found]
        yield f"| {tokens} | {' | '.join(cells)} |"
    for name, label in (("draft", "by the draft, `D`"), ("beam", "`beam`, `B`")):
        one = COST["step"][name]
        yield (
            f"| {label} | {one['passes']:.1f} | {one['rows']:.1f} | {one['verified']:.0f} "
            f"| {1000 * one['from_passes']:.1f} | {1000 * one['measured']:.1f} |"
        )
    for one in COST["shares"]:
        yield f"| {one['draft_share']:.2f} | {one['predicted']:.2f} | {one['measured']:.2f} |"
    for tier, one in AHEAD.items():
        steps = one["step_over_beam"]
        yield (
            f"| {tier} | {spread(one['on/off'])} | {spread(one['on/beam'])} | {one['on/beam']['of_means']:.2f} "
            f"| {steps['on']:.2f}, {steps['off']:.2f} | {one['drafted_in_vain']:.2f} |"
        )


def test_the_page_quotes_the_records():
    page = (DOCS / "performance.md").read_text()
    assert [row for row in rows() if row not in page] == []


def test_shares_are_met_within_a_tenth():
    for one in COST["shares"]:
        assert abs(one["measured"] / one["predicted"] - 1) <= 0.1, one


def test_looking_ahead_costs_nothing():
    """Upper 95% bound of the paired median of latencies, on over off."""
    for one in AHEAD.values():
        assert one["on/off"]["high"] <= 1.03


if __name__ == "__main__":
    print(*rows(), sep="\n")
