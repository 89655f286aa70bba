"""docs/experiments/lazy-verification.md quotes its records.

python tests/docs/test_lazy_verification.py       prints the rows
"""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "research/records"
LAZY = json.loads((RECORDS / "lazy-verification.json").read_text())
ROUNDS = json.loads((RECORDS / "lazy-rounds.json").read_text())
RIVALS = {
    (tier, cores): json.loads((RECORDS / f"rivals-{tier}-{cores}.json").read_text())
    for tier in ("hard", "medium")
    for cores in (1, 2)
}
PAGE = ROOT / "docs/experiments/lazy-verification.md"


def solve_rows():
    for tier, one in LAZY["solves"].items():
        flops = one["flops_to_beam"]
        yield (
            f"| {tier} | {one['problems']} | {one['decisions']} | {one['mismatches']} | {one['candidates_a_step']:.2f} "
            f"| {one['positions_read']:.2f} | {flops['all']:.2f} | {flops['drawn']:.2f} |"
        )


def constructed_rows():
    for way, of_way in LAZY["constructed"].items():
        read = " | ".join(f"{found['candidates_read']:.2f}" for found in of_way.values())
        decisions, mismatches = (sum(found[name] for found in of_way.values()) for name in ("decisions", "mismatches"))
        yield f"| {way} | {decisions:,} | {mismatches} | {read} |"


def length_rows():
    for length in dict.fromkeys(one["tokens"] for one in LAZY["by_length"]):
        shares = [f"{one['positions_read']:.2f}" for one in LAZY["by_length"] if one["tokens"] == length]
        yield f"| {length} | {' | '.join(shares)} |"


def round_rows():
    for one in ROUNDS["rows"]:
        early = ", stops early" if one["early"] else ""
        yield (
            f"| {one['a_round']}{early} | {one['rounds']:.2f} | {one['read']:.1f} | {one['rewritten']:.1f} "
            f"| {one['ms']:.1f} |"
        )


def shown(one):
    return f"{one['mean']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"


def rival_rows(tier):
    one, two = RIVALS[tier, 1]["methods"], RIVALS[tier, 2]["methods"]
    for name, found in one.items():
        cells = [shown(found["latency_s_to_rival"]), shown(two[name]["latency_s_to_rival"])]
        cells += [f"{row[name]['core_s_to_rival']['mean']:.2f}" for row in (one, two)]
        flops = found["flops_to_rival"]["mean"] / one["beam"]["flops_to_rival"]["mean"]
        yield f"| {tier} | `{name}` | {' | '.join(cells)} | {flops:.2f} |"


def rows():
    return [
        *solve_rows(),
        *constructed_rows(),
        *length_rows(),
        *round_rows(),
        *rival_rows("hard"),
        *rival_rows("medium"),
    ]


def test_the_page_quotes_the_records():
    page = PAGE.read_text()
    assert [row for row in rows() if row not in page] == []
    a, b = ROUNDS["pass_ms"]["level"], ROUNDS["pass_ms"]["each_position"]
    assert f"{a:.1f} ms and {b:.2f} ms a position" in page


def test_no_decision_was_another_one():
    assert sum(one["mismatches"] for one in LAZY["solves"].values()) == 0
    assert sum(found["mismatches"] for of_way in LAZY["constructed"].values() for found in of_way.values()) == 0
    assert sum(found["decisions"] for of_way in LAZY["constructed"].values() for found in of_way.values()) >= 1_000_000


if __name__ == "__main__":
    print(*rows(), sep="\n")
