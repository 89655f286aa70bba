"""The Pareto front of accuracy against latency, and the figure of a calibration."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# matplotlib is partly untyped.
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Okabe and Ito's colours, which colour-blind readers can distinguish, also in print.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
LABELS = {"latency_ratio": "latency over that of {}, median", "p95_s": "latency, 95th percentile, s"}


def plot_pareto(found: dict[str, Any], folder: Path) -> None:
    """Draw the contents of calibration.json as `front.svg` and `front.png`; equal contents give equal files."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    goal = found["goal"]
    configs: list[dict[str, Any]] = found["configurations"]
    beams = [config for config in configs if config["method"] == "beam"]
    others = [config for config in configs if config["method"] != "beam"]
    across = "p95_s" if goal["statistic"] == "p95_s" else "latency_ratio"
    with rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "front"}):
        figure = Figure(figsize=(8.4, 5), layout="constrained")
        axes = figure.subplots()
        for title, colour, shown in (
            ("beam", GREY, beams),
            ("specs, not shown to meet the goal", ORANGE, [config for config in others if not config["meets_goal"]]),
            ("specs, shown to meet the goal", BLUE, [config for config in others if config["meets_goal"]]),
        ):
            if shown:
                _points(axes, across, shown, fmt="o", ms=4, color=colour, elinewidth=0.5, alpha=0.75, label=title)
        on_front = [config for config in configs if config["on_front"]]
        on_front.sort(key=lambda config: config[across]["value"])
        xs, ys = (
            [config[across]["value"] for config in on_front],
            [100 * config["accuracy"]["value"] for config in on_front],
        )
        axes.plot(xs, ys, "--", color=GREY, lw=1, zorder=0, label="front")
        if found["prediction"] is not None:
            _points(axes, across, [found["prediction"]], fmt="o", ms=11, mfc="none", color=GREEN, capsize=3,
                    label="picked, with what to expect")  # fmt: skip
        if found["check"] is not None:
            x, y = found["check"]["found"][across], found["check"]["found"]["accuracy"]
            axes.plot(
                x, 100 * y, "*", ms=13, color=RED, label=f"picked, on {found['check']['problems']} further problems"
            )
        line = axes.axhline if goal["statistic"] == "accuracy" else axes.axvline
        line(100 * goal["value"] if goal["statistic"] == "accuracy" else goal["value"], color="black", lw=1, ls=":",
             label=f"goal: {goal['text']}")  # fmt: skip
        axes.set(xlabel=LABELS[across].format(found["reference"]), ylabel="right, %")
        axes.set_title(f"{found['dataset']}, {found['problems']} problems; 95% intervals, for all at once", fontsize=9)
        axes.grid(alpha=0.15)
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)
        figure.savefig(folder / "front.svg", metadata={"Date": None})
        figure.savefig(folder / "front.png", dpi=120)


def _points(axes: Any, across: str, shown: list[dict[str, Any]], **style: Any) -> None:
    """Draw configurations with their intervals in both directions."""
    place = {}
    for axis, name, scale in (("x", across, 1), ("y", "accuracy", 100)):
        ends = [[one[name][end] for one in shown] for end in ("value", "low", "high")]
        place[axis] = [scale * value for value in ends[0]]
        place[f"{axis}err"] = [
            [scale * abs(value - end) for value, end in zip(ends[0], one, strict=True)] for one in ends[1:]
        ]
    axes.errorbar(**place, **style)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the Pareto-optimal points (low x and high y are good), sorted by x."""
    found: list[int] = []
    for idx in sorted(range(len(points)), key=lambda idx: (points[idx][0], -points[idx][1])):
        if not found or points[idx][1] > points[found[-1]][1]:
            found.append(idx)
    return found
