"""A calibration for people, as aligned lines."""

from __future__ import annotations

from typing import Any

from specs.eval.calibration import Estimate, Statistic
from specs.eval.table import format_estimate

FORMS: dict[Statistic, tuple[str, str, float]] = {
    "accuracy": ("right %", "{:.1f}", 100),
    "latency_ratio": ("latency ratio", "{:.3f}", 1),
    "p95_s": ("p95 s", "{:.3f}", 1),
}
"""Title, format and scale."""


def table(record: dict[str, Any]) -> str:
    """One line a configuration."""
    lines = [("configuration", *(title for title, _, _ in FORMS.values()), "front", "goal")]
    lines += [
        (
            one["name"],
            *(format_estimate(form, *one[name].values(), scale=scale) for name, (_, form, scale) in FORMS.items()),
            "front" if one["on_front"] else "",
            "meets" if one["meets_goal"] else "",
        )
        for one in record["configurations"]
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = (
        line[0].ljust(widths[0])
        + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )
    left = f", {record['dropped']} left out because a solve failed" if record["dropped"] else ""
    title = f"{record['dataset']}: {record['problems']} problems{left}; goal: {record['goal']['text']}"
    note = f"latency ratios are to {record['reference']}; intervals are 95%, for all configurations at once"
    return "\n".join([title, *aligned, note])


def verdict(record: dict[str, Any]) -> str:
    """Prediction and check side by side."""
    check = record["check"]
    lines = [f"on {check['problems']} further problems"]
    for name, (title, form, scale) in FORMS.items():
        expected = format_estimate(form, *record["prediction"][name].values(), scale=scale)
        held = "held" if check["held"][name] else "DID NOT HOLD"
        lines.append(
            f"  {title:13}  expected {expected}, "
            f"found {format_estimate(form, check['found'][name], scale=scale)}: {held}"
        )
    lines.append(f"  {record['goal']['text']}: {'met' if check['goal_met'] else 'NOT met'}")
    if not check["same_load"]:
        was = record["configurations"][0]["p95_s"]["value"]
        lines.append(
            f"  {record['reference']} itself had a p95 of {was:.3f} s before and of {check['reference_p95_s']:.3f} s "
            "now: the machine or its load changed, so latencies do not compare"
        )
    return "\n".join(lines)


def spoken(name: Statistic, one: Estimate) -> str:
    """A statistic with its interval."""
    title, form, scale = FORMS[name]
    return f"{title} {format_estimate(form, *one, scale=scale)}"
