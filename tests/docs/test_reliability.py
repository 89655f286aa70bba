"""docs/reliability.md quotes research/records/soak.json, which research/benchmarks/soak.py wrote.

python tests/docs/test_reliability.py       rewrites the figures in the page
"""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS, RECORDS = ROOT / "docs", ROOT / "research/records"
PAGE, RECORD = DOCS / "reliability.md", RECORDS / "soak.json"
BETWEEN = re.compile(r"(?<=<!-- soak -->\n).*(?=<!-- /soak -->)", re.DOTALL)

pytestmark = pytest.mark.skipif(not RECORD.exists(), reason="none recorded yet: python -m research.benchmarks.soak")


def figures():
    soak = json.loads(RECORD.read_text())
    verdicts, rss = soak["by_verdict"], soak["rss"]
    statuses = ", ".join(f"{status} ({count:,})" for status, count in soak["by_status"].items() if status != "0")
    lines = [
        f"{soak['requests']:,} requests in {soak['minutes']:g} minutes: {verdicts['good']:,} got a complete answer, "
        f"{verdicts['full']:,} were refused with 429, {verdicts['provoked']:,} ended as they provoked (refused, "
        f"disconnected or past their deadline), {verdicts.get('wrong', 0):,} got anything else. By status (number of "
        f"requests): {statuses}; {soak['by_status']['0']:,} disconnected before a status.",
        "",
        f"Resident memory: {rss['start_kb'] / 1024:.0f} MB at the start, {rss['end_kb'] / 1024:.0f} MB at the end, "
        f"{rss['growth']:+.1%}.",
        "",
        "| minute | requests | good | 429 | waiting | p50, s | p95, s | RSS, MB | PSS, MB | files | threads |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for k, one in enumerate(soak["by_minute"], 1):
        good, full, latency = one["by_verdict"].get("good", 0), one["by_status"].get("429", 0), one["latency_s"]
        cells = [k, f"{one['requests']:,}", good, full, f"{one['waiting']:.1f}", f"{latency['p50']:.1f}"]
        cells += [f"{latency['p95']:.1f}", round(one["rss_kb"] / 1024), round(one["pss_kb"] / 1024)]
        lines.append("| " + " | ".join(map(str, [*cells, one["files"], one["threads"]])) + " |")
    return "".join(f"{line}\n" for line in lines)


def test_the_page_quotes_the_record():
    assert BETWEEN.findall(PAGE.read_text()) == [figures()], "run python tests/docs/test_reliability.py"


def test_the_soak_run_found_no_leak_and_no_fault():
    soak = json.loads(RECORD.read_text())
    assert all(soak["verdicts"].values()), soak["verdicts"]
    assert soak["minutes"] >= 15


if __name__ == "__main__":
    PAGE.write_text(BETWEEN.sub(lambda _: figures(), PAGE.read_text()))
