"""Compares predictions from before the first run on a GPU with the records.

    python -m research.benchmarks.gpu.predictions [FOLDER]

prints the tables; FOLDER holds the records (default: research/records).

Predictions are for one H100, the sizes of the paper's models (Qwen2.5 1.5B, 7B and 7B, bf16), 8 candidates, and steps
of 60 tokens after a prefix of 1,024. They were derived from the code and from the GPU's data sheet, and are never
changed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "records"
PARTS = ("facts", "laws", "passes", "suite", "torch")

Records = dict[str, dict[str, Any]]
"""The `found` of each point, by part and then by the point's name."""


@dataclass(frozen=True, slots=True)
class Time:
    """A time in milliseconds, or a ratio.

    Attributes:
        floor: lower bound from reading memory and arithmetic.
        as_written: prediction for the engine as it was at the time.
        engineered: prediction with every known improvement, in bf16.
        fp8: the same with weights of eight bits.
        measured: reads the value from the records; KeyError or TypeError if it is not there.
    """

    name: str
    floor: float
    as_written: float
    engineered: float
    fp8: float
    measured: Callable[[Records], float]


@dataclass(frozen=True, slots=True)
class Claim:
    """Another prediction, as text; `measured` returns the measured value as text."""

    name: str
    predicted: str
    measured: Callable[[Records], str]


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal: the measured value should be at most `most`."""

    name: str
    most: float
    measured: Callable[[Records], float]


def a_pass(role: str, tokens: int, way: str) -> Callable[[Records], float]:
    return lambda records: float(records["passes"][f"{role} behind 1024"][str(tokens)][way]["device_ms"][0])


def a_step(way: str) -> Callable[[Records], float]:
    return lambda records: float(records["suite"]["steps"]["ways"][way]["ms"])


def ratio(one: Callable[[Records], float], other: Callable[[Records], float]) -> Callable[[Records], float]:
    return lambda records: one(records) / other(records)


DRAFTS, WRITES, SCORES = (
    a_pass("draft", 8, "recorded"),
    a_pass("target", 8, "recorded"),
    a_pass("target", 480, "called"),
)
D_OVER_B = ratio(a_step("specs"), a_step("beam"))

TIMES = (
    Time("a token of 8 candidates, draft", 0.93, 5.2, 1.9, 1.2, DRAFTS),
    Time("a token of 8 candidates, target", 4.24, 8.7, 5.7, 3.2, WRITES),
    Time("480 tokens scored, target", 6.9, 22, 11, 6.5, SCORES),
    Time("488 tokens rated, PRM", 6.2, 20, 10, 6, a_pass("prm", 480, "called")),
    Time("a step by the draft, `D`", 69, 354, 135, 85, a_step("specs")),
    Time("a step of `beam`, `B`", 261, 542, 352, 198, a_step("beam")),
    Time("`D / B`", 0.26, 0.65, 0.38, 0.43, D_OVER_B),
)


def plan(records: Records) -> str:
    """Time that the first call of cuDNN's attention with a new shape takes in addition to later calls."""
    found = [
        one for name, one in records["facts"]["attention"].items() if name.startswith("cudnn") and "first_ms" in one
    ]
    extra = [one["first_ms"] - one["wall_ms"][0] for one in found]
    return f"{min(extra):.1f} to {max(extra):.1f} ms"


def kernels(tokens: str, what: str) -> Callable[[Records], str]:
    return lambda records: f"{records['passes']['profile'][tokens][what]:,.0f}"


def failures(dtype: str) -> Callable[[Records], str]:
    return lambda records: str(records["laws"]["speculation in bf16"][dtype]["solves_that_differ"])


def changed(records: Records) -> str:
    found = records["laws"]["rounding in bf16"]["bf16"]
    return f"{found['chosen_differently'] / found['steps']:.1%} of {found['steps']}"


def passed(point: str) -> Callable[[Records], str]:
    return lambda records: f"{records['laws'][point]['passed']} passed"


def memory(records: Records) -> str:
    found = records["passes"]["memory"]
    return f"{found['bytes'] / 2**30:.1f} GiB, at most {found['peak'] / 2**30:.1f}"


CLAIMS = (
    Claim("the engine's tests on CUDA", "pass", passed("tests of the engine")),
    Claim("the laws on CUDA, fp32", "pass", passed("tests of the laws")),
    Claim("steps chosen differently in bf16 than from scratch", "1.7%, as on a CPU", changed),
    Claim("solves of `beam` that speculation changes in fp32", "0", failures("fp32")),
    Claim("the same in bf16", "more than 0", failures("bf16")),
    Claim("a plan of cuDNN's attention for a new shape", "23 to 37 ms", plan),
    Claim("kernels of a recorded pass over 8 tokens, target", "1,168", kernels("8 tokens", "kernels")),
    Claim("kernels of a called pass over 480 tokens, target", "1,205", kernels("480 tokens", "kernels")),
    Claim("memory of three models with four solves each", "fits on a card of 80 GB", memory),
)

GOALS = (
    Goal(
        "a token of 8 candidates of the target over its floor", 1.5,
        lambda records: WRITES(records) / records["passes"]["target behind 1024"]["8"]["floor_ms"],
    ),
    Goal("`D / B`", 0.45, D_OVER_B),
    Goal("480 tokens scored over a token of 8 candidates, target", 2.2, ratio(SCORES, WRITES)),
)  # fmt: skip


def read(folder: Path, prefix: str = "") -> Records:
    """The measurements of all records `{prefix}PART.json` in a folder."""
    points = _points(folder, prefix)
    return {part: {name: one["found"] for name, one in some.items() if "found" in one} for part, some in points.items()}


def measured_on(folder: Path, prefix: str = "") -> str:
    """A sentence that names the GPUs of the records."""
    found = {
        f"{one['on']['gpu'] or 'a CPU'} (torch {one['on']['torch']})"
        for some in _points(folder, prefix).values()
        for one in some.values()
    }
    return f"Measured on {' and '.join(sorted(found))}." if found else "Not run on a GPU yet."


def _points(folder: Path, prefix: str) -> Records:
    found: Records = {}
    for part in PARTS:
        path = folder / f"{prefix}{part}.json"
        found[part] = json.loads(path.read_text(encoding="utf-8"))["points"] if path.exists() else {}
    return found


def lines(records: Records) -> Iterator[str]:
    """The three tables as Markdown lines; cells without a measurement are empty."""
    yield "| ms | floor | as written | engineered, bf16 | FP8 | measured |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for time in TIMES:
        cells = (time.floor, time.as_written, time.engineered, time.fp8)
        yield row(time.name, *(f"{value:g}" for value in cells), cell(lambda: f"{time.measured(records):.3g}"))  # noqa: B023
    yield ""
    yield "| | predicted | measured |"
    yield "| --- | --- | --- |"
    for claim in CLAIMS:
        yield row(claim.name, claim.predicted, cell(lambda: claim.measured(records)))  # noqa: B023
    yield ""
    yield "| goal | at most | measured |"
    yield "| --- | --- | --- |"
    for goal in GOALS:
        yield row(goal.name, f"{goal.most:g}", cell(lambda: f"{goal.measured(records):.2f}"))  # noqa: B023


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def cell(measured: Callable[[], str]) -> str:
    try:
        return measured()
    except (KeyError, TypeError, ValueError):  # not in the records
        return ""


def main() -> None:
    where = (Path(sys.argv[1]), "") if len(sys.argv) > 1 else (RESULTS, "gpu-")
    print(f"{measured_on(*where)}\n")
    print("\n".join(lines(read(*where))))


if __name__ == "__main__":
    main()
