"""The tables of a study as markdown, part by part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from research.study.plan import TITLES
from specs.eval.table import format_estimate

HEAD = (
    "method",
    "n",
    "right, %",
    "minus `beam`",
    "minus `specs`",
    "latency, ms",
    "over `beam`",
    "draft, %",
    "problems",
)


def tables(found: dict[str, Any]) -> str:
    """All tables under their headings; `found` is the result of `research.study.findings`."""
    lines = [f"# Tables of a study of scale {found['scale']:g}", ""]
    if found["solves_missing"]:
        lines += [f"**Unfinished: {found['solves_missing']} solves are missing.**", ""]
    lines += ["## Tuning", "", *_tuning(found["tuning"])]
    for part, title in TITLES.items():
        if part in found["parts"]:
            lines += [f"## {part}. {title}", "", *_part(found["parts"][part])]
    return "\n".join(lines)


def _part(part: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for tier, rows in part.get("tiers", {}).items():
        lines += [f"### `{tier}`", "", *table(HEAD, map(_method, rows))]
    for name, rows in part.get("models", {}).items():
        lines += [f"### Models: {name}", "", *table(HEAD, map(_method, rows))]
    for tier, cost in part.get("cost_ratio", {}).items():
        lines += [f"### Cost of a draft token on `{tier}`, measured {cost['measured']:.3f}", "", *_costs(cost)]
    if steps := part.get("steps"):
        head = ("step", "ESS", "mean of abs. log-ratio, nats", "tokens drawn", "tokens chosen", "right, %", "proposals")
        lines += table(head, ((name, *_step(one)) for name, one in steps.items()))
    return lines


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_line(head), _line(["---"] * len(head)), *map(_line, rows), ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _method(row: dict[str, Any]) -> tuple[str, ...]:
    latency, ratio = row["latency_s"] or {}, row["latency_ratio_to_beam"] or {}
    problems = str(row["solves"]) + (f" / {row['timed_solves']} timed" if row["timed_solves"] else "")
    return (
        f"`{row['label']}`",
        "" if row["n"] is None else str(row["n"]),
        format_estimate(
            "{:.1f}",
            row["accuracy"],
            *(row["accuracy_interval"] or (None, None)),
            scale=100,
            most=row.get("accuracy_at_most"),
        ),
        _difference(row["accuracy_minus_beam"]),
        _difference(row["accuracy_minus_specs"]),
        format_estimate("{:.0f}", latency.get("mean"), *(latency.get("interval") or ()), scale=1000),
        "1"
        if row["label"] == "beam" and latency
        else format_estimate("{:.2f}", *map(ratio.get, ("median", "low", "high"))),
        format_estimate("{:.0f}", row["draft_share"], scale=100),
        problems + "".join(f", {row[kind]} {kind}" for kind in ("failed", "undecided") if row.get(kind)),
    )


def _difference(found: dict[str, Any] | None) -> str:
    mean, low, high, most = map((found or {}).get, ("mean", "low", "high", "mean_at_most"))
    return format_estimate("{:+.1f}", mean, low, high, 100, most)


def _tuning(tuning: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for label, found in tuning.items():
        options = [name for name in ("beta", "tau", "threshold") if name in found["tried"][0]]
        rows = [
            [
                *(f"{one[name]:g}" for name in options),
                f"{100 * one['accuracy']:.1f}",
                f"{one['flops'] * 1e-9:.2f}",
                str(one["solves"]),
                "chosen" if k == found["chosen"] else "",
            ]
            for k, one in enumerate(found["tried"])
        ]
        lines += [f"### `{label}`", "", *table([*options, "right, %", "GFLOPs", "problems", ""], rows)]
    return lines


def _costs(cost: dict[str, Any]) -> list[str]:
    methods = cost["methods"]
    rows = [
        (
            f"{one['ratio']:.2f}",
            *(
                format_estimate("{:.2f}", *map(methods[label]["at"][k].get, ("median", "low", "high")))
                for label in methods
            ),
        )
        for k, one in enumerate(next(iter(methods.values()))["at"])
    ]  # fmt: skip
    even = ("at none" if (one := methods[label]["break_even"]) is None else f"{one:.2f}" for label in methods)
    head = ("draft / target", *(f"`{label}` over `beam`" for label in methods))
    return table(head, [*rows, ("as fast as `beam`, by the means, at", *even)])


def _step(one: dict[str, Any]) -> tuple[str, ...]:
    forms = {"ess": "{:.2f}", "log_ratio": "{:.2f}", "tokens": "{:.1f}", "chosen": "{:.1f}"}
    means = (
        format_estimate(form, *map((one[name] or {}).get, ("mean", "low", "high"))) for name, form in forms.items()
    )
    accuracy = format_estimate("{:.1f}", *map(one["accuracy"].get, ("mean", "low", "high")), scale=100)
    return (*means, accuracy, str(one["proposals"]))
