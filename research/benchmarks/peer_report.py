"""What `research.benchmarks.peers` makes of its rows: the bars, and tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

AT_ONCE = 8
"""Solves at the same time of the second part."""
HUB_BEAM, HUB_BEST = "its_hub beam search", "its_hub best-of-n"
RSD, SPECS, SPECS_BEAM = "RSD, authors' code", "SPECS, authors' code", "SPECS, authors' beam search"
COUNTERPART = {"beam": HUB_BEAM, "best-of-n": HUB_BEST, "specs": HUB_BEAM, "rsd": RSD, "specs-released": SPECS}


@dataclass(frozen=True, slots=True)
class Bar:
    """The largest latency ratio of a method to its counterpart that counts as met."""

    method: str
    at_a_time: int
    median: float
    high: float | None


BARS = (
    Bar("beam", 1, 1.0, 1.05), Bar("best-of-n", 1, 1.03, 1.08), Bar("specs", 1, 0.72, None),
    Bar("beam", AT_ONCE, 1.0, 1.05), Bar("best-of-n", AT_ONCE, 1.03, 1.08), Bar("specs", AT_ONCE, 0.88, None),
)  # fmt: skip


def judged(bar: Bar, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A bar with the ratio that was measured, and whether it was met; both are None if it was not measured."""
    (row,) = [row for row in rows if (row["method"], row["at_a_time"]) == (bar.method, bar.at_a_time)]
    found = row.get("latency_to_counterpart")
    met = None
    if found is not None:
        met = found["median"] <= bar.median and (bar.high is None or found["high"] <= bar.high)
    return {
        "method": bar.method, "at_a_time": bar.at_a_time, "counterpart": COUNTERPART[bar.method],
        "most": bar.median, "most_high": bar.high, "found": found, "met": met,
    }  # fmt: skip


def spread(found: Mapping[str, float] | None) -> str:
    return "" if found is None else f"{found['median']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def table(record: Mapping[str, Any]) -> list[str]:
    """The lines of two Markdown tables: methods, and bars."""
    lines = [
        "| method | solves at a time | right | latency: mean, median | to its counterpart | solves a minute "
        "| requests a problem |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in record["rows"]:
        name = f"`{row['method']}`" if row["method"] in COUNTERPART else row["method"]
        if (reason := row.get("not_run")) is not None:
            lines.append(f"| {name} | {row['at_a_time']} | not run: {reason} | | | | |")
            continue
        right = f"{row['right']} of {row['problems']}" + (f", {row['failed']} failed" if row["failed"] else "")
        mean, median = row["mean_latency_s"], row["median_latency_s"]
        latency = "" if mean is None else f"{mean:.2f} s, {median:.2f} s"
        lines.append(
            f"| {name} | {row['at_a_time']} | {right} | {latency} | {spread(row.get('latency_to_counterpart'))} "
            f"| {row['solves_a_minute']:.1f} | {row['requests_a_problem']:.1f} |"
        )
    lines += [
        "",
        "| method | solves at a time | counterpart | found | at most | met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for bar in record["bars"]:
        most = f"{bar['most']:.2f}" + ("" if bar["most_high"] is None else f", upper end {bar['most_high']:.2f}")
        met = {True: "yes", False: "no", None: "not run"}[bar["met"]]
        place = f"| `{bar['method']}` | {bar['at_a_time']} | {bar['counterpart']} "
        lines.append(f"{place}| {spread(bar['found'])} | {most} | {met} |")
    return lines
