"""Analyses of single parts: a draft that costs more (g), weights and lengths by step length (h)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from research.study.plan import Run
from research.study.settings import rows_of
from specs.core.statistics import clustered_mean_interval, mean_interval, median_ratio_interval
from specs.eval.rows import Row
from specs.eval.store import RUN, read_run
from specs.types import Role

RATIOS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
"""Cost of a draft token divided by that of a target token; for models of 1.5 B and 7 B parameters it is about 0.2."""
DRAFTING = ("specs", "gsi", "rsd")


def cost_ratio(run: Run, out: Path, n: int) -> dict[str, Any] | None:
    """Latency relative to beam search if a draft token cost another share (`RATIOS`) of a target token.

    Nothing overlaps with drafting (`specs.decoding`), so a draft k times as slow adds k - 1 times its seconds.
    The measured cost ratio compares the seconds a drawn token of `beam-draft` and `beam`, which make the same
    calls with the same n. None if one of the methods has no rows.
    """
    rows = rows_of(run, out)
    by_label = {
        label: {row.problem_id: row for row in rows if row.method == label and row.n in (None, n)}
        for label in (*DRAFTING, "beam", "beam-draft")
    }
    if not all(by_label.values()):
        return None
    measured = _per_token(by_label["beam-draft"], Role.DRAFT) / _per_token(by_label["beam"], Role.TARGET)
    return {
        "measured": measured,
        "problems": len(by_label["beam"]),
        "methods": {label: _swept(by_label[label], by_label["beam"], measured) for label in DRAFTING},
    }


def _per_token(rows: Mapping[str, Row], role: Role) -> float:
    phase = "draft" if role is Role.DRAFT else "target_generate"
    return sum(row.seconds[phase] for row in rows.values()) / sum(
        row.usage[role]["generated"] or 0 for row in rows.values()
    )


def _swept(ours: Mapping[str, Row], beam: Mapping[str, Row], measured: float) -> dict[str, Any]:
    problems = sorted(ours.keys() & beam.keys())
    theirs = [beam[problem].latency_s for problem in problems]
    at = []
    for ratio in RATIOS:
        latency = [slowed(ours[problem], ratio / measured) for problem in problems]
        median, low, high = median_ratio_interval(latency, theirs)
        at.append({"ratio": ratio, "median": median, "low": low, "high": high, "of_means": sum(latency) / sum(theirs)})
    return {"at": at, "break_even": break_even([ours[problem] for problem in problems], theirs, measured)}


def slowed(row: Row, factor: float) -> float:
    """Latency of a solve in seconds if its draft were `factor` times as slow."""
    return row.latency_s + (factor - 1) * row.seconds["draft"]


def break_even(rows: Sequence[Row], beam: Sequence[float], measured: float) -> float | None:
    """The cost ratio at which mean latencies are equal; None where there is none above 0."""
    drafting = sum(row.seconds["draft"] for row in rows)
    if drafting == 0:
        return None
    ratio = measured * (1 + (sum(beam) - sum(row.latency_s for row in rows)) / drafting)
    return ratio if ratio > 0 else None


def drafted(run: Run, out: Path, label: str, problems: int) -> dict[str, Any] | None:
    """Accuracy of a method on the first `problems`, and means over the draft's proposals in its traces.

    `log_ratio` is the mean of |log p - log q| over distinct candidates, in nats. `tokens` is the mean length of
    all candidates, `chosen` that of the chosen one, in tokens. Intervals are 95%, over problems. None with
    fewer than two solves.
    """
    rows = [row for row in rows_of(run, out) if row.method == label][:problems]
    if not (out / run.path / RUN).exists() or len(rows) < 2:
        return None
    recorded = read_run(out / run.path)
    found: dict[str, list[float]] = {"ess": [], "log_ratio": [], "tokens": [], "chosen": []}
    owners: list[str] = []
    for row in rows:
        for step in _proposals(recorded.trace(row)):
            owners.append(row.problem_id)
            for name, value in step.items():
                found[name].append(value)
    right = [float(row.correct is True) for row in rows]
    low, high = clustered_mean_interval(right, [row.problem_id for row in rows])
    accuracy = {"mean": sum(right) / len(right), "low": low, "high": high}
    return {
        "problems": len(rows), "proposals": len(owners), "accuracy": accuracy,
        **{name: _mean(values, owners) if len(set(owners)) > 1 else None for name, values in found.items()},
    }  # fmt: skip


def _proposals(trace: dict[str, Any]) -> Iterator[dict[str, float]]:
    """The draft's proposals with a chosen candidate and finite log-ratios, accepted or rejected."""
    for step in trace["steps"]:
        if step["writer"] != Role.DRAFT or step["chosen"] is None:
            continue
        lengths = [len(candidate["token_ids"]) for candidate in step["candidates"]]
        # JSON holds an infinite log-probability as text.
        ratios = [
            abs(candidate["log_p"] - candidate["log_q"])
            for candidate in step["candidates"]
            if candidate["duplicates_of"] is None and isinstance(candidate["log_p"], float)
        ]
        if ratios:
            yield {
                "ess": step["ess"],
                "log_ratio": sum(ratios) / len(ratios),
                "tokens": sum(lengths) / len(lengths),
                "chosen": float(lengths[step["chosen"]]),
            }


def _mean(values: Sequence[float], problems: Sequence[str]) -> dict[str, float]:
    low, high = mean_interval(values, problems)
    return {"mean": sum(values) / len(values), "low": low, "high": high}
