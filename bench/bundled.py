"""What the benchmarks on the bundled models share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from specs.bundled.problems import generate
from specs.core.statistics import median_ratio_interval
from specs.drive import stream
from specs.engine import Models
from specs.methods import Method
from specs.record import write_json
from specs.types import Law, Result, StepPolicy

LAW = Law(0.7, 1.0, StepPolicy(max_tokens=64))
WARM_UP = 2
"""Problems whose solves are not counted."""


def arguments(doc: str | None, limit: int) -> argparse.Namespace:
    """`--tier`, `--limit`, `--problem-seed` and `--out` of the command line."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", default="hard")
    parser.add_argument("--limit", type=int, default=limit)
    parser.add_argument("--problem-seed", type=int, default=1_022_500)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def solve(models: Models, method: Method, tier: str, seed: int, law: Law = LAW) -> Result:
    """One solve of one problem; ends the program if it fails."""
    result = stream(generate(tier, seed).question, models, method, law=law, seed=0).result
    if result.error is not None:
        raise SystemExit(f"a solve failed: {result.error}")
    return result


def paired(one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Latencies of one way over those of another: median over problems with its 95% interval, and of the means."""
    ratio = median_ratio_interval(one, other)
    found = {**ratio._asdict(), "of_means": float(np.sum(one) / np.sum(other))}
    return {name: round(value, 3) for name, value in found.items()}


def finish(record: dict[str, Any], out: Path | None) -> None:
    """Write the record where it is wanted, and print it last."""
    if out is not None:
        write_json(out, record, indent=1)
    print(json.dumps(record))
