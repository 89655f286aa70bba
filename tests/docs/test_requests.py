"""docs/decisions/a-request-a-step.md quotes its records.

python tests/docs/test_requests.py       prints the rows
"""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
OLD_AND_NEW, MODES = (
    json.loads((ROOT / f"research/records/{name}.json").read_text()) for name in ("requests", "requests-modes")
)
PAGE = ROOT / "docs/decisions/a-request-a-step.md"


def spread(ratio):
    return f"{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


def rows():
    old = {(way["method"], way["at_a_time"]): way for way in OLD_AND_NEW["ways"] if way["checkout"] == "old"}
    for way in OLD_AND_NEW["ways"]:
        if way["checkout"] == "new":
            before = old[way["method"], way["at_a_time"]]
            yield (
                f"| `{way['method']}` | {way['at_a_time']} | {before['requests_a_problem']:.0f} "
                f"| {way['requests_a_problem']:.0f} | {spread(way['latency_to_old'])} |"
            )
    for way in MODES["ways"]:
        if way["method"] != "beam":
            ratio = way["latency_to_beam"]
            yield (
                f"| `{way['method']}` | {way['at_a_time']} | {way['requests_a_problem']:.0f} | {spread(ratio)} "
                f"| {ratio['of_means']:.2f} |"
            )
    for way in MODES["ways"]:
        if way["at_a_time"] == 1:
            phases = ("draft", "target_generate", "target_score", "prm", "orchestration")
            milliseconds = " | ".join(f"{1e3 * way['phases_s'][phase]:.0f}" for phase in phases)
            yield f"| `{way['method']}` | {milliseconds} | {1e3 * way['mean_latency_s']:.0f} |"


def test_the_page_quotes_the_records():
    page = PAGE.read_text()
    assert [row for row in rows() if row not in page] == []


def test_the_page_on_steps_ahead_quotes_its_record():
    page = (ROOT / "docs/experiments/steps-ahead-on-servers.md").read_text()
    ways = json.loads((ROOT / "research/records/requests-ahead.json").read_text())["ways"]
    found = {(way["checkout"], way["method"], way["at_a_time"]): way for way in ways}
    for (checkout, method, at_a_time), way in found.items():
        if checkout == "new":
            before = found["old", method, at_a_time]
            was, now = (one["by_endpoint"].get("draft /v1/completions", 0) for one in (before, way))
            row = f"| `{method}` | {at_a_time} | {was:.1f} | {now:.1f} | {spread(way['latency_to_old'])} |"
            if method != "beam":
                assert way["same_tokens"] == way["problems"]
                row += f" {spread(before['latency_to_beam'])} | {spread(way['latency_to_beam'])} |"
            assert row in page


def test_the_decision_on_who_reads_all_at_once_quotes_the_records():
    page = (ROOT / "docs/decisions/who-reads-all-at-once.md").read_text()
    for cores, place in ((1, "one core"), (2, "two cores")):
        methods = json.loads((ROOT / f"research/records/rivals-hard-{cores}.json").read_text())["methods"]
        ratio = methods["specs"]["latency_s"] / methods["specs:verify=all"]["latency_s"]
        assert f"| light engine, {place} | {ratio:.2f} |" in page
    mean = {(way["method"], way["at_a_time"]): way["mean_latency_s"] for way in MODES["ways"]}
    for at_a_time, place in ((1, "one solve"), (8, "eight solves")):
        ratio = mean["specs:verify=drawn", at_a_time] / mean["specs:verify=all", at_a_time]
        assert f"| vLLM servers, {place} at a time | {ratio:.2f} |" in page


def test_rounds_of_some_candidates_are_rarely_the_fastest():
    """Whatever a pass costs: outside 50 to 125 positions never, inside by less than 5%."""
    found = json.loads((ROOT / "research/records/lazy-rounds.json").read_text())["rows"]
    rows = {row["a_round"]: row for row in found if not row["early"]}
    for positions in range(400):
        cost = {size: row["rounds"] * positions + row["read"] for size, row in rows.items()}
        ends = min(cost[1], cost["all"])
        assert min(cost.values()) == ends or (50 <= positions <= 125 and min(cost.values()) > 0.95 * ends)


def test_a_problem_takes_a_third_of_the_requests_at_most():
    ratios = {way["method"]: way["requests_to_old"] for way in OLD_AND_NEW["ways"] if way["checkout"] == "new"}
    assert max(ratios.values()) <= 1 / 3
    beam = [way for way in OLD_AND_NEW["ways"] if way["method"] == "beam" and way["checkout"] == "new"]
    assert all(way["same_tokens"] == way["problems"] for way in beam)


def test_on_servers_the_draft_writes_for_more_than_half_of_the_latency():
    one, beam = (
        next(way for way in MODES["ways"] if (way["method"], way["at_a_time"]) == (method, 1))
        for method in ("specs:verify=all", "beam")
    )
    assert one["phases_s"]["draft"] > 0.5 * one["mean_latency_s"]
    assert 0.45 < one["phases_s"]["draft"] / beam["phases_s"]["target_generate"] < 0.55  # "half of the time"


if __name__ == "__main__":
    print(*rows(), sep="\n")
