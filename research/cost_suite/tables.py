"""The suite as Markdown: the content of `suite.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from research.cost_suite.measure import NAIVE, WAYS

TITLES = {
    "specs": "by the draft, `specs`",
    "beam": "by the target, `beam`",
    "gsi": "by the draft, `gsi`",
    "gsi, rejected": "rejected and rewritten, `gsi`",
    "rsd": "by the draft, `rsd`",
    "rsd, rejected": "rejected and rewritten, `rsd`",
    "specs, naive": "by the draft, all computed anew",
    "beam, naive": "by the target, all computed anew",
}


def tables(found: dict[str, Any]) -> str:
    """All tables of a record, as one Markdown text."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    scale, points = found["scale"], found["points"]
    limits = points["steps"]["rates"]
    yield "# Latency of steps: random weights, no accuracy"
    yield ""
    yield (
        f"{device(found['environment'])}. At best {'a core' if scale['engine'] == 'light' else 'it'} reads "
        f"{limits['bytes_per_s'] / 1e9:.0f} GB/s of weights, for as many weights as the largest model has, and "
        f"computes {limits['flops_per_s'] / 1e9:,.0f} Gflop/s in {8 * limits['number']} bits. With random weights, "
        f"rewards mean nothing: a coin or a threshold decides who writes, and steps have {scale['tokens']} tokens. "
        f"Unless stated otherwise, n = {scale['n']} after a prefix of {scale['context']} tokens, with the sizes "
        f"`{scale['trio']}`."
    )
    yield from _table("Kinds of steps", list(step_rows(points["steps"])))
    for sweep, title in (
        ("n", "Candidates"),
        ("context", "Length of the prefix"),
        ("trio", "Sizes of draft, target and PRM"),
    ):
        yield from _table(title, list(sweep_rows(points, sweep)))
    yield from _table("Shares of the draft", list(share_rows(points["shares"])))
    yield from _table(f"Recorded solves at the cost of {scale['replayed_on']}", list(replay_rows(points)))


def device(environment: dict[str, Any]) -> str:
    """Name of the GPU, or of the CPU with its number of cores."""
    return environment["gpu"] or f"{environment['cpu']}, {environment['cores']} cores"


def _table(title: str, rows: list[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield rows[0]
    yield "| " + " | ".join("---" for _ in rows[0].strip("| ").split(" | ")) + " |"
    yield from rows[1:]


def step_rows(point: dict[str, Any]) -> Iterator[str]:
    """Times, phases and floors of every kind of step."""
    yield "| a step | ms (10% to 90%) | writing | scoring | PRM | outside | over floor | over `beam` | over minimum |"
    for way in (*WAYS, *NAIVE):
        one = point["ways"][way]
        phases = one["phases_ms"]
        busy = (phases["draft"] + phases["target_generate"], phases["target_score"], phases["prm"])
        outside = f"{one['outside']:.1%}" if "outside" in one else ""
        minimum = f"{one['over_minimum']:.2f}" if "over_minimum" in one else ""
        yield (
            f"| {TITLES[way]} | {_spread(one)} | {' | '.join(map(_plain, busy))} "
            f"| {outside} | {one['ms'] / one['floor_ms']:.1f} | {_ratio(one['over_beam'])} | {minimum} |"
        ).replace("|  |", "| |")


def sweep_rows(points: dict[str, Any], sweep: str) -> Iterator[str]:
    """Times of a draft step and of a step of beam search as one quantity varies."""
    found = [(name.removeprefix(f"{sweep} "), one) for name, one in points.items() if name.startswith(f"{sweep} ")]
    naive = all(way in one["ways"] for _, one in found for way in NAIVE)
    more = "".join(f" | {TITLES[way]}" for way in NAIVE) if naive else ""
    yield f"| {sweep} | {TITLES['specs']}, ms | over its floor | {TITLES['beam']}, ms | over its floor | ratio{more} |"
    for value, one in found:
        draft, beam = one["ways"]["specs"], one["ways"]["beam"]
        cells = [f"{_spread(way)} | {way['ms'] / way['floor_ms']:.1f}" for way in (draft, beam)]
        cells.append(_ratio(draft["over_beam"]))
        cells += [_plain(one["ways"][way]["ms"]) for way in NAIVE] if naive else []
        yield f"| {value} | {' | '.join(cells)} |"


def share_rows(point: dict[str, Any]) -> Iterator[str]:
    """Time of a step relative to beam search by the draft share: measured, and predicted from the shares 0 and 1."""
    yield "| share of steps by the draft | predicted | measured |"
    for row in point["rows"]:
        yield f"| {row['share']:.2f} | {row['predicted']:.2f} | {row['measured']:.2f} |"


def replay_rows(points: dict[str, Any]) -> Iterator[str]:
    """Solves of the bundled models in the time of other models."""
    yield "| tier | method | seconds a solve | over `beam` | steps by the draft | steps | thrown away |"
    for name, point in points.items():
        if name.startswith("replayed "):
            for method, one in point["methods"].items():
                yield (
                    f"| {point['tier']} | `{method}` | {one['latency_s']:.2f} | {_ratio(one['over_beam'])} "
                    f"| {one['draft_share']:.0%} | {one['steps']:.1f} | {one['rejected']:.1f} |"
                )


def _spread(one: dict[str, float]) -> str:
    return f"{_plain(one['ms'])} ({_plain(one['low'])} to {_plain(one['high'])})"


def _plain(ms: float) -> str:
    """Milliseconds with three significant digits, or whole from 100 on; never with an exponent."""
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}" if ms >= 1 else f"{ms:.2f}" if ms else "0"


def _ratio(found: dict[str, float | None]) -> str:
    if found["low"] == found["high"] == 1:
        return "1"
    interval = "" if found["high"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]"
    return f"{found['median']:.2f}{interval}"
