"""Effect of token-level speculation on latency on this machine, and how often the target accepts a guessed token.

    python -m research.benchmarks.speculation [--tier hard] [--limit N] [--problem-seed SEED] [--out FILE]

1. Every method takes turns without and with speculation, problem by problem. Ratios of latencies are paired:
   median over problems with its 95% bootstrap interval. No token may differ.
2. At every token of the traces of `beam`: the probability that draws from p and q with the same uniform agree,
   and 1 - TV(p, q), the upper bound for any way of proposing one token.

JSON last.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from research.benchmarks.bundled import LAW, WARM_UP, arguments, finish, paired, solve
from specs import load
from specs.core.sampling import log_law
from specs.engines.local.models import LocalPolicy
from specs.engines.protocol import Models
from specs.methods.registry import make
from specs.types import Result, Role

METHODS = ("target", "beam", "gsi", "specs")
TOKENS = (4, 8, 16)
"""Numbers of tokens that the draft guesses at a time with `beam`; other methods use their default."""


def law_after(policy: LocalPolicy, result: Result) -> np.ndarray:
    """[tokens, V] laws from which each token of the answer is drawn, under a model."""
    prompt = result.prompt_token_ids[Role.TARGET]
    ids = np.array([*prompt, *(token for step in result.accepted if step.step for token in step.step.token_ids)])
    wanted = np.arange(len(prompt) - 1, len(ids) - 1)
    rows = policy.backend.forward(policy.backend.cache(), ids, np.arange(len(ids)), None, wanted)
    return np.exp(log_law(rows.astype(np.float64), LAW))


def agreement(models: Models, result: Result) -> tuple[np.ndarray, np.ndarray]:
    """For each token of the answer [tokens]: the probability that p and q draw the same token with the same uniform,
    and 1 - TV(p, q)."""
    p, q = (law_after(cast(LocalPolicy, model), result) for model in (models.target, models.draft))
    upper = np.minimum(p.cumsum(1), q.cumsum(1))
    lower = np.maximum(p.cumsum(1) - p, q.cumsum(1) - q)
    return np.maximum(0.0, upper - lower).sum(1), np.minimum(p, q).sum(1)


def main() -> None:
    args = arguments(__doc__, 60)
    models = load()
    ways = {name: make(name) for name in METHODS}
    ways |= {f"{name}+speculation": make(f"{name}+speculation") for name in METHODS}
    ways |= {f"beam+speculation {tokens}": make("beam+speculation", speculate=tokens) for tokens in TOKENS}
    solves: dict[str, list[Result]] = {way: [] for way in ways}
    same: list[np.ndarray] = []
    most: list[np.ndarray] = []
    for k in range(-WARM_UP, args.limit):
        results = {}
        for way in list(ways) if k % 2 else reversed(ways):
            results[way] = solve(models, ways[way], args.tier, args.problem_seed + k % args.limit)
        for way, result in results.items():
            if result.text != results[way.split("+")[0]].text:
                raise SystemExit(f"{way} wrote another answer to problem {args.problem_seed + k % args.limit}")
            if k >= 0:
                solves[way].append(result)
        if k >= 0:
            one, other = agreement(models, results["beam"])
            same.append(one)
            most.append(other)
    latency = {way: [result.latency_s for result in found] for way, found in solves.items()}
    use = {way: [result.usage[Role.TARGET] for result in found] for way, found in solves.items()}
    record: dict[str, Any] = {
        "tier": args.tier,
        "problems": args.limit,
        "problem_seed": args.problem_seed,
        "tokens": sum(map(len, same)),
        "agree": round(float(np.concatenate(same).mean()), 4),
        "one_less_tv": round(float(np.concatenate(most).mean()), 4),
        "latency_s": {way: round(float(np.mean(found)), 4) for way, found in latency.items()},
        "target_in_vain": {
            way: round(sum(one.speculated for one in found) / sum(one.processed for one in found), 3)
            for way, found in use.items()
        },
    }
    for way in ways:
        if "+" in way:
            record[f"{way} / {way.split('+')[0]}"] = paired(latency[way], latency[way.split("+")[0]])
    pairs = [("specs", "beam"), ("specs", "beam+speculation"), ("specs+speculation", "beam+speculation")]
    pairs += [("specs+speculation", "beam"), ("gsi", "beam"), ("gsi+speculation", "beam+speculation")]
    for one, other in pairs:
        record[f"{one} / {other}"] = paired(latency[one], latency[other])
    finish(record, args.out)


if __name__ == "__main__":
    main()
