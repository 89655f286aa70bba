"""Would lazy verification do better with several candidates a round, or if it stopped once a step is sure to fail?

    python -m research.benchmarks.lazy_rounds [--problems 60] [--out FILE]

`specs` solves problems of `hard` with `verify=all`. Its draft steps are then decided again with the same random
numbers, lazily, in ways that the package does not have:

- `k` candidates a round: the one that the draw falls on, and those that it would fall on if that one were impossible;
- `early`: stop as soon as every candidate that can still win would be rejected, even if its log p were at its bound.

The target's positions are those that it reads, plus those that it then still has to compute for the candidates of its
rewrite: their common beginnings with candidates that were read are free. Times are predicted from that of one pass,
`level + positions * each_position`, which is measured first (the least of several).

JSON last.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from research.benchmarks.bundled import LAW, finish, solve
from research.benchmarks.lazy_verification import contexts
from specs import load
from specs.core.beginnings import beginning
from specs.core.keys import Key
from specs.engines.protocol import Models, never_stop
from specs.methods.specs import Specs
from specs.methods.speculative import Step
from specs.types import Candidate, End, Propose, Result, Role, Trace

FIRST_SEED = 2_980_000
Path_ = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ByToken(Specs):
    """`specs` that records the log-probability of each token of the draft's candidates."""

    def propose(self, step: Step) -> Propose:
        return replace(Specs.propose(self, step), by_token=step.writer is Role.DRAFT)


METHOD = ByToken(verify="all")


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft step that the target has read whole.

    Attributes:
        noise: [n] the Gumbel variables of its draw.
        before: the reward before it.
        rewrite: the target's candidates for the same step, if it was rejected.
    """

    candidates: Sequence[Candidate]
    noise: Sequence[float]
    before: float
    chosen: int | None
    rewrite: Sequence[Candidate]


def drafted(result: Result) -> Iterator[Drafted]:
    """The draft steps of a solve."""
    key = Key.for_method(result.seed, result.prompt_token_ids)
    trace, before = Trace(result.question), 1.0
    for record, after in zip(result.steps, [*result.steps[1:], None], strict=True):
        if record.writer is Role.DRAFT:
            noise = key.fold("select", trace.token_ids).gumbels(len(record.candidates)).tolist()
            again = after.candidates if after is not None and not record.accepted else ()
            yield Drafted(record.candidates, noise, before, record.decision.chosen, again)
        if record.accepted and record.step is not None:
            trace = trace.extend(record.step, record.writer)
            before = before if record.step.reward is None else record.step.reward


def decided(step: Drafted, each: int, early: bool) -> tuple[list[Path_], int]:
    """The paths that the target reads, and the number of rounds."""
    read: dict[Path_, Sequence[float]] = {}
    rounds = 0

    def bound(c: Candidate) -> float:
        by_token = c.log_p_by_token or ()
        known = beginning(c.token_ids, read)
        return min(math.fsum(by_token[: len(known)]), 0.0)  # the engines here know the first token that differs, too

    def good(idx: int, log_p: float) -> bool:
        return METHOD.rule.good_enough(replace(step.candidates[idx], log_p=log_p), step.before, METHOD.tau)

    while True:
        bounds = [bound(c) for c in step.candidates]
        ratios = [most - (c.log_q or 0.0) for most, c in zip(bounds, step.candidates, strict=True)]
        value = [
            METHOD.beta * (c.reward or 0.0) + METHOD.select_weight * ratio + noise
            for c, ratio, noise in zip(step.candidates, ratios, step.noise, strict=True)
        ]
        order = sorted(range(len(value)), key=lambda idx: (-value[idx], idx))
        paths = [step.candidates[idx].token_ids for idx in order]
        if paths[0] in read:
            assert order[0] == step.chosen
            return list(read), rounds
        first_read = next((place for place, path in enumerate(paths) if path in read), len(paths))
        if early and not any(good(idx, bounds[idx]) for idx in order[: first_read + 1]):
            return list(read), rounds
        for path in list(dict.fromkeys(paths[:first_read]))[:each]:
            read[path] = next(c.log_p_by_token or () for c in step.candidates if c.token_ids == path)
        rounds += 1


def seconds_of_a_pass(models: Models) -> tuple[float, float]:
    """Seconds of a pass of the target over `k` positions, fitted as `a + b * k`."""
    target = models.target
    assert target is not None
    question = "How many apples are there? " * 4
    ids, used = target.prompt(question), frozenset({target.fingerprint})
    rng = np.random.default_rng(0)
    sizes, found = (1, 8, 16, 32, 64), []
    for size in sizes:
        seconds = []
        for _ in range(12):
            session = target.open(ids, used, never_stop)
            first, second = (
                Candidate(tuple(rng.integers(10, 300, count).tolist()), "x", End.DELIMITER) for count in (2, size + 1)
            )
            session.score([(Trace(question), [first])], LAW)
            begun = time.perf_counter()
            session.score([(Trace(question), [second])], LAW)
            seconds.append(time.perf_counter() - begun)
        found.append(min(seconds))
    slope, level = np.polyfit(sizes, found, 1)
    return float(level), float(slope)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    models = load()
    level, slope = seconds_of_a_pass(models)
    results = [solve(models, METHOD, "hard", FIRST_SEED + problem) for problem in range(args.problems)]
    steps = [step for result in results for step in drafted(result)]
    rows: list[dict[str, Any]] = []
    for each, early in ((99, False), (1, False), (2, False), (3, False), (1, True)):
        read = rewritten = rounds = 0
        for step in steps:
            paths, of_step = ([c.token_ids for c in step.candidates], 1) if each == 99 else decided(step, each, early)
            known = contexts(paths)
            read, rounds = read + len(known), rounds + of_step
            rewritten += len(contexts([c.token_ids for c in step.rewrite]) - known)
        per_step = (rounds * level + read * slope) / len(steps)
        rows.append(
            {
                "a_round": "all" if each == 99 else each,
                "early": early,
                "rounds": round(rounds / len(steps), 2),
                "read": round(read / len(steps), 2),
                "rewritten": round(rewritten / len(steps), 2),
                "ms": round(1e3 * per_step, 2),
            }
        )
    record = {
        "problem_seed": FIRST_SEED,
        "problems": args.problems,
        "steps": len(steps),
        "pass_ms": {"level": round(1e3 * level, 2), "each_position": round(1e3 * slope, 3)},
        "rows": rows,
    }
    finish(record, args.out)


if __name__ == "__main__":
    main()
