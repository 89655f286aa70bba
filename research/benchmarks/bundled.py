"""Code that the benchmarks on the bundled models share."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from specs.bundled.problems import generate
from specs.config import Limits, SolveConfig
from specs.core.statistics import median_ratio_interval
from specs.decoding.latency_model import LatencyModel
from specs.decoding.stream import stream
from specs.engines.protocol import Models
from specs.eval.grading import correct
from specs.methods import Method
from specs.traces.schema import write_json
from specs.types import Result, SamplingParams, StepPolicy

LAW, LIMITS = SamplingParams(0.7, 1.0, StepPolicy(max_tokens=64)), Limits()
WARM_UP = 2
"""Number of problems that are solved first and not counted."""


def arguments(doc: str | None, limit: int, **more: type) -> argparse.Namespace:
    """Options from the command line: `--tier`, `--limit`, `--problem-seed`, `--out` and `more` (name and type).

    Args:
        doc: description for `--help`.
        limit: default number of problems.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", default="hard")
    parser.add_argument("--limit", type=int, default=limit)
    parser.add_argument("--problem-seed", type=int, default=1_022_500)
    parser.add_argument("--out", type=Path)
    for name, kind in more.items():
        parser.add_argument(f"--{name}", type=kind)
    return parser.parse_args()


def solve(
    models: Models,
    method: Method,
    tier: str,
    seed: int,
    law: SamplingParams = LAW,
    limits: Limits = LIMITS,
    latency_model: LatencyModel | None = None,
) -> Result:
    """Solve one problem; ends the program if the solve fails.

    Args:
        seed: problem seed.
        law: sampling parameters.
        latency_model: plans a deadline of `limits`, and learns from the solve.
    """
    result = stream(
        generate(tier, seed).question, models, SolveConfig(method, law, limits), latency_model=latency_model
    ).result
    if result.error is not None:
        raise SystemExit(f"a solve failed: {result.error}")
    return result


def paired(one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Latency ratio of two ways to solve the same problems: median over problems with its 95% interval, and the ratio
    of the means (`of_means`)."""
    ratio = median_ratio_interval(one, other)
    found = {**ratio._asdict(), "of_means": float(np.sum(one) / np.sum(other))}
    return {name: round(value, 3) for name, value in found.items()}


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean over runs and the ends of its 95% interval (Student's t)."""
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def right(results: Sequence[Result], tier: str, seed: int) -> list[float]:
    """1.0 for each right answer and 0.0 for others; `results` are of the problems from problem seed `seed` on."""
    wanted = [generate(tier, seed + k).answer for k in range(len(results))]
    return [float(correct(one.answer, answer) is True) for one, answer in zip(results, wanted, strict=True)]


def finish(record: dict[str, Any], out: Path | None) -> None:
    """Write the record to `out`, if given, and print it as one line of JSON."""
    if out is not None:
        write_json(out, record, indent=1)
    print(json.dumps(record))
