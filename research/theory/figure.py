"""The figure of docs/theory.md, from the values of `research.theory.study`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

# Okabe and Ito's colours, which colour-blind readers can tell apart, also in print.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#777777"
PLAIN = {"marker": "o", "markersize": 3, "linewidth": 1.2}
LINES = {
    "draft, 32 steps": (BLUE, "draft writes"),
    "target, 32 steps": (GREEN, "target writes"),
    "Poisson n, 32 steps": (ORANGE, "draft, Poisson n"),
    "switching, 3 blocks of 4": (PURPLE, "switching, 3 blocks"),
    "draft, 32 steps, beta 32": (RED, "draft, beta 32"),
}
LIMITS = {
    "switching, 3 blocks of 4": (PURPLE, "soft value"),
    "raw reward, 3 blocks of 4": (ORANGE, "raw reward"),
    "perturbed reward, 3 blocks of 4": (GREEN, "perturbed reward"),
    "rewrite, 3 blocks of 4": (RED, "rewrite"),
}


def draw(found: dict[str, Any], folder: Path) -> None:
    """Write `theory.svg` and `theory.png` into a folder; the same values give the same files."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "theory"}):
        figure = Figure(figsize=(10, 7.6), layout="constrained")
        divergence, variation, limits, decoder = figure.subplots(2, 2).flat
        cases = {case["name"]: case for case in found["cases"]}
        _fall(divergence, cases, "kl", "KL(π* ‖ πₙ), nats", -2)
        _fall(variation, cases, "tv", "total variation between π* and πₙ", -1)
        divergence.set_title("the divergence falls as 1/n², its bound as 1/n")
        variation.set_title("total variation falls as 1/n")
        _limits(limits, cases)
        _decoder(decoder, found["decoder"])
        figure.savefig(folder / "theory.svg", metadata={"Date": None})
        figure.savefig(folder / "theory.png", dpi=110)


def _fall(axes: Any, cases: dict[str, Any], what: str, label: str, slope: int) -> None:
    for name, (colour, text) in LINES.items():
        case = cases[name]
        # Rings, because for large n they lie on the line of a fixed number of drafts.
        shape = {"marker": "o", "markersize": 6, "fillstyle": "none", "linestyle": "none"} if "Poisson" in name else {}
        axes.loglog(case["n"], case[what], **{**PLAIN, **shape}, color=colour, label=text)
        if what == "kl":
            axes.loglog(case["n"], case["bound"], ":", color=colour, linewidth=1.2)
    lowest = cases["target, 32 steps"]
    guide = [0.3 * lowest[what][-1] * (n / lowest["n"][-1]) ** slope for n in lowest["n"][5:]]
    axes.loglog(lowest["n"][5:], guide, "--", color=GREY, linewidth=1, label=f"slope −{-slope}")
    if what == "kl":
        axes.plot([], [], ":", color=GREY, label="bounds, such as log(1 + χ²/n)")
    axes.set(xlabel="candidates n", ylabel=label)
    axes.legend(frameon=False, fontsize=8)


def _limits(axes: Any, cases: dict[str, Any]) -> None:
    for name, (colour, text) in LIMITS.items():
        case = cases[name]
        axes.loglog(case["n"], case["kl_from_optimum"], **PLAIN, color=colour, label=text)
        if case["floor"] is not None:
            axes.axhline(case["floor"], color=colour, linestyle="--", linewidth=0.8)
    axes.plot([], [], "--", color=GREY, linewidth=0.8, label="KL(π* ‖ limit)")
    axes.set(xlabel="candidates n", ylabel="KL(π* ‖ πₙ), nats", ylim=(1e-6, None))
    axes.set_title("other rewards, and rewriting, have other limits")
    axes.legend(frameon=False, fontsize=8)


def _decoder(axes: Any, runs: list[dict[str, Any]]) -> None:
    """Counted share of each answer divided by its exact probability, with the 95% range of a correct decoder."""
    for (colour, marker), run in zip(((BLUE, "o"), (PURPLE, "s"), (RED, "^")), runs, strict=True):
        samples = run["samples"]
        shown = [
            (p, c / samples) for p, c in zip(run["probabilities"], run["counts"], strict=True) if samples * p >= 25
        ]
        exact, ratio = [p for p, _ in shown], [share / p for p, share in shown]
        spread = [1.96 * math.sqrt((1 - p) / (samples * p)) for p in exact]
        axes.errorbar(
            exact, ratio, spread, fmt=marker, color=colour, markersize=3.5, linewidth=0.8,
            label=f"{run['name']}: {samples:,} solves, p = {run['p_value']:.2g}",
        )  # fmt: skip
    axes.axhline(1, color=GREY, linewidth=0.8)
    axes.set(xscale="log", xlabel="exact probability of an answer", ylabel="counted / exact, with 95% intervals")
    axes.xaxis.set_minor_formatter("")
    axes.set_title("the running decoder against its law")
    axes.legend(frameon=False, fontsize=8)
