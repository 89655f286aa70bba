"""Draws the figures of a report; all intervals are 95%, with problems as the independent units."""

# pyright: reportUnknownMemberType=false
# matplotlib is partly untyped.
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from specs.core.statistics import Interval, clustered_mean_interval
from specs.eval.grid import Setting, names
from specs.eval.pareto import pareto_front
from specs.eval.plots import COLOURS, INK, Figure, add_legend, new_canvas, style_axes, svg_figure
from specs.eval.report import Report
from specs.eval.rows import Row
from specs.types import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PHASES = (
    ("draft", "draft writes", COLOURS[0]),
    ("target_generate", "target writes", COLOURS[1]),
    ("target_score", "target scores", COLOURS[6]),
    ("prm", "PRM scores", COLOURS[2]),
    ("orchestration", "rest", COLOURS[8]),
)
WRITERS = {Role.DRAFT: COLOURS[0], Role.TARGET: COLOURS[1]}
FEWEST = 5
"""Fewest problems for a point; with fewer its interval is meaningless."""


def figures(report: Report, found: dict[str, Any]) -> list[Figure]:
    """All figures that the report has data for; `found` is the result of its `to_json`."""
    methods = [(setting, found["methods"][names(report.settings)[setting.key]]) for setting in report.settings]
    settings = [setting for setting, method in methods if method["accuracy"] is not None and method["latency_s"]]
    if not settings:
        return []
    data = _PlotData(report, found, settings)
    plots = (_trade_off, _phases, _over_n, _over_concurrency, _distributions, _draft_share)
    return [figure for plot in plots if (figure := plot(data)) is not None]


class _PlotData:
    """The data behind the figures, and the colour of each label."""

    def __init__(self, report: Report, found: dict[str, Any], settings: list[Setting]) -> None:
        self.settings, self.one_machine = settings, report.one_machine
        self.name = names(report.settings)
        self.methods: dict[str, dict[str, Any]] = found["methods"]
        self.rows = {name: [row for row in rows if not row.failed] for name, rows in report.by_name().items()}
        self.labels = list(dict.fromkeys(setting.label for setting in settings))

    def colour(self, label: str) -> str:
        return COLOURS[self.labels.index(label) % len(COLOURS)]

    def of(self, label: str) -> list[Setting]:
        """The settings of a label, sorted by n."""
        return sorted(
            (setting for setting in self.settings if setting.label == label), key=lambda setting: setting.n or 0
        )

    def found(self, setting: Setting) -> dict[str, Any]:
        return self.methods[self.name[setting.key]]

    def accuracy(self, setting: Setting) -> tuple[float, list[float]]:
        """In percent, with its distances down and up to the ends of the interval."""
        found = self.found(setting)
        return 100 * found["accuracy"], _distances(found["accuracy"], found["accuracy_interval"], 100)

    def latency(self, setting: Setting) -> tuple[float, list[float]]:
        """In milliseconds, with its distances down and up to the ends of the interval."""
        found = self.found(setting)["latency_s"]
        return 1000 * found["mean"], _distances(found["mean"], found["interval"], 1000)


def _distances(mean: float, interval: Sequence[float] | None, scale: float) -> list[float]:
    low, high = interval or (mean, mean)
    return [scale * max(0.0, mean - low), scale * max(0.0, high - mean)]


def _trade_off(data: _PlotData) -> Figure:
    canvas = new_canvas(4.2)
    axes = canvas.subplots()
    for label in data.labels:
        chosen = data.of(label)
        points = [(*data.latency(setting), *data.accuracy(setting)) for setting in chosen]
        xs, ys = [point[0] for point in points], [point[2] for point in points]
        axes.errorbar(
            xs, ys,
            xerr=np.transpose([point[1] for point in points]), yerr=np.transpose([point[3] for point in points]),
            fmt="o-" if len(points) > 1 else "o", color=data.colour(label), label=label, lw=1, ms=6, capsize=2,
        )  # fmt: skip
        for setting, x, y in zip(chosen, xs, ys, strict=True):
            if len(points) > 1:
                axes.annotate(str(setting.n), (x, y), (5, 5), textcoords="offset points", color=data.colour(label))
    caption = "Mean latency of a solve and share of right answers; numbers at points are n. Bars are 95% intervals."
    if data.one_machine:
        means = [(data.latency(setting)[0], data.accuracy(setting)[0]) for setting in data.settings]
        front = [means[point_idx] for point_idx in pareto_front(means)]
        axes.plot(*zip(*front, strict=True), "--", color=INK, lw=0.8, alpha=0.6, zorder=0)
        axes.errorbar(*zip(*front, strict=True), fmt="o", mfc="none", mec=INK, ms=11, label="Pareto front")
        caption += (
            " Ringed points are on the Pareto front: by the means, no other point is both faster and more often right."
        )
    else:
        caption += " The solves ran on different machines, so their latencies are not comparable."
    style_axes(axes, "latency of a solve, ms", "right, %")
    axes.set_xlim(left=0)
    add_legend(canvas, axes)
    return svg_figure(canvas, "Accuracy against latency", caption)


def _phases(data: _PlotData) -> Figure:
    canvas = new_canvas(1.3 + 0.34 * len(data.settings))
    axes = canvas.subplots()
    places = np.arange(len(data.settings))
    left = np.zeros(len(places))
    for phase, title, colour in PHASES:
        width = np.array([1000 * data.found(setting)["seconds"][phase] for setting in data.settings])
        axes.barh(places, width, left=left, color=colour, label=title, height=0.62)
        left += width
    latency = [data.latency(setting) for setting in data.settings]
    axes.errorbar(
        [mean for mean, _ in latency], places, xerr=np.transpose([ends for _, ends in latency]),
        fmt="D", color=INK, ms=4, capsize=3, lw=1, label="latency",
    )  # fmt: skip
    axes.set_yticks(places, [data.name[setting.key] for setting in data.settings])
    axes.invert_yaxis()
    style_axes(axes, "mean of a solve, ms", "")
    axes.grid(axis="y", visible=False)
    add_legend(canvas, axes)
    return svg_figure(
        canvas,
        "Latency by phase",
        "Mean busy time of each phase, stacked; diamonds are the mean latency with its 95% interval. Target and PRM "
        'score at the same time, so a stack may be longer than the latency. "rest" is the time outside the models.',
    )


def _over_n(data: _PlotData) -> Figure | None:
    widths = sorted({setting.n for setting in data.settings if setting.n is not None})
    if len(widths) < 2:
        return None
    canvas = new_canvas(3.6)
    both = canvas.subplots(1, 2)
    moved = {label: 2 ** (0.05 * (idx - len(data.labels) / 2)) for idx, label in enumerate(data.labels)}
    for axes, value, title in (
        (both[0], data.accuracy, "right, %"),
        (both[1], data.latency, "latency of a solve, ms"),
    ):
        for label in data.labels:
            chosen, colour = data.of(label), data.colour(label)
            points = [value(setting) for setting in chosen]
            if chosen[0].n is None:
                (mean, (down, up)), *_ = points
                axes.axhline(mean, color=colour, ls=":", lw=1.5, label=label)
                axes.axhspan(mean - down, mean + up, color=colour, alpha=0.12, lw=0)
                continue
            axes.errorbar(
                [setting.n * moved[label] for setting in chosen if setting.n], [mean for mean, _ in points],
                yerr=np.transpose([ends for _, ends in points]),
                fmt="o-", color=colour, label=label, lw=1.2, ms=5, capsize=2,
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks(widths, [str(n) for n in widths])
        axes.minorticks_off()
        style_axes(axes, "candidates n", title)
    both[1].set_ylim(bottom=0)
    add_legend(canvas, both[1])
    return svg_figure(
        canvas,
        "Accuracy and latency against n",
        "Bars are 95% intervals; points are shifted sideways only to keep them apart. Dotted lines with "
        "their bands are methods without n.",
    )


def _over_concurrency(data: _PlotData) -> Figure | None:
    """Latency and throughput of each method that ran with several numbers of solves at the same time."""
    kinds: dict[tuple[str, int | None, str], list[tuple[int, Setting]]] = {}
    for setting in data.settings:
        if setting.concurrency is not None:
            kinds.setdefault((setting.label_without_concurrency, setting.n, setting.context), []).append(
                (setting.concurrency, setting)
            )
    if not kinds:
        return None
    several = len({n for _, n, _ in kinds if n is not None}) > 1
    canvas = new_canvas(3.6)
    left, right = canvas.subplots(1, 2)
    for kind_idx, ((label, n, _), found) in enumerate(kinds.items()):
        found = sorted(found, key=lambda pair: pair[0])
        at = [concurrency * 2 ** (0.06 * (kind_idx - (len(kinds) - 1) / 2)) for concurrency, _ in found]
        latencies = [data.latency(setting) for _, setting in found]
        means, ends = np.array([mean for mean, _ in latencies]), np.transpose([ends for _, ends in latencies])
        look = {"color": COLOURS[kind_idx % len(COLOURS)], "lw": 1.2, "ms": 5, "capsize": 2}
        left.errorbar(at, means, ends, fmt="o-", label=f"{label} n={n}" if several else label, **look)
        tail = [1000 * data.found(setting)["latency_s"]["p95"] for _, setting in found]
        left.plot(at, tail, "o--", color=look["color"], mfc="white", lw=0.8, ms=4)
        # A solve starts when another ends, so the number in progress is constant and Little's law applies.
        work = 6e4 * np.array([concurrency for concurrency, _ in found])
        rate = work / means
        right.errorbar(at, rate, [rate - work / (means + ends[1]), work / (means - ends[0]) - rate], fmt="o-", **look)
    widths = sorted({concurrency for found in kinds.values() for concurrency, _ in found})
    for axes, title in ((left, "latency of a solve, ms"), (right, "solves a minute")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(widths, [str(width) for width in widths])
        axes.minorticks_off()
        style_axes(axes, "solves at the same time", title)
        axes.set_ylim(bottom=0)
    add_legend(canvas, left)
    return svg_figure(
        canvas,
        "Latency and throughput against the number of solves at the same time",
        "Filled points are means with their 95% intervals, hollow ones the 95th percentile; points are shifted "
        "sideways only to keep them apart. Throughput is the number of concurrent solves over their mean latency.",
    )


def _drafted(data: _PlotData) -> list[Setting]:
    """The largest n of each method in which the draft writes steps."""
    widest = [data.of(label)[-1] for label in data.labels]
    return [setting for setting in widest if any(row.draft_steps for row in data.rows[data.name[setting.key]])]


def _distributions(data: _PlotData) -> Figure | None:
    chosen = [
        setting for setting in _drafted(data) if _trail(data.rows[data.name[setting.key]], Role.DRAFT, "reward")[0]
    ]
    if not chosen:
        return None
    ratios = [
        value for setting in chosen for value in _trail(data.rows[data.name[setting.key]], Role.DRAFT, "log_ratio")[0]
    ] or [0.0]
    reach = max(1.0, float(np.percentile(np.abs(ratios), 99)))
    canvas = new_canvas(1.0 + 1.55 * len(chosen))
    grid = canvas.subplots(len(chosen), 2, squeeze=False, sharex="col")
    for setting, (left, right) in zip(chosen, grid, strict=True):
        rows = data.rows[data.name[setting.key]]
        for role, colour in WRITERS.items():
            _histogram(left, *_trail(rows, role, "reward"), np.linspace(0, 1, 21), colour, f"written by the {role}")
        ratios, problems = _trail(rows, Role.DRAFT, "log_ratio")
        _histogram(right, ratios, problems, np.linspace(-reach, reach, 25), COLOURS[0], "draft")
        if not ratios:
            note = "the target does not score its steps"
            right.text(0.5, 0.5, note, color=INK, alpha=0.6, fontsize=8, ha="center", transform=right.transAxes)
            right.set_yticks([])
        left.set_title(data.name[setting.key], fontsize=9, loc="left", color=INK)
        for axes in (left, right):
            style_axes(axes, "", "steps, %")
            axes.set_ylim(bottom=0)
    grid[-1][0].set_xlabel("reward of the chosen step")
    grid[-1][1].set_xlabel("log p - log q of the chosen draft step, nats")
    add_legend(canvas, grid[0][0])
    return svg_figure(
        canvas,
        "Rewards and log-ratios of chosen steps",
        "Shares of each writer's steps that fall into a bin, with 95% intervals of the bins that have any; rejected "
        "steps are included. The log-ratio of the target's own steps is 0. Ratios "
        f"beyond ±{reach:.1f} nats are in the outermost bins. Each method has its largest n.",
    )


def _trail(rows: list[Row], role: Role, name: str) -> tuple[list[float], list[str]]:
    """The values of one writer's chosen steps, where known, and the problem of each."""
    pairs = [
        (step[name], row.problem_id)
        for row in rows
        for step in row.trail
        if step["writer"] == role and isinstance(step[name], float)
    ]
    return [value for value, _ in pairs], [problem for _, problem in pairs]


def _histogram(
    axes: Axes, values: list[float], problems: list[str], edges: NDArray[np.float64], colour: str, label: str
) -> None:
    if len(set(problems)) < FEWEST:
        return
    bins: NDArray[np.intp] = np.clip(np.searchsorted(edges, values, "right") - 1, 0, len(edges) - 2)
    shares = [float((bins == bin_idx).mean()) for bin_idx in range(len(edges) - 1)]
    ends = [clustered_mean_interval(bins == bin_idx, problems) for bin_idx in range(len(edges) - 1)]
    axes.stairs([100 * share for share in shares], edges, color=colour, lw=1.3, label=label)
    axes.bar(
        edges[:-1], [100 * (end.high - end.low) if share else 0.0 for end, share in zip(ends, shares, strict=True)],
        np.diff(edges), [100 * end.low for end in ends], align="edge", color=colour, alpha=0.25, lw=0,
    )  # fmt: skip


def _draft_share(data: _PlotData) -> Figure | None:
    canvas = new_canvas(3.4)
    axes = canvas.subplots()
    longest = 0
    for setting in _drafted(data):
        curve = [
            point
            for step_idx in range(64)
            if (point := _share_at(data.rows[data.name[setting.key]], step_idx)) is not None
        ]
        if curve and setting.method != Role.DRAFT:
            steps = [step_idx + 1 for step_idx, _, _ in curve]
            colour = data.colour(setting.label)
            axes.plot(steps, [100 * mean for _, mean, _ in curve], "o-", color=colour, ms=4, lw=1.2,
                      label=data.name[setting.key])  # fmt: skip
            axes.fill_between(steps, [100 * end.low for _, _, end in curve], [100 * end.high for _, _, end in curve],
                              color=colour, alpha=0.15, lw=0)  # fmt: skip
            longest = max(longest, *steps)
    if not longest:
        return None
    style_axes(axes, "accepted step", "written by the draft, %")
    axes.set_ylim(-3, 103)
    axes.set_xticks(range(1, longest + 1))
    add_legend(canvas, axes)
    return svg_figure(
        canvas,
        "Draft share over steps",
        "Share of the k-th accepted steps that the draft wrote, over the solves with at least k steps; bands are 95% "
        f"intervals. Steps that fewer than {FEWEST} problems reach are left out. Each method has its largest n.",
    )


def _share_at(rows: list[Row], step_idx: int) -> tuple[int, float, Interval] | None:
    """(k, share of the draft among the k-th accepted steps, interval); None if too few problems have a k-th step."""
    reached = [
        (float(accepted[step_idx]["writer"] == Role.DRAFT), row.problem_id)
        for row in rows
        if len(accepted := [step for step in row.trail if step["accepted"]]) > step_idx
    ]
    problems = [problem for _, problem in reached]
    if len(set(problems)) < FEWEST:
        return None
    values = [value for value, _ in reached]
    return step_idx, sum(values) / len(values), clustered_mean_interval(values, problems)
