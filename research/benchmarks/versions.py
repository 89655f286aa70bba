"""Tests whether this checkout is slower than another one: both run the same solves in turn, each in its own process.

    git worktree add ../old COMMIT
    python -m research.benchmarks.versions --old ../old --limit 160 --runs 3 [--methods beam,target,specs]

By default the methods are `beam` and `target`, whose tokens do not depend on the rule of draws. The script ends with an
error unless both versions write the same tokens. Each run gives the ratio of mean latencies, new over old; the result
is the mean over runs with a one-sided 95% lower bound (Student's t). Bundled trio, light engine, alone on the machine.
Prints JSON last.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np
from scipy.stats import t

from research.benchmarks.bundled import arguments, finish

METHODS = "beam,target"
WARM_UP = 5
_WORKER = """
import json, sys
from specs import load, solve
from specs.bundled.problems import generate
models = load()
for line in sys.stdin:
    tier, seed, method = json.loads(line)
    result = solve(generate(tier, seed).question, models, method)
    assert result.error is None, result.error
    tokens = [record.step.token_ids for record in result.accepted]
    print(json.dumps([result.latency_s, tokens]), flush=True)
"""


class Version:
    """A process that solves with the sources of one checkout."""

    def __init__(self, checkout: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def solve(self, tier: str, seed: int, method: str) -> tuple[float, list[list[int]]]:
        """Latency in seconds, and the tokens of every step."""
        asked, answers = _pipes(self._process)
        asked.write(json.dumps([tier, seed, method]) + "\n")
        asked.flush()
        return json.loads(answers.readline())

    def close(self) -> None:
        _pipes(self._process)[0].close()
        self._process.wait()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def main() -> None:
    args = arguments(__doc__, 160, old=Path, runs=int, methods=str)
    here = Path(__file__).parents[2]
    methods = (args.methods or METHODS).split(",")
    ratios: dict[str, list[float]] = {method: [] for method in methods}
    for run in range(args.runs or 3):
        versions = {"new": Version(here), "old": Version(args.old.resolve())}
        spent = {(name, method): 0.0 for name in versions for method in methods}
        for k in range(-WARM_UP, args.limit):
            for method in methods:
                tokens = []
                for name in versions if (k + run) % 2 else reversed(versions):
                    seconds, written = versions[name].solve(args.tier, args.problem_seed + k, method)
                    tokens.append(written)
                    spent[name, method] += seconds if k >= 0 else 0.0
                if tokens[0] != tokens[1]:
                    raise SystemExit(
                        f"{method}: the two versions write different tokens on problem {args.problem_seed + k}"
                    )
        for method in methods:
            ratios[method].append(spent["new", method] / spent["old", method])
        print({method: round(found[-1], 3) for method, found in ratios.items()}, file=sys.stderr, flush=True)
        for version in versions.values():
            version.close()
    record = {"tier": args.tier, "problems": args.limit, "problem_seed": args.problem_seed}
    for method, found in ratios.items():
        error = np.std(found, ddof=1) / np.sqrt(len(found))
        record[method] = {
            "new_over_old": round(float(np.mean(found)), 4),
            "runs": [round(ratio, 4) for ratio in found],
            "lower_bound_one_sided": round(float(np.mean(found) - t.ppf(0.95, len(found) - 1) * error), 4),
        }
    finish(record, args.out)


if __name__ == "__main__":
    main()
