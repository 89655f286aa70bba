"""docs/engines/vllm.md quotes research/records/servers.json.

python tests/docs/test_servers.py       prints the rows
"""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS, RECORDS = ROOT / "docs", ROOT / "research/records"
FOUND = json.loads((RECORDS / "servers.json").read_text())


def spread(found, unit, form=".2f"):
    return f"{found['median']:{form}}{unit} [{found['p10']:{form}}, {found['p90']:{form}}]"


def rows():
    scoring, step = FOUND["scoring"], FOUND["step"]
    for what, found, (ours, theirs) in (
        ("scoring", scoring, ("cached", "whole")),
        ("a step", step, ("draft", "beam")),
    ):
        seconds, ratio = found["seconds"], found["ratio"]
        both = f"{spread(seconds[ours], ' s')} | {spread(seconds[theirs], ' s')}"
        yield f"| {what} | {both} | {spread(ratio, '', '.3f')} |"
    for one in FOUND["concurrency"]:
        yield (
            f"| {one['at_a_time']} | {one['solves']} | {one['solves_per_minute']:.1f} "
            f"| {spread(one['latency_s'], '', '.1f')} |"
        )


def test_the_page_quotes_the_record():
    page = (DOCS / "engines/vllm.md").read_text()
    assert [row for row in rows() if row not in page] == []
    assert f"{FOUND['scoring']['largest_difference_nats']:.0e}" in page


def test_the_bars_hold():
    """Cached scoring takes at most 1/8 of scoring whole prompts, and a draft step 0.6 of a beam step."""
    assert FOUND["scoring"]["ratio"]["p90"] <= 1 / 8
    assert FOUND["step"]["ratio"]["median"] <= 0.6
    assert [one["at_a_time"] for one in FOUND["concurrency"]] == [1, 2, 4, 8, 16, 32]


if __name__ == "__main__":
    print(*rows(), sep="\n")
