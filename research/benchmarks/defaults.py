"""The comparison of settings from which the earlier defaults of n, beta, tau and temperature were chosen.

    python research/benchmarks/defaults.py --limit 300 --out research/records/defaults.json

Tuning problems (`bundled:medium` and `bundled:hard` from problem seed 2,000,000 on, which no
reported figure uses), the bundled trio, light engine. For each setting: accuracy and median latency
ratio to `beam` with the same n and temperature; methods take turns problem by problem. Prints a
table, JSON last.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

import numpy as np

from specs import load, stream
from specs.bundled.problems import generate
from specs.core.statistics import wilson
from specs.methods import Method
from specs.methods.beam import Beam
from specs.methods.registry import make

FIRST_SEED = 2_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=300, help="problems of each tier")
    parser.add_argument("--tiers", default="medium,hard")
    parser.add_argument("--n", default="8")
    parser.add_argument("--beta", default="4,8,16,32")
    parser.add_argument("--tau", default="0.5,0.7,0.9")
    parser.add_argument("--switch-on", default="step")
    parser.add_argument("--deferral", default="next,rewrite")
    parser.add_argument("--temperature", default="0.7")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    numbers = {name: [float(x) for x in getattr(args, name).split(",")] for name in ("n", "beta", "tau", "temperature")}
    models = load()
    rows = []
    for tier, temperature, n in itertools.product(args.tiers.split(","), numbers["temperature"], numbers["n"]):
        methods: list[Method] = [Beam(int(n))]
        rules = itertools.product(args.switch_on.split(","), args.deferral.split(","))
        for (switch_on, deferral), beta, tau in itertools.product(rules, numbers["beta"], numbers["tau"]):
            rule = {"switch_on": switch_on, "accept_weight": 0.0, "start": "target", "deferral": deferral}
            methods.append(make("specs", n=int(n), beta=beta, tau=tau, **rule))
        right, seconds, shares = (np.zeros((len(methods), args.limit)) for _ in range(3))
        for k in range(args.limit):
            problem = generate(tier, FIRST_SEED + k)
            for turn in range(len(methods)):
                idx = (turn + k) % len(methods)
                result = stream(problem.question, models, methods[idx], temperature=temperature).result
                right[idx, k] = result.answer == problem.answer
                seconds[idx, k] = result.latency_s
                shares[idx, k] = result.draft_share or 0.0
            if sys.stderr.isatty():
                print(f"\r{tier} {k + 1}/{args.limit}", end="", file=sys.stderr)
        for idx, method in enumerate(methods):
            low, high = wilson(int(right[idx].sum()), args.limit)
            row = {
                "tier": tier,
                "method": method.name,
                "n": int(n),
                "beta": getattr(method, "beta", None),
                "tau": getattr(method, "tau", None),
                "switch_on": getattr(method, "switch_on", None),
                "deferral": getattr(method, "deferral", None),
                "temperature": temperature,
                "accuracy": right[idx].mean(),
                "accuracy_interval": [low, high],
                "minus_beam": (right[idx] - right[0]).mean(),
                "latency_ratio_to_beam": float(np.median(seconds[idx] / seconds[0])),
                "draft_share": shares[idx].mean(),
            }
            rows.append(row)
            print(
                f"{tier:7} {method.name:6} n {n:.0f} beta {row['beta'] or 0:5.1f} tau {row['tau'] or 0:4.2f} "
                f"{row['switch_on'] or '':5} {row['deferral'] or '':7} T {temperature:.1f}  "
                f"accuracy {row['accuracy']:.3f} [{low:.3f}, {high:.3f}]  "
                f"minus beam {row['minus_beam']:+.3f}  ratio {row['latency_ratio_to_beam']:.2f}  "
                f"drafted {row['draft_share']:.0%}",
                flush=True,
            )
    report = json.dumps({"limit": args.limit, "first_seed": FIRST_SEED, "rows": rows})
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(report + "\n")
    print(report)


if __name__ == "__main__":
    main()
