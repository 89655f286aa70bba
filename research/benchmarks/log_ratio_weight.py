"""Which weight of the log-ratio keeps half of the candidates in the draw? From recorded solves, without labels.

    python -m research.benchmarks.log_ratio_weight traces.jsonl.gz [--out FILE]

For every draft step in which the target has scored all candidates and at least two of them differ, the weights
(p / q)^w alone, without rewards, leave an effective sample size of 1 to n. The mean of ESS / n over steps falls as w
grows. The script prints it for some w, and the largest w at which it is at least one half, for each length power. Only
solves of `specs` count, because other methods score under other laws.

JSON last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from research.benchmarks.bundled import finish
from specs.core.selection import effective_sample_size, log_ratio, softmax
from specs.traces.codec import read_traces
from specs.types import Result, Role

POWERS = (0.0, 0.5, 1.0)
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
SHARE = 0.5
LARGEST = 64.0
"""Weights are searched up to here."""


def log_ratios(results: Iterable[Result], length_power: float) -> list[list[float]]:
    """The log-ratios of the candidates of each step that counts, in nats."""
    return [
        [log_ratio(candidate, length_power) for candidate in record.candidates]
        for result in results
        for record in result.steps
        if record.writer is Role.DRAFT
        and all(candidate.log_p is not None for candidate in record.candidates)
        and len({candidate.token_ids for candidate in record.candidates}) > 1
    ]


def ess_share(steps: Sequence[Sequence[float]], weight: float) -> float:
    """Mean of ESS / n over steps, under softmax(weight * log-ratio)."""
    shares = []
    for ratios in steps:
        chances = softmax([weight * ratio for ratio in ratios])
        if chances is not None:
            shares.append(effective_sample_size(chances) / len(ratios))
    return float(np.mean(shares))


def largest_weight(steps: Sequence[Sequence[float]], share: float = SHARE) -> float:
    """The largest weight, to 3 digits and up to `LARGEST`, at which ESS / n is at least `share` on average."""
    low, high = 0.0, LARGEST
    if ess_share(steps, high) >= share:
        return high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if ess_share(steps, middle) >= share else (low, middle)
    return low


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results = [result for _, result in read_traces(args.traces) if result.method == "specs"]
    record: dict[str, Any] = {"solves": len(results), "share": SHARE, "by_length_power": {}}
    for power in POWERS:
        steps = log_ratios(results, power)
        if not steps:
            raise SystemExit(f"{args.traces} has no draft step in which the target has scored several candidates")
        shares = {f"{weight:g}": round(ess_share(steps, weight), 4) for weight in WEIGHTS}
        found = {"steps": len(steps), "ess_share": shares, "largest_weight": round(largest_weight(steps), 3)}
        record["by_length_power"][f"{power:g}"] = found
        print(f"length power {power:g}: largest weight {found['largest_weight']:g}; ESS / n {json.dumps(shares)}")
    finish(record, args.out)


if __name__ == "__main__":
    main()
