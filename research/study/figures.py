"""The front: right answers against latency and against FLOPs, several n of each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from research.study import rows
from research.study.plan import FRONT, FRONT_N, at_n
from research.study.tables import means
from research.study.timing import SPECULATING, with_speculation
from research.study.tuning import Solves, by_setting, chosen, mean
from specs.eval.plots import COLOURS, INK, add_legend, new_canvas, save_figure, style_axes

TIMED = "time-front-1"
SIZES = dict(zip(FRONT_N, (6, 14, 26, 42, 62), strict=True))
"""Areas of markers by n, in square points."""
TICKS = {"latency": (0.1, 0.2, 0.5, 1, 2, 5), "GFLOPs": (2, 5, 10, 20, 50, 100)}


def points(
    setting: str, cells: Mapping[str, Solves], timed: Sequence[rows.Row]
) -> list[tuple[int, float, float, float]]:
    """n, share of right answers, seconds and GFLOPs of a setting with the n that were solved and timed."""
    made: list[tuple[int, float, float, float]] = []
    for n in FRONT_N:
        if (one := at_n(setting, n)) in cells and any(row["method"] == one for row in timed):
            took = means(timed, one)["latency_s"].mean()
            made.append((n, mean(cells[one], "right"), took, mean(cells[one], "mflops") / 1e3))
    return made


def speculating(cells: Mapping[str, Solves]) -> list[tuple[str, float, float, float]]:
    """Group, share of right answers, seconds and GFLOPs of what tuning chose, with token-level speculation.

    Speculation changes no token, so the right answers are those of the setting without it, in the main part.
    """
    timed, settings = rows.read("time-hard-1"), chosen()
    made: list[tuple[str, float, float, float]] = []
    for group in SPECULATING:
        own = [row for row in timed if row["method"] == with_speculation(settings[group])]
        if group in FRONT and own and settings[group] in cells:
            took, flops = (float(np.mean([row[what] for row in own])) for what in ("latency_s", "mflops"))
            made.append((group, mean(cells[settings[group]], "right"), took, flops / 1e3))
    return made


def draw_front(out: Path) -> None:
    """Write front.svg and front.png."""
    import matplotlib

    found, timed = rows.read("front"), rows.read(TIMED)
    problems = len({row["problem"] for row in found})
    cells, settings = by_setting(found), chosen()
    main = by_setting([row for row in rows.read("main") if row["tier"] == "hard"])
    colours: dict[str, str] = dict(zip(FRONT, COLOURS, strict=True))
    lines = {group: np.array(points(settings[group], cells, timed)) for group in FRONT}
    with matplotlib.rc_context({"font.size": 9}):
        canvas = new_canvas(4.0, 9.6)
        both = canvas.subplots(1, 2, sharey=True)
        for axes, column, ticks in zip(both, (2, 3), TICKS.values(), strict=True):
            for group, made in lines.items():
                if not len(made):
                    continue
                width, colour = 2.4 if group == "specs" else 1.0, colours[group]
                axes.plot(made[:, column], 100 * made[:, 1], lw=width, color=colour, label=group)
                axes.scatter(made[:, column], 100 * made[:, 1], s=[SIZES[n] for n in made[:, 0]], color=colour)
            for idx, (group, right, *took) in enumerate(speculating(main)):
                axes.scatter(
                    took[column - 2], 100 * right, s=46, marker="D", facecolors="none", edgecolors=colours[group],
                    label=None if idx else "tuned,\n+speculation",
                )  # fmt: skip
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        style_axes(both[0], "seconds a solve on one core", "right, %")
        style_axes(both[1], "GFLOPs a solve", "")
        add_legend(canvas, both[0])
        canvas.suptitle(f"hard, {problems} problems; n = 2, 4, 8, 16, 32 from small to large markers", color=INK)
        save_figure(canvas, out, "front")
