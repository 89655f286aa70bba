"""Formats a report as an aligned text table."""

from __future__ import annotations

from typing import Any

from specs.core.statistics import FEWEST_DISCORDANT, Verdict
from specs.eval.report import BY_CONSTRUCTION, MARGIN

HEAD = ("method", "accuracy %", "latency ms", "p95 ms", "latency / beam", "accuracy - beam", "draft %", "solves",
        "failed")  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """The report (`Report.to_json`) as a table with one line per method, followed by notes."""
    lines: list[tuple[str, ...]] = [HEAD]
    said: list[str] = []
    for name, method in found["methods"].items():
        latency: dict[str, Any] = method["latency_s"] or {}
        ratio: dict[str, Any] = method["latency_ratio_to_beam"] or {}
        low, high = method["accuracy_interval"] or (None, None)
        minus: dict[str, Any] = method["accuracy_minus_beam"] or {}
        lines.append((
            name,
            format_estimate("{:.1f}", method["accuracy"], low, high, scale=100, most=method["accuracy_at_most"]),
            format_estimate("{:.1f}", latency.get("mean"), scale=1000),
            format_estimate("{:.1f}", latency.get("p95"), scale=1000),
            format_estimate("{:.3f}", ratio.get("median"), ratio.get("low"), ratio.get("high")),
            format_estimate(
                "{:+.1f}", minus.get("mean"), minus.get("low"), minus.get("high"), 100, minus.get("mean_at_most")
            ),
            format_estimate("{:.0f}", method["draft_share"], scale=100),
            str(method["solves"]),
            str(method["failed"] + method["undecided"]),
        ))  # fmt: skip
        said += notes(name, method)
    if not found["one_machine"]:
        said.append("the solves ran on different machines, so latencies are not compared")
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    stopped = ", stopped early" if found["interrupted"] else ""
    title = f"{found['dataset']}: {found['limit']} problems x {found['repeats']}, seed {found['seed']}{stopped}"
    aligned = (
        line[0].ljust(widths[0])
        + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )
    return "\n".join([title, *aligned, *said])


def notes(name: str, method: dict[str, Any]) -> list[str]:
    """Notes on one method: whether it is worse than the reference, its thinking, and failed or undecided solves."""
    said: list[str] = []
    if method["reference"] not in (None, name) and (minus := method["accuracy_minus_beam"]):
        said.append(f"{name}: {_compared(method['reference'], minus)}")
    if thinking := method.get("thinking"):
        ends = ", ".join(f"{end} {share:.0%}" for end, share in thinking["ends"].items() if share)
        said.append(f"{name}: {thinking['tokens_mean']:.0f} tokens of thinking a solve; it ended: {ends}")
    unknown = method["failed"] + method["undecided"]
    if unknown:
        kinds = [f"{method[kind]} {kind}" for kind in ("failed", "undecided") if method[kind]]
        said.append(
            f"{name}: it is unknown whether {unknown} of {method['solves']} solves are right "
            f"({', '.join(kinds)}; the first: {method['first_error']})"
        )
    return said


def _compared(reference: str, minus: dict[str, Any]) -> str:
    """The comparison with the reference in words."""
    against = f"than {reference} by {100 * MARGIN:.0f} points"
    if minus["verdict"] == BY_CONSTRUCTION:
        return f"the same steps as {reference} by construction"
    if minus["verdict"] == Verdict.TOO_FEW:
        differ = (
            f"{minus['discordant_problems']} problem{'s differ' if minus['discordant_problems'] != 1 else ' differs'}"
        )
        return f"too few to tell whether it is worse {against}: {differ}, {FEWEST_DISCORDANT} must"
    bound = format_estimate("{:+.1f}", minus["lower_bound_one_sided"], scale=100)
    return f"{minus['verdict']} {against} (lower bound {bound})"


def format_estimate(
    form: str,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    scale: float = 1,
    most: float | None = None,
) -> str:
    """A number with its interval, if known; "value to most" if the number may be anywhere between the two.

    All numbers are multiplied by `scale` first; "-" if `value` is None.
    """
    if value is None:
        return "-"
    if most not in (None, value):
        return f"{form.format(scale * value)} to {format_estimate(form, most, low, high, scale)}"
    interval = "" if low is None or high is None else f" [{form.format(scale * low)}, {form.format(scale * high)}]"
    return form.format(scale * value) + interval
