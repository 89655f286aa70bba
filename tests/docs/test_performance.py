"""docs/performance.md quotes docs/suite/suite.json, and records of costs and speedups in research/records.

python tests/docs/test_performance.py       prints the rows
"""

import json
from pathlib import Path

from research.benchmarks.gpu.predictions import RESULTS, lines, measured_on, read
from research.cost_suite.tables import replay_rows, step_rows, sweep_rows, tables

ROOT = Path(__file__).parents[2]
DOCS, RECORDS = ROOT / "docs", ROOT / "research/records"
COST = json.loads((RECORDS / "cost.json").read_text())
TIERS = ("medium", "hard")
AHEAD = {tier: json.loads((RECORDS / f"lookahead-{tier}.json").read_text()) for tier in TIERS}
GUESSED = {tier: json.loads((RECORDS / f"speculation-{tier}.json").read_text()) for tier in TIERS}
SUITE = json.loads((DOCS / "suite/suite.json").read_text())
TORCH = json.loads((RECORDS / "torch-backend.json").read_text())
PRECISION = json.loads((RECORDS / "precision-hard.json").read_text())
PARTS = {
    "first": "the first step",
    "draft": "steps by the draft",
    "draft, rejected": "steps by the draft, rejected",
    "target": "steps by the target",
    "rest": "after the last step",
}


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
    ratio = COST["shares"][-1]["measured"]
    yield (
        f"So `hard` at half of `beam`'s latency takes a draft share of {0.5 / (1 - ratio):.2f} by the coin, "
        f"and with `rewrite` {0.5 + ratio:.2f}"
    )
    for tier, one in AHEAD.items():
        steps, idle = one["step_over_beam"], one["orchestration"]["on"]
        yield (
            f"| {tier} | {spread(one['on/off'])} | {spread(one['on/beam'])} | {one['on/beam']['of_means']:.2f} "
            f"| {steps['on']:.2f}, {steps['off']:.2f} | {one['drafted_in_vain']:.2f} | {idle:.1%} |"
        )
    for part, label in PARTS.items():
        cells = []
        for one in AHEAD.values():
            for way in ("on", "beam"):
                found = one["parts"][way].get(part)
                cells.append("" if found is None else f"{found['ms']:.0f} ({found['steps']:.2g})")
        yield f"| {label} | {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")
    for tier, one in GUESSED.items():
        ratios = [spread(one[f"{name}+speculation / {name}"]) for name in ("target", "beam", "gsi", "specs")]
        yield f"| {tier} | {one['agree']:.3f} | {one['one_less_tv']:.3f} | {' | '.join(ratios)} |"
    for tier, one in GUESSED.items():
        pairs = ("specs / beam", "specs / beam+speculation", "specs+speculation / beam+speculation")
        yield f"| {tier} | {' | '.join(spread(one[pair]) for pair in pairs)} |"
    yield f"{GUESSED['medium']['tokens']:,} and {GUESSED['hard']['tokens']:,} tokens"
    for one in TORCH["prefixes"]:
        for work in ("a token of each candidate", "scores of all candidates"):
            (mine, *spread_of), (its, *its_spread) = one[work]["ours_ms"], one[work]["plain_ms"]
            ratio, low, high = one[work]["over_plain"]
            yield (
                f"| {one['prefix']:,} | {work} | {mine:,.0f} ({spread_of[0]:,.0f} to {spread_of[1]:,.0f}) "
                f"| {its:,.0f} ({its_spread[0]:,.0f} to {its_spread[1]:,.0f}) | {ratio:.2f} [{low:.2f}, {high:.2f}] |"
            )
    for dtype in ("fp32", "bf16"):
        one = PRECISION[dtype]
        errors = [" / ".join(f"{value:.1e}" for value in one[name]) for name in ("log_p_error", "reward_error")]
        differs = " | ".join(f"{one[name] / one['steps']:.1%}" for name in ("chosen_differently", "verdict_differs"))
        yield f"| {dtype} | {one['steps']} | {differs} | {one['selection_tv']:.1e} | {' | '.join(errors)} |"
    yield from step_rows(SUITE["points"]["steps"])
    yield from sweep_rows(SUITE["points"], "trio")
    yield from replay_rows(SUITE["points"])


def test_the_tables_of_the_suite_are_those_of_its_record():
    assert (DOCS / "suite/suite.md").read_text() == tables(SUITE)


def test_shares_in_the_record_of_the_suite_are_within_a_tenth_of_the_prediction():
    for one in SUITE["points"]["shares"]["rows"]:
        assert abs(one["measured"] / one["predicted"] - 1) <= 0.1, one


def test_the_page_quotes_the_records():
    page = (DOCS / "performance.md").read_text()
    assert [row for row in rows() if row not in page] == []


def test_predictions_for_a_gpu_are_printed_beside_measurements():
    """`python -m research.benchmarks.gpu.predictions` prints them."""
    page = (DOCS / "performance.md").read_text()
    assert "\n".join(lines(read(RESULTS, "gpu-"))) in page
    assert measured_on(RESULTS, "gpu-") in page


def test_shares_are_within_a_tenth_of_the_prediction():
    for one in COST["shares"]:
        assert abs(one["measured"] / one["predicted"] - 1) <= 0.1, one


def test_prefetching_costs_nothing():
    """Upper 95% bound of the median over pairs of latency with prefetching over latency without."""
    for one in AHEAD.values():
        assert one["on/off"]["high"] <= 1.03


def test_little_time_is_spent_outside_the_models():
    for one in AHEAD.values():
        assert max(one["orchestration"].values()) <= 0.05


def test_in_fp32_no_choice_depends_on_how_scores_are_computed():
    assert PRECISION["fp32"]["steps"] >= 400
    assert PRECISION["fp32"]["chosen_differently"] == PRECISION["fp32"]["verdict_differs"] == 0


def test_speculation_makes_no_method_slower():
    """Upper 95% bound of the median over pairs of latency with token-level speculation over latency without."""
    for one in GUESSED.values():
        for name in ("target", "beam", "gsi", "specs"):
            assert one[f"{name}+speculation / {name}"]["high"] <= 1.03


if __name__ == "__main__":
    print(*rows(), sep="\n")


def points(difference):
    return f"{100 * difference['mean']:+.1f} [{100 * difference['low']:+.1f}, {100 * difference['high']:+.1f}]"


def test_the_pages_on_removed_options_quote_their_records():
    stragglers = (DOCS / "decisions/stragglers-option.md").read_text()
    hopeless = (DOCS / "experiments/hopeless-candidates.md").read_text()
    for tier in TIERS:
        one = json.loads((RECORDS / f"stragglers-{tier}.json").read_text())
        for share in ("0.75", "0.5"):
            specs, beam = one["specs"][share], one["beam"][share]
            row = (
                f"| {tier} | {share} | {specs['tokens']:.1f}, {specs['tokens_with_cut']:.1f} "
                f"| {specs['probability_cut']:.1%} | {spread(specs['latency'])} | {points(specs['accuracy_minus'])} "
                f"| {spread(beam['latency'])} | {points(beam['accuracy_minus'])} |"
            )
            assert row in stragglers
        one = json.loads((RECORDS / f"hopeless-{tier}.json").read_text())
        for margin in ("4.0", "2.0", "0.5"):
            found = one[margin]
            row = (
                f"| {tier} | {float(margin):g} | {found['tokens']:.1f}, {found['tokens_left']:.1f} "
                f"| {found['probability_cut']:.1%} | {spread(found['latency'])} | {points(found['accuracy_minus'])} |"
            )
            assert row in hopeless


def test_the_page_on_old_and_new_versions_quotes_the_record():
    record = json.loads((ROOT / "research/records/versions-redesign.json").read_text())
    page = (ROOT / "docs/experiments/old-and-new-version.md").read_text()
    assert (record["tier"], record["problems"]) == ("hard", 160)
    for method in ("beam", "target", "specs"):
        one = record[method]
        runs = ", ".join(f"{run:.3f}" for run in one["runs"])
        row = f"| `{method}` | {one['new_over_old']:.3f} | {runs} | {one['lower_bound_one_sided']:.3f} |"
        assert row in page
