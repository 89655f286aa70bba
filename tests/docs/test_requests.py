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


def test_the_page_quotes_the_records():
    page = PAGE.read_text()
    assert [row for row in rows() if row not in page] == []


def test_a_problem_takes_a_third_of_the_requests_at_most():
    ratios = {way["method"]: way["requests_to_old"] for way in OLD_AND_NEW["ways"] if way["checkout"] == "new"}
    assert max(ratios.values()) <= 1 / 3
    beam = [way for way in OLD_AND_NEW["ways"] if way["method"] == "beam" and way["checkout"] == "new"]
    assert all(way["same_tokens"] == way["problems"] for way in beam)


if __name__ == "__main__":
    print(*rows(), sep="\n")
