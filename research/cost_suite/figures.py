"""The figures of a suite: times of each kind of step, and how they scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from research.cost_suite.measure import NAIVE, REPLAYED, WAYS
from research.cost_suite.tables import TITLES, device
from specs.eval.plots import COLOURS, INK, add_legend, new_canvas, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PHASES = {"draft": "draft writes", "target_generate": "target writes", "target_score": "target scores", "prm": "PRM"}
COLOUR = {"specs": COLOURS[0], "beam": COLOURS[1], "gsi": COLOURS[2], "rsd": COLOURS[3]}


def draw(found: dict[str, Any], out: Path) -> list[Path]:
    """Write `suite-steps` and `suite-scaling`, an SVG and a PNG each; returns the SVGs."""
    made = []
    for name, canvas in (("suite-steps", _steps(found)), ("suite-scaling", _scaling(found))):
        canvas.suptitle(f"Latency only, random weights: {device(found['environment'])}", color=INK, fontsize=10)
        save_figure(canvas, out, name)
        made.append(out / f"{name}.svg")
    return made


def _steps(found: dict[str, Any]) -> Canvas:
    """Bars of busy milliseconds by phase, one after the other even where phases overlap; a step's time and floor."""
    canvas = new_canvas(3.6, width=9)
    axes = canvas.subplots()
    ways = [way for way in (*WAYS, *NAIVE) if way in found["points"]["steps"]["ways"]]
    rows = [found["points"]["steps"]["ways"][way] for way in ways]
    places = range(len(rows))
    left = [0.0] * len(rows)
    for (phase, label), colour in zip(PHASES.items(), COLOURS, strict=False):
        widths = [row["phases_ms"][phase] for row in rows]
        axes.barh(places, widths, left=left, height=0.62, color=colour, alpha=0.85, label=label)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.plot([row["phases_ms"]["wall"] for row in rows], places, "|", ms=17, mew=2, color=INK, label="the step")
    axes.plot([row["floor_ms"] for row in rows], places, "D", ms=4, color=INK, label="its floor")
    axes.set_yticks(places, [TITLES[way].replace("`", "") for way in ways])
    axes.invert_yaxis()
    style_axes(axes, "milliseconds, mean", "")
    add_legend(canvas, axes)
    return canvas


def _scaling(found: dict[str, Any]) -> Canvas:
    """Times of steps against n and against the length of the prefix; times relative to beam search against the draft
    share, and of recorded solves."""
    canvas = new_canvas(6.8, width=9.6)
    (widths, contexts), (by_share, solves) = canvas.subplots(2, 2)
    for axes, sweep, label in ((widths, "n", "candidates n"), (contexts, "context", "tokens of the prefix")):
        _lines(axes, found["points"], sweep)
        style_axes(axes, label, "milliseconds a step")
    rows = found["points"]["shares"]["rows"]
    written = [row["share"] for row in rows]
    by_share.plot(written, [row["predicted"] for row in rows], color=COLOUR["specs"], lw=1, label="predicted")
    by_share.plot(written, [row["measured"] for row in rows], "o", color=COLOUR["specs"], ms=4, label="measured")
    by_share.set_ylim(bottom=0)
    by_share.legend(frameon=False, fontsize=8, labelcolor=INK)
    style_axes(by_share, "share of steps by the draft", "a step over one of beam")
    for tier, shift, marker in (("medium", -0.12, "s"), ("hard", 0.12, "^")):
        solves.plot([], [], marker, color=INK, ms=5, label=tier)
        methods = found["points"][f"replayed {tier}"]["methods"]
        for place, method in enumerate(methods):
            ratio = methods[method]["over_beam"]
            ends = [ratio["low"] or ratio["median"], ratio["high"] or ratio["median"]]
            solves.plot([place + shift] * 2, ends, color=COLOUR[method], lw=1)
            solves.plot(place + shift, ratio["median"], marker, color=COLOUR[method], ms=5)
    solves.set_xticks(range(len(REPLAYED)), list(REPLAYED))
    solves.set_ylim(bottom=0)
    solves.legend(frameon=False, fontsize=8, labelcolor=INK)
    style_axes(solves, f"recorded solves at the cost of {found['scale']['replayed_on']}", "a solve over one of beam")
    add_legend(canvas, contexts)
    return canvas


def _lines(axes: Axes, points: dict[str, Any], sweep: str) -> None:
    found = {int(name.removeprefix(f"{sweep} ")): one for name, one in points.items() if name.startswith(f"{sweep} ")}
    for way in (*WAYS, *NAIVE):
        own = {value: one["ways"][way] for value, one in found.items() if way in one["ways"]}
        if not own:
            continue
        colour, naive = COLOUR[way.removesuffix(", naive")], way in NAIVE
        ms = [one["ms"] for one in own.values()]
        around = [[one["ms"] - one["low"] for one in own.values()], [one["high"] - one["ms"] for one in own.values()]]
        axes.errorbar(list(own), ms, around, fmt="s--" if naive else "o-", color=colour, ms=3, lw=1, elinewidth=0.7,
                      label=way)  # fmt: skip
        if not naive:
            axes.plot(
                list(own), [one["floor_ms"] for one in own.values()], ":", color=colour, lw=1, label=f"{way}, floor"
            )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(list(found), [f"{value:,}" for value in found])
