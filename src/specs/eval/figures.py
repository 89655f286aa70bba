"""The figures of a report; all intervals are 95% and treat problems as independent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specs.core.statistics import Interval, clustered_mean_interval
from specs.eval.grid import Setting, names
from specs.eval.plots import COLOURS, INK, Figure, canvas_of, dress, figure_of, legend, pareto
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
"""Problems that a point needs: with fewer its interval says nothing."""


def figures(report: Report, found: dict[str, Any]) -> list[Figure]:
    """All figures that the report has something for; `found` is its `to_json`."""
    methods = [(one, found["methods"][names(report.settings)[one.key]]) for one in report.settings]
    settings = [one for one, method in methods if method["accuracy"] is not None and method["latency_s"]]
    if not settings:
        return []
    world = _World(report, found, settings)
    drawings = (_trade_off, _phases, _over_n, _over_concurrency, _distributions, _draft_share)
    return [figure for drawing in drawings if (figure := drawing(world)) is not None]


class _World:
    """What the figures are drawn from, and how they look."""

    def __init__(self, report: Report, found: dict[str, Any], settings: list[Setting]) -> None:
        self.settings, self.one_machine = settings, report.one_machine
        self.name = names(report.settings)
        self.methods: dict[str, dict[str, Any]] = found["methods"]
        self.rows = {name: [row for row in rows if not row.failed] for name, rows in report.by_name().items()}
        self.labels = list(dict.fromkeys(setting.label for setting in settings))

    def colour(self, label: str) -> str:
        return COLOURS[self.labels.index(label) % len(COLOURS)]

    def of(self, label: str) -> list[Setting]:
        """The settings of a label, by rising n."""
        return sorted((one for one in self.settings if one.label == label), key=lambda one: one.n or 0)

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


def _trade_off(world: _World) -> Figure:
    canvas = canvas_of(4.2)
    axes = canvas.subplots()
    for label in world.labels:
        chosen = world.of(label)
        points = [(*world.latency(one), *world.accuracy(one)) for one in chosen]
        xs, ys = [point[0] for point in points], [point[2] for point in points]
        axes.errorbar(
            xs, ys,
            xerr=np.transpose([point[1] for point in points]), yerr=np.transpose([point[3] for point in points]),
            fmt="o-" if len(points) > 1 else "o", color=world.colour(label), label=label, lw=1, ms=6, capsize=2,
        )  # fmt: skip
        for one, x, y in zip(chosen, xs, ys, strict=True):
            if len(points) > 1:
                axes.annotate(str(one.n), (x, y), (5, 5), textcoords="offset points", color=world.colour(label))
    caption = "Mean latency of a solve and share of right answers; numbers at points are n. Bars are 95% intervals."
    if world.one_machine:
        means = [(world.latency(one)[0], world.accuracy(one)[0]) for one in world.settings]
        front = [means[k] for k in pareto(means)]
        axes.plot(*zip(*front, strict=True), "--", color=INK, lw=0.8, alpha=0.6, zorder=0)
        axes.errorbar(*zip(*front, strict=True), fmt="o", mfc="none", mec=INK, ms=11, label="Pareto front")
        caption += (
            " Ringed points are on the Pareto front: no other is both quicker and more often right, by the means."
        )
    else:
        caption += " Made on different machines: latencies do not compare."
    dress(axes, "latency of a solve, ms", "right, %")
    axes.set_xlim(left=0)
    legend(canvas, axes)
    return figure_of(canvas, "Accuracy against latency", caption)


def _phases(world: _World) -> Figure:
    canvas = canvas_of(1.3 + 0.34 * len(world.settings))
    axes = canvas.subplots()
    places = np.arange(len(world.settings))
    left = np.zeros(len(places))
    for phase, title, colour in PHASES:
        width = np.array([1000 * world.found(one)["seconds"][phase] for one in world.settings])
        axes.barh(places, width, left=left, color=colour, label=title, height=0.62)
        left += width
    latency = [world.latency(one) for one in world.settings]
    axes.errorbar(
        [mean for mean, _ in latency], places, xerr=np.transpose([ends for _, ends in latency]),
        fmt="D", color=INK, ms=4, capsize=3, lw=1, label="latency",
    )  # fmt: skip
    axes.set_yticks(places, [world.name[one.key] for one in world.settings])
    axes.invert_yaxis()
    dress(axes, "mean of a solve, ms", "")
    axes.grid(axis="y", visible=False)
    legend(canvas, axes)
    return figure_of(
        canvas,
        "Latency by phase",
        "Mean busy time of each phase, stacked; diamonds are the mean latency with its 95% interval. Target and PRM "
        "score at the same time, so a stack may be longer than the latency. Rest is time outside the models.",
    )


def _over_n(world: _World) -> Figure | None:
    widths = sorted({one.n for one in world.settings if one.n is not None})
    if len(widths) < 2:
        return None
    canvas = canvas_of(3.6)
    both = canvas.subplots(1, 2)
    moved = {label: 2 ** (0.05 * (idx - len(world.labels) / 2)) for idx, label in enumerate(world.labels)}
    for axes, value, title in (
        (both[0], world.accuracy, "right, %"),
        (both[1], world.latency, "latency of a solve, ms"),
    ):
        for label in world.labels:
            chosen, colour = world.of(label), world.colour(label)
            points = [value(one) for one in chosen]
            if chosen[0].n is None:
                (mean, (down, up)), *_ = points
                axes.axhline(mean, color=colour, ls=":", lw=1.5, label=label)
                axes.axhspan(mean - down, mean + up, color=colour, alpha=0.12, lw=0)
                continue
            axes.errorbar(
                [one.n * moved[label] for one in chosen if one.n], [mean for mean, _ in points],
                yerr=np.transpose([ends for _, ends in points]),
                fmt="o-", color=colour, label=label, lw=1.2, ms=5, capsize=2,
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks(widths, [str(n) for n in widths])
        axes.minorticks_off()
        dress(axes, "candidates n", title)
    both[1].set_ylim(bottom=0)
    legend(canvas, both[1])
    return figure_of(
        canvas,
        "Accuracy and latency against n",
        "Bars are 95% intervals; points are set beside each other only to be told apart. Dotted lines with their "
        "bands are methods without n.",
    )


def _over_concurrency(world: _World) -> Figure | None:
    """Latency and throughput of each method that ran with several numbers of solves at the same time."""
    kinds: dict[tuple[str, int | None, str], list[tuple[int, Setting]]] = {}
    for one in world.settings:
        if one.concurrency is not None:
            kinds.setdefault((one.alone, one.n, one.context), []).append((one.concurrency, one))
    if not kinds:
        return None
    several = len({n for _, n, _ in kinds if n is not None}) > 1
    canvas = canvas_of(3.6)
    left, right = canvas.subplots(1, 2)
    for k, ((label, n, _), found) in enumerate(kinds.items()):
        found = sorted(found, key=lambda pair: pair[0])
        at = [concurrency * 2 ** (0.06 * (k - (len(kinds) - 1) / 2)) for concurrency, _ in found]
        latencies = [world.latency(one) for _, one in found]
        means, ends = np.array([mean for mean, _ in latencies]), np.transpose([ends for _, ends in latencies])
        look = {"color": COLOURS[k % len(COLOURS)], "lw": 1.2, "ms": 5, "capsize": 2}
        left.errorbar(at, means, ends, fmt="o-", label=f"{label} n={n}" if several else label, **look)
        tail = [1000 * world.found(one)["latency_s"]["p95"] for _, one in found]
        left.plot(at, tail, "o--", color=look["color"], mfc="white", lw=0.8, ms=4)
        # A solve begins when another ends, so that always as many are under way: Little's law.
        work = 6e4 * np.array([concurrency for concurrency, _ in found])
        rate = work / means
        right.errorbar(at, rate, [rate - work / (means + ends[1]), work / (means - ends[0]) - rate], fmt="o-", **look)
    widths = sorted({concurrency for found in kinds.values() for concurrency, _ in found})
    for axes, title in ((left, "latency of a solve, ms"), (right, "solves a minute")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(widths, [str(width) for width in widths])
        axes.minorticks_off()
        dress(axes, "solves at the same time", title)
        axes.set_ylim(bottom=0)
    legend(canvas, left)
    return figure_of(
        canvas,
        "Latency and throughput against the number of solves at the same time",
        "Filled points are means with their 95% intervals, hollow ones the 95th percentile; points are set beside each "
        "other only to be told apart. Throughput is the number of solves at the same time over their mean latency.",
    )


def _drafted(world: _World) -> list[Setting]:
    """Of each method that has the draft write, the widest n."""
    widest = [world.of(label)[-1] for label in world.labels]
    return [one for one in widest if any(row.draft_steps for row in world.rows[world.name[one.key]])]


def _distributions(world: _World) -> Figure | None:
    chosen = [one for one in _drafted(world) if _trail(world.rows[world.name[one.key]], Role.DRAFT, "reward")[0]]
    if not chosen:
        return None
    ratios = [
        value for one in chosen for value in _trail(world.rows[world.name[one.key]], Role.DRAFT, "log_ratio")[0]
    ] or [0.0]
    reach = max(1.0, float(np.percentile(np.abs(ratios), 99)))
    canvas = canvas_of(1.0 + 1.55 * len(chosen))
    grid = canvas.subplots(len(chosen), 2, squeeze=False, sharex="col")
    for one, (left, right) in zip(chosen, grid, strict=True):
        rows = world.rows[world.name[one.key]]
        for role, colour in WRITERS.items():
            _histogram(left, *_trail(rows, role, "reward"), np.linspace(0, 1, 21), colour, f"written by the {role}")
        ratios, problems = _trail(rows, Role.DRAFT, "log_ratio")
        _histogram(right, ratios, problems, np.linspace(-reach, reach, 25), COLOURS[0], "draft")
        if not ratios:
            note = "the target does not score its steps"
            right.text(0.5, 0.5, note, color=INK, alpha=0.6, fontsize=8, ha="center", transform=right.transAxes)
            right.set_yticks([])
        left.set_title(world.name[one.key], fontsize=9, loc="left", color=INK)
        for axes in (left, right):
            dress(axes, "", "steps, %")
            axes.set_ylim(bottom=0)
    grid[-1][0].set_xlabel("reward of the chosen step")
    grid[-1][1].set_xlabel("log p - log q of the chosen draft step, nats")
    legend(canvas, grid[0][0])
    return figure_of(
        canvas,
        "Rewards and log-ratios of chosen steps",
        "Shares of each writer's steps that fall into a bin, with 95% intervals of the bins that have any; steps that "
        "were thrown away after their choice are among them. The log-ratio of the target's own steps is 0. Ratios "
        f"beyond ±{reach:.1f} nats are in the outermost bins. Of each method the widest n.",
    )


def _trail(rows: list[Row], role: Role, name: str) -> tuple[list[float], list[str]]:
    """Values of the chosen steps of one writer that have one, and the problem of each."""
    pairs = [
        (step[name], row.problem_id)
        for row in rows
        for step in row.trail
        if step["writer"] == role and isinstance(step[name], float)
    ]
    return [value for value, _ in pairs], [problem for _, problem in pairs]


def _histogram(axes: Axes, values: list[float], problems: list[str], edges: Any, colour: str, label: str) -> None:
    if len(set(problems)) < FEWEST:
        return
    bins = np.clip(np.searchsorted(edges, values, "right") - 1, 0, len(edges) - 2)
    shares = [float(np.mean(bins == k)) for k in range(len(edges) - 1)]
    ends = [clustered_mean_interval(bins == k, problems) for k in range(len(edges) - 1)]
    axes.stairs([100 * share for share in shares], edges, color=colour, lw=1.3, label=label)
    axes.bar(
        edges[:-1], [100 * (end.high - end.low) if share else 0.0 for end, share in zip(ends, shares, strict=True)],
        np.diff(edges), [100 * end.low for end in ends], align="edge", color=colour, alpha=0.25, lw=0,
    )  # fmt: skip


def _draft_share(world: _World) -> Figure | None:
    canvas = canvas_of(3.4)
    axes = canvas.subplots()
    longest = 0
    for one in _drafted(world):
        curve = [point for k in range(64) if (point := _share_at(world.rows[world.name[one.key]], k)) is not None]
        if curve and one.method != Role.DRAFT:
            steps = [k + 1 for k, _, _ in curve]
            colour = world.colour(one.label)
            axes.plot(steps, [100 * mean for _, mean, _ in curve], "o-", color=colour, ms=4, lw=1.2,
                      label=world.name[one.key])  # fmt: skip
            axes.fill_between(steps, [100 * end.low for _, _, end in curve], [100 * end.high for _, _, end in curve],
                              color=colour, alpha=0.15, lw=0)  # fmt: skip
            longest = max(longest, *steps)
    if not longest:
        return None
    dress(axes, "accepted step", "written by the draft, %")
    axes.set_ylim(-3, 103)
    axes.set_xticks(range(1, longest + 1))
    legend(canvas, axes)
    return figure_of(
        canvas,
        "Draft share over steps",
        "Share of the k-th accepted steps that the draft wrote, over the solves that came so far; bands are 95% "
        f"intervals. Steps that fewer than {FEWEST} problems reach are left out. Of each method the widest n.",
    )


def _share_at(rows: list[Row], k: int) -> tuple[int, float, Interval] | None:
    """Share of the draft among the k-th accepted steps; None where too few problems have one."""
    reached = [
        (float(accepted[k]["writer"] == Role.DRAFT), row.problem_id)
        for row in rows
        if len(accepted := [step for step in row.trail if step["accepted"]]) > k
    ]
    problems = [problem for _, problem in reached]
    if len(set(problems)) < FEWEST:
        return None
    values = [value for value, _ in reached]
    return k, sum(values) / len(values), clustered_mean_interval(values, problems)
