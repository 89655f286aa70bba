"""Renders a report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specs import __version__
from specs.core.statistics import FEWEST_DISCORDANT, RESAMPLES
from specs.eval.figures import figures
from specs.eval.report import Report
from specs.eval.store import RecordedRun
from specs.eval.table import format_estimate, notes
from specs.types import Role

TEMPLATE = Path(__file__).with_name("report.html.jinja")


def page(report: Report, found: dict[str, Any], runs: Sequence[RecordedRun]) -> str:
    """The page for `report` over `runs`; `found` is the result of its `to_json`."""
    from jinja2 import Environment, StrictUndefined

    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return template.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        found=found,
        figures=figures(report, found),
        results=[_result(name, method) for name, method in found["methods"].items()],
        work=[_work(name, method) for name, method in found["methods"].items() if method["seconds"]],
        notes=[note for name, method in found["methods"].items() for note in notes(name, method)],
        problems=len({row.problem_id for row in report.rows}),
        runs=runs,
        resamples=RESAMPLES,
        fewest=FEWEST_DISCORDANT,
        version=__version__,
    )


def _result(name: str, method: dict[str, Any]) -> list[str]:
    """The cells of a row of the table "Results"."""
    compared = method["reference"] != name
    latency: dict[str, Any] = method["latency_s"] or {}
    minus: dict[str, Any] = (method["accuracy_minus_beam"] or {}) if compared else {}
    ratio: dict[str, Any] = (method["latency_ratio_to_beam"] or {}) if compared else {}
    return [
        name,
        format_estimate(
            "{:.1f}",
            method["accuracy"],
            *(method["accuracy_interval"] or (None, None)),
            scale=100,
            most=method["accuracy_at_most"],
        ),
        format_estimate(
            "{:+.1f}", minus.get("mean"), minus.get("low"), minus.get("high"), 100, minus.get("mean_at_most")
        ),
        _p(minus.get("p")),
        format_estimate("{:.0f}", latency.get("mean"), *(latency.get("interval") or ()), scale=1000),
        format_estimate("{:.0f}", latency.get("p50"), scale=1000),
        format_estimate("{:.0f}", latency.get("p95"), scale=1000),
        format_estimate("{:.1f}", latency.get("per_step"), scale=1000),
        format_estimate("{:.3f}", ratio.get("median"), ratio.get("low"), ratio.get("high")),
        format_estimate("{:.0f}", method["draft_share"], scale=100),
        str(method["solves"]),
        str(method["failed"] + method["undecided"]),
    ]


def _work(name: str, method: dict[str, Any]) -> list[str]:
    """The cells of a row of the table "Work": time by phase, tokens by model."""
    seconds, tokens = method["seconds"], method["tokens"]
    phases = ("draft", "target_generate", "target_score", "prm", "orchestration")
    return [
        name,
        *(format_estimate("{:.1f}", seconds[phase], scale=1000) for phase in phases),
        *(
            f"{tokens[role]['processed']:.0f} / {tokens[role]['generated']:.0f}" if role in tokens else "-"
            for role in map(str, (Role.DRAFT, Role.TARGET))
        ),
        f"{tokens[Role.PRM]['processed']:.0f}" if Role.PRM in tokens else "-",
        format_estimate("{:.1f}", method["steps_mean"]),
        format_estimate("{:.2f}", method["flops"], scale=1e-9),
    ]


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"
