"""docs/reliability.md quotes research/records/bars.json, which tests/server/bars.py wrote.

python tests/docs/test_bars.py       rewrites the figures in the page
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE, RECORD = ROOT / "docs/reliability.md", ROOT / "research/records/bars.json"
BETWEEN = re.compile(r"(?<=<!-- bars -->\n).*(?=<!-- /bars -->)", re.DOTALL)


def milliseconds(found):
    return " | ".join(f"{1000 * found[name]:.1f}" for name in ("p50", "p95", "p99", "p100"))


def figures():
    record = json.loads(RECORD.read_text())
    hostile, flood = record["hostile"], record["flood"]
    before_kb, after_kb = hostile["memory_kb"]
    statuses = ", ".join(f"{status} ({count:,})" for status, count in hostile["by_status"].items() if status != "0")
    before, after = hostile["health_alone"]
    rows = {"alone, before": before, "under hostile requests": hostile["health"], "alone, after": after}
    lines = [
        f"{hostile['requests']:,} hostile requests in {hostile['seconds']:.0f} s. By status: {statuses}; "
        f"{hostile['by_status']['0']:,} connections closed without an answer. Resident memory: "
        f"{before_kb / 1024:.0f} MB before, {after_kb / 1024:.0f} MB after, {after_kb / before_kb - 1:+.1%}.",
        "",
        "| `GET /health`, ms | checks | p50 | p95 | p99 | longest |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in rows.items():
        lines.append(f"| {name} | {found['count']:,} | {milliseconds(found)} |")
        lines.append(f"| {name}, own | {found['count']:,} | {milliseconds(found['own'])} |")
    lines += ["", "| round | p95 of nine clients, s | with the flood, s | ratio |", "| --- | --- | --- | --- |"]
    for round_idx, (alone, flooded) in enumerate(zip(flood["alone"], flood["flooded"], strict=True), 1):
        cells = [round_idx, f"{alone['p95']:.2f}", f"{flooded['p95']:.2f}", f"{flooded['p95'] / alone['p95']:.2f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    turned = flood["flood"]
    lines += [
        "",
        f"The median of the ratios is {flood['ratio']:.2f}. The flood got {turned['200']:,} answers, and 429 "
        f"{turned['429']:,} times.",
    ]
    return "".join(f"{line}\n" for line in lines)


def test_the_page_quotes_the_record():
    assert BETWEEN.findall(PAGE.read_text()) == [figures()], "run python tests/docs/test_bars.py"


def test_the_recorded_run_is_within_its_bars():
    record = json.loads(RECORD.read_text())
    hostile, flood = record["hostile"], record["flood"]
    before_kb, after_kb = hostile["memory_kb"]
    assert hostile["requests"] == 3000
    assert abs(after_kb / before_kb - 1) <= 0.05
    assert {status for status in hostile["by_status"] if status >= "500"} <= {"503"}
    assert hostile["health"]["own"]["p99"] < 0.05
    assert flood["ratio"] <= 2


if __name__ == "__main__":
    PAGE.write_text(BETWEEN.sub(lambda _: figures(), PAGE.read_text()))
