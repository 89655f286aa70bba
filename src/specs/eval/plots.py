"""Draws plots as SVG for pages with a light or dark background.

matplotlib does not know `currentColor`, so plots use a placeholder colour, which `svg_figure` replaces in the SVG.
"""

# pyright: reportUnknownMemberType=false
# matplotlib is partly untyped.
from __future__ import annotations

import io
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from specs.errors import InputError, install_command

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INK = "#010203"
"""Placeholder for the page's text colour."""
COLOURS = ("#3b7dd8", "#e0852b", "#2f9e62", "#c44e9b", "#8a6fd1", "#1ba3b8", "#b8960c", "#e05252", "#8c8c8c", "#a0703c")


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot with its caption."""

    svg: str
    title: str
    caption: str


def require_matplotlib() -> None:
    """Raise `InputError` if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise InputError(f"figures need matplotlib: {install_command('eval')}")


def new_canvas(height: float, width: float = 8.2) -> Canvas:
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height), layout="constrained", facecolor="none")


def style_axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.set_facecolor("none")
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(color=INK, alpha=0.12, lw=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)


def add_legend(canvas: Canvas, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        canvas.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8, labelcolor=INK)


def save_figure(canvas: Canvas, folder: Path, name: str) -> None:
    """Write NAME.svg and NAME.png with a white background; equal figures give equal bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": name}):
        for ending, metadata in (("svg", {"Date": None}), ("png", {})):
            canvas.savefig(folder / f"{name}.{ending}", facecolor="white", dpi=130, metadata=metadata)


def svg_figure(canvas: Canvas, title: str, caption: str) -> Figure:
    """The canvas as SVG to embed in a page, in the page's text colour; equal canvases give equal text."""
    import matplotlib

    # Text stays text, in the page's font; with a fixed salt, equal figures give equal bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        drawn = io.StringIO()
        canvas.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = drawn.getvalue()
    # Remove ids that nothing refers to: they would repeat in every figure of the page.
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if f"#{found[1]}" in svg else "", svg[svg.index("<svg") :])
    return Figure(svg.replace(INK, "currentColor"), title, caption)
