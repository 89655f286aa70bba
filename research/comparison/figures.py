"""The front: right answers against latency and against core-seconds, several n of each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from research.comparison import rows
from research.comparison.plan import FRONT, FRONT_N, at_n
from research.comparison.tables import means
from research.comparison.tuning import Solves, by_setting, chosen, mean
from specs.eval.plots import COLOURS, INK, add_legend, new_canvas, save_figure, style_axes

TIMED = "time-front-1"


def points(
    setting: str, cells: Mapping[str, Solves], timed: Sequence[rows.Row]
) -> list[tuple[int, float, float, float]]:
    """n, share of right answers, seconds and core-seconds of a setting with the n that were solved and timed."""
    made: list[tuple[int, float, float, float]] = []
    for n in FRONT_N:
        if (one := at_n(setting, n)) in cells and any(row["method"] == one for row in timed):
            took = means(timed, one)
            made.append((n, mean(cells[one], "right"), took["latency_s"].mean(), took["core_s"].mean()))
    return made


def draw_front(out: Path) -> None:
    """Write front.svg and front.png."""
    import matplotlib

    found, timed = rows.read("front"), rows.read(TIMED)
    problems = len({row["problem"] for row in found})
    cells, settings = by_setting(found), chosen()
    lines = [(group, np.array(points(settings[group], cells, timed))) for group in FRONT]
    with matplotlib.rc_context({"font.size": 9}):
        canvas = new_canvas(3.6, 9.6)
        both = canvas.subplots(1, 2, sharey=True)
        for axes, column, label in zip(both, (2, 3), ("latency on one core, s", "core-seconds"), strict=True):
            for (group, made), colour in zip(lines, COLOURS, strict=True):
                if len(made):
                    width = 2.2 if group == "specs" else 1.1
                    axes.plot(made[:, column], 100 * made[:, 1], marker="o", ms=3, lw=width, color=colour, label=group)
                    axes.annotate(f"{made[-1, 0]:.0f}", (made[-1, column], 100 * made[-1, 1]), fontsize=7, color=INK)
            axes.set_xscale("log")
            style_axes(axes, label, "right, %" if column == 2 else "")
        add_legend(canvas, both[0])
        canvas.suptitle(f"`hard`, {problems} problems: lines join n = 2, 4, 8, 16, 32", color=INK, fontsize=11)
        save_figure(canvas, out, "front")
