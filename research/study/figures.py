"""The figures of a study, one for each part; all bars and bands are 95% intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from research.study.plan import BETAS, TAUS, TITLES, N
from research.study.special import DRAFTING
from specs.eval.plots import COLOURS, INK, add_legend, new_canvas, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

LABELS = ("specs", "beam", "gsi", "rsd", "beam-draft", "target", "draft", "majority", "best-of-n")
"""Methods in the order of their colours; `X default` has the colour of X, with hollow markers."""
ACCURACY, LATENCY = "right, %", "latency of a solve, ms"


def draw(found: dict[str, Any], out: Path) -> list[str]:
    """Write an SVG and a PNG for each part that has something to show; returns their names without ending."""
    import matplotlib

    made: list[str] = []
    for part, drawing in DRAWINGS.items():
        with matplotlib.rc_context({"font.size": 9}):
            canvas = drawing(found["parts"].get(part, {}))
            if canvas is not None:
                joined = " (lines join n = 4, 8, 16; hollow: untuned, n = 8)" if part == "a" else ""
                canvas.suptitle(TITLES[part] + joined, color=INK, fontsize=11)
                save_figure(canvas, out, part)
                made.append(part)
    return made


def _bars(rows: Sequence[dict[str, Any]], name: str) -> tuple[list[float], list[list[float]]]:
    """Means [rows] of a quantity, and the distances [2, rows] to the ends of their intervals."""
    means: list[float] = []
    ends: list[list[float]] = [[], []]
    for row in rows:
        if name == "accuracy":
            mean, (low, high), scale = row["accuracy"], row["accuracy_interval"], 100
        else:
            mean, scale = row["latency_s"]["mean"], 1000
            low, high = row["latency_s"]["interval"] or (mean, mean)
        means.append(scale * mean)
        ends[0].append(scale * max(0.0, mean - low))
        ends[1].append(scale * max(0.0, high - mean))
    return means, ends


def _place(label: str) -> tuple[int, str]:
    """Sort key of a method in a legend."""
    base = label.removesuffix(" default")
    return (LABELS.index(base) if base in LABELS else len(LABELS)), label


def _colour(label: str) -> str:
    base = label.removesuffix(" default")
    return COLOURS[LABELS.index(base)] if base in LABELS else COLOURS[-1]


def _main(part: dict[str, Any]) -> Canvas | None:
    """Accuracy against latency for each tier; a line joins the values of n of a method, defaults are hollow."""
    tiers = {
        tier: rows
        for tier, found in part.get("tiers", {}).items()
        if (rows := [row for row in found if row["latency_s"] and row["accuracy_interval"]])
    }
    if not tiers:
        return None
    canvas = new_canvas(4.4, width=4.2 * len(tiers) + 1.6)
    panels = canvas.subplots(1, len(tiers), squeeze=False)[0]
    for axes, (tier, rows) in zip(panels, tiers.items(), strict=True):
        for label in sorted({row["label"] for row in rows}, key=_place):
            default = label.endswith(" default")
            own = [row for row in rows if row["label"] == label and (not default or row["n"] in (None, N))]
            if not own:
                continue
            xs, across = _bars(own, "latency")
            ys, up = _bars(own, "accuracy")
            axes.errorbar(xs, ys, up, across, "o-", color=_colour(label), label=label, ms=4, lw=1, elinewidth=0.7,
                          mfc="white" if default else _colour(label),
                          )  # fmt: skip
        axes.set_xscale("log")
        style_axes(axes, LATENCY, ACCURACY if axes is panels[0] else "")
        axes.set_title(tier, color=INK, fontsize=9)
        _plain(axes)
    add_legend(canvas, panels[0])
    return canvas


def _plain(axes: Axes) -> None:
    """Milliseconds on a logarithmic axis as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _differences(part: dict[str, Any]) -> Canvas | None:
    """Accuracy of each variant minus that of specs, and its latency relative to beam search."""
    tiers = {tier: rows for tier, rows in part.get("tiers", {}).items() if any(r["accuracy_minus_specs"] for r in rows)}
    if not tiers:
        return None
    labels = list(dict.fromkeys(row["label"] for rows in tiers.values() for row in rows))
    canvas = new_canvas(1.8 + 0.42 * len(labels), width=8.6)
    left, right = canvas.subplots(1, 2, sharey=True)
    for k, (tier, rows) in enumerate(tiers.items()):
        by_label = {row["label"]: row for row in rows}
        shift = 0.22 * (k - (len(tiers) - 1) / 2)
        for name, axes, scale in (("accuracy_minus_specs", left, 100), ("latency_ratio_to_beam", right, 1)):
            own = [
                (place + shift, one, one.get("median", one.get("mean")))
                for place, label in enumerate(labels)
                if (one := by_label.get(label, {}).get(name)) and one["low"] is not None
                and not (label == "beam" and name == "latency_ratio_to_beam")
            ]  # fmt: skip
            if own:
                middle = [scale * value for _, _, value in own]
                ends = [scale * np.abs([value - one[end] for _, one, value in own]) for end in ("low", "high")]
                axes.errorbar(middle, [at for at, _, _ in own], xerr=ends, fmt="o", color=COLOURS[k], ms=4, lw=1.2,
                              capsize=2, label=tier)  # fmt: skip
    left.axvline(0, color=INK, lw=0.8)
    right.axvline(1, color=INK, lw=0.8)
    left.set_yticks(range(len(labels)), labels)
    left.invert_yaxis()
    style_axes(left, "right, minus specs, points", "")
    style_axes(right, "latency over that of beam", "")
    add_legend(canvas, left)
    return canvas


def _maps(part: dict[str, Any]) -> Canvas | None:
    """Accuracy for every beta and tau, one map for each tier, and latency where it was measured."""
    panels = []
    for tier, rows in part.get("tiers", {}).items():
        cells = {(row["options"].get("beta"), row["options"].get("tau")): row for row in rows if " " in row["label"]}
        for name, title in (("accuracy", ACCURACY), ("latency", "latency over that of beam")):
            values = np.array([[_cell(cells.get((beta, tau)), name) for tau in TAUS] for beta in BETAS])
            if np.isfinite(values).any():
                panels.append((f"{tier}: {title}", values, "{:.0f}" if name == "accuracy" else "{:.2f}"))
    if not panels:
        return None
    canvas = new_canvas(3.4, width=3.4 * len(panels) + 0.6)
    for axes, (title, values, form) in zip(canvas.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        # The colour scale spans at least 10 points of accuracy, or starts at latency 0, so that noise does not
        # look like structure.
        low = 0.0 if form == "{:.2f}" else min(np.nanmin(values), np.nanmax(values) - 10)
        high = max(np.nanmax(values), 1.0)
        axes.imshow(values, cmap="viridis", aspect="auto", vmin=low, vmax=high)
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                light = value < low + 0.6 * (high - low)
                axes.text(column, row, form.format(value), ha="center", va="center", fontsize=8,
                          color="white" if light else "black")  # fmt: skip
        axes.set_xticks(range(len(TAUS)), [f"{tau:g}" for tau in TAUS])
        axes.set_yticks(range(len(BETAS)), [f"{beta:g}" for beta in BETAS])
        style_axes(axes, "tau", "beta")
        axes.grid(visible=False)
        axes.set_title(title, color=INK, fontsize=9)
    return canvas


def _cell(row: dict[str, Any] | None, name: str) -> float:
    if row is None or (name == "latency" and row["latency_ratio_to_beam"] is None):
        return float("nan")
    return 100 * row["accuracy"] if name == "accuracy" else row["latency_ratio_to_beam"]["median"]


def _over_n(part: dict[str, Any]) -> Canvas | None:
    """Accuracy and latency from 1 to 64 candidates."""
    rows = next(iter(part.get("tiers", {}).values()), [])
    if len({row["n"] for row in rows}) < 2:
        return None
    canvas = new_canvas(3.6, width=8.6)
    panels = canvas.subplots(1, 2)
    for axes, name, title in zip(panels, ("accuracy", "latency"), (ACCURACY, LATENCY), strict=True):
        for k, label in enumerate(dict.fromkeys(row["label"] for row in rows)):
            own = [row for row in rows if row["label"] == label and (name == "accuracy" or row["latency_s"])]
            if own:
                means, ends = _bars(own, name)
                axes.errorbar([1.05 ** (k - 1) * row["n"] for row in own], means, ends, fmt="o-", color=_colour(label),
                              label=label, ms=4, lw=1.2, capsize=2)  # fmt: skip
        axes.set_xscale("log", base=2)
        widths = sorted({row["n"] for row in rows})
        axes.set_xticks(widths, [str(n) for n in widths])
        axes.minorticks_off()
        style_axes(axes, "candidates n", title)
    panels[1].set_ylim(bottom=0)
    add_legend(canvas, panels[0])
    return canvas


def _costs(part: dict[str, Any]) -> Canvas | None:
    """Latency relative to beam search, against the cost of a draft token."""
    costs = part.get("cost_ratio")
    if not costs:
        return None
    canvas = new_canvas(3.6, width=3.2 * len(costs) + 1.6)
    for axes, (tier, cost) in zip(canvas.subplots(1, len(costs), squeeze=False, sharey=True)[0], costs.items(),
                                  strict=True):  # fmt: skip
        for label in DRAFTING:
            at = cost["methods"][label]["at"]
            ratios = [one["ratio"] for one in at]
            axes.plot(ratios, [one["median"] for one in at], color=_colour(label), label=label, lw=1.4)
            axes.fill_between(ratios, [one["low"] for one in at], [one["high"] for one in at], color=_colour(label),
                              alpha=0.18, lw=0)  # fmt: skip
        axes.axhline(1, color=INK, lw=0.8)
        axes.axvline(cost["measured"], color=INK, lw=0.8, ls=":", label="measured")
        style_axes(axes, "cost of a draft token / of a target token", "")
        axes.set_title(tier, color=INK, fontsize=9)
    canvas.axes[0].set_ylabel("latency over that of beam")
    add_legend(canvas, canvas.axes[0])
    return canvas


def _steps(part: dict[str, Any]) -> Canvas | None:
    """Effective samples, log-ratios and lengths against the length of a step."""
    steps = {name: one for name, one in part.get("steps", {}).items() if one["ess"]}
    if not steps:
        return None
    canvas = new_canvas(3.2, width=9.6)
    for axes, (names, title) in zip(
        canvas.subplots(1, 3),
        ((("ess",), "effective samples of 8"), (("log_ratio",), "mean |log p - log q|, nats"),
         (("tokens", "chosen"), "tokens of a step")),
        strict=True,
    ):  # fmt: skip
        for k, name in enumerate(names):
            means = [one[name]["mean"] for one in steps.values()]
            ends = [[one[name]["mean"] - one[name]["low"] for one in steps.values()],
                    [one[name]["high"] - one[name]["mean"] for one in steps.values()]]  # fmt: skip
            places = np.arange(len(steps)) + 0.12 * (k - (len(names) - 1) / 2)
            label = {"tokens": "drawn", "chosen": "chosen"}.get(name)
            axes.errorbar(places, means, ends, fmt="o", color=COLOURS[k], label=label, ms=4, capsize=2)
        style_axes(axes, "step", title)
        axes.set_xticks(range(len(steps)), [name.removesuffix(" tokens") for name in steps])
        axes.set_ylim(bottom=0)
        if len(names) > 1:
            axes.legend(frameon=False, fontsize=8)
    return canvas


DRAWINGS: dict[str, Callable[[dict[str, Any]], Canvas | None]] = {
    "a": _main, "b": _differences, "c": _differences, "d": _differences, "e": _maps, "f": _over_n, "g": _costs,
    "h": _steps,
}  # fmt: skip
