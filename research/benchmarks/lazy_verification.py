"""Does lazy verification draw the candidate that scoring all of them would have drawn? Zero mismatches are allowed.

    python -m research.benchmarks.lazy_verification [--decisions 1000000] [--problems 60] [--out FILE]

**Constructed decisions.** Candidates of a random small tree of tokens: copies, common beginnings, tokens that one of
the models gives probability 0, equal rewards, one candidate or eight. Each is decided three ways: `soft`, the draw
from softmax(s); `filtered`, the same among the candidates whose s is above a threshold; `best`, the highest s. A lazy
decision sees the log p of a candidate only after it has asked for it, and knows of others what the engines say:
nothing (`none`), what a server's answers imply (`answers`), or also the first token that differs (`logits`).

**Solves** of the bundled models. `specs` solves every problem of both tiers with `verify=all` and with `verify=drawn`;
answers and decisions must be the same, and replaying the first with `verify=drawn` must reproduce it. For other lengths
of steps and weights of the log-ratio, `verify=drawn` alone solves half of the problems of `hard`.

JSON last: decisions, mismatches, the share of distinct candidates and of token positions that the target read in draft
steps, and FLOPs relative to `beam`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.benchmarks.bundled import LAW, finish, solve
from specs import load
from specs.core.beginnings import beginning
from specs.core.keys import Key
from specs.core.selection import choose_best, choose_soft, first_of_equals, log_ratio, optimistic
from specs.engines.protocol import Models
from specs.methods import Method
from specs.methods.beam import Beam
from specs.methods.specs import Specs
from specs.traces.replay import ReplayEnd, replay
from specs.types import Candidate, Decision, End, Result, Role, StepPolicy

Choose = Callable[[Sequence[Candidate]], Decision]
BOUNDS = ("none", "answers", "logits")
TOKENS = 4
WEIGHTS = (0.25, 0.5, 1.0)
LENGTHS = (10, 20, 40, 80)
FIRST_SEED = 2_960_000


@dataclass(frozen=True, slots=True)
class Constructed:
    """Candidates with everything known about them."""

    candidates: list[Candidate]
    by_token: dict[tuple[int, ...], list[float]]
    """The log-probability of each token under the target."""


def constructed(rng: np.random.Generator) -> Constructed:
    """Draw the candidates of one step."""
    laws: dict[tuple[int, ...], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def law(prefix: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probabilities of the next token under draft and target."""
        if prefix not in laws:
            q, p = (chances(rng) for _ in range(2))
            laws[prefix] = q, p if rng.random() < 0.7 else q
        return laws[prefix]

    n = int(rng.integers(1, 9))
    paths: list[tuple[int, ...]] = []
    for _ in range(n):
        path: tuple[int, ...] = ()
        for _ in range(int(rng.integers(1, 5))):
            path = (*path, int(np.searchsorted(law(path)[0].cumsum(), rng.random(), "right").clip(0, TOKENS - 1)))
        paths.append(path)
    levels = rng.random(3)
    by_token: dict[tuple[int, ...], list[float]] = {}
    found: dict[tuple[int, ...], Candidate] = {}
    for path in paths:
        if path in found:
            continue
        chances_of = [(law(path[:idx]), token) for idx, token in enumerate(path)]
        log_q, by_token[path] = (
            [math.log(both[side][token]) if both[side][token] > 0 else -math.inf for both, token in chances_of]
            for side in (0, 1)
        )
        reward = float(rng.choice(levels) if rng.random() < 0.5 else rng.random())
        log_p = min(math.fsum(by_token[path]), 0.0)
        found[path] = Candidate(path, "", End.DELIMITER, log_p, math.fsum(log_q), reward)
    firsts = first_of_equals(paths)
    candidates = [replace(found[path], duplicates_of=first) for path, first in zip(paths, firsts, strict=True)]
    return Constructed(candidates, by_token)


def chances(rng: np.random.Generator) -> NDArray[np.float64]:
    """[TOKENS] random probabilities, a few of them 0."""
    weights = rng.exponential(size=TOKENS) ** 2 * (rng.random(TOKENS) > 0.1)
    return weights / weights.sum() if weights.sum() > 0 else np.full(TOKENS, 1 / TOKENS)


def ways(rng: np.random.Generator, key: Key) -> dict[str, Choose]:
    """How one step may be decided."""
    beta, weight = float(rng.choice([0.0, 2.0, 20.0])), float(rng.choice(WEIGHTS))
    threshold = float(rng.normal(beta / 2, 2.0))

    def score(candidate: Candidate) -> float:
        return beta * (candidate.reward or 0.0) + weight * log_ratio(candidate)

    def soft(candidates: Sequence[Candidate]) -> Decision:
        return choose_soft([score(candidate) for candidate in candidates], key)

    def filtered(candidates: Sequence[Candidate]) -> Decision:
        scores = [score(candidate) for candidate in candidates]
        return choose_soft([score if score > threshold else -math.inf for score in scores], key)

    def best(candidates: Sequence[Candidate]) -> Decision:
        return choose_best([score(candidate) for candidate in candidates])

    return {"soft": soft, "filtered": filtered, "best": best}


def decided_lazily(step: Constructed, choose: Choose, bounds: str) -> tuple[int | None, set[tuple[int, ...]]]:
    """The candidate that is chosen, and the paths that had to be read for it."""
    read: dict[tuple[int, ...], list[float]] = {}
    while True:
        visible = [
            c
            if c.token_ids in read
            else replace(c, log_p=None, log_p_at_most=bound(step.by_token[c.token_ids], c.token_ids, read, bounds))
            for c in step.candidates
        ]
        chosen = choose(optimistic(visible)).chosen
        if chosen is None or visible[chosen].log_p is not None:
            return chosen, set(read)
        read[visible[chosen].token_ids] = step.by_token[visible[chosen].token_ids]


def bound(
    by_token: Sequence[float], path: tuple[int, ...], read: dict[tuple[int, ...], list[float]], bounds: str
) -> float | None:
    """What is known of an unread path."""
    if bounds == "none" or not read:
        return None
    begun = beginning(path, read)
    if bounds == "logits":
        begun = by_token[: len(begun)]
    return min(math.fsum(begun), 0.0)


def contexts(paths: Iterable[tuple[int, ...]]) -> set[tuple[int, ...]]:
    """The sequences after which a model needs its law to read or write these paths."""
    return {path[:length] for path in paths for length in range(len(path))}


def positions(paths: set[tuple[int, ...]]) -> int:
    """Token positions that reading these paths takes: every distinct beginning once, without last tokens."""
    return len(contexts(paths))


def on_constructed(decisions: int, seed: int) -> dict[str, Any]:
    """Decide constructed steps lazily and at once."""
    rng = np.random.default_rng(seed)
    counts = {way: {bounds: np.zeros(6, np.int64) for bounds in BOUNDS} for way in ("soft", "filtered", "best")}
    done = 0
    while done < decisions:
        step = constructed(rng)
        whole = {candidate.token_ids for candidate in step.candidates}
        for way, choose in ways(rng, Key(rng.bytes(16))).items():
            eager = choose(step.candidates).chosen
            for bounds in BOUNDS:
                chosen, read = decided_lazily(step, choose, bounds)
                counts[way][bounds] += (
                    1,
                    chosen != eager,
                    len(read),
                    len(whole),
                    positions(read),
                    positions(whole),
                )
                done += 1
    return {
        way: {
            bounds: {
                "decisions": int(found[0]),
                "mismatches": int(found[1]),
                "candidates_read": round(found[2] / found[3], 3),
                "positions_read": round(found[4] / found[5], 3),
            }
            for bounds, found in of_way.items()
        }
        for way, of_way in counts.items()
    }


def solve_both(models: Models, tier: str, problems: int) -> dict[str, Any]:
    """Solve problems with `verify=all`, with `verify=drawn`, and with `beam`."""
    ways: dict[str, Method] = {"all": Specs(verify="all"), "drawn": Specs(verify="drawn"), "beam": Beam()}
    flops = dict.fromkeys(ways, 0.0)
    found: list[Result] = []
    decisions = mismatches = 0
    for seed in range(FIRST_SEED, FIRST_SEED + problems):
        results = {way: solve(models, method, tier, seed) for way, method in ways.items()}
        for way, result in results.items():
            assert result.flops is not None  # the models are in this process
            flops[way] += result.flops
        one, other = (
            [(r.writer, r.decision.chosen, r.accepted) for r in results[way].steps] for way in ("all", "drawn")
        )
        decisions += len(one)
        again = replay(results["all"], verify="drawn")
        mismatches += one != other or results["all"].text != results["drawn"].text
        mismatches += again.ended is not ReplayEnd.COMPLETE
        found.append(results["drawn"])
    return {
        "problems": problems,
        "decisions": decisions,
        "mismatches": mismatches,
        **shares(found),
        "flops_to_beam": {way: round(flops[way] / flops["beam"], 3) for way in ("all", "drawn")},
    }


def by_length(models: Models, problems: int) -> list[dict[str, Any]]:
    """What the target reads for other lengths of steps (in tokens) and weights of the log-ratio, on `hard`."""
    found: list[dict[str, Any]] = []
    for length in LENGTHS:
        law = replace(LAW, steps=StepPolicy.chunks(length))
        for weight in WEIGHTS:
            method = Specs(select_weight=weight)
            seeds = range(FIRST_SEED, FIRST_SEED + problems)
            results = [solve(models, method, "hard", seed, law) for seed in seeds]
            found.append({"tokens": length, "select_weight": weight, **shares(results)})
    return found


def shares(results: Sequence[Result]) -> dict[str, float]:
    """The share of distinct candidates, and of their token positions, that the target has read in draft steps."""
    read = whole = read_positions = all_positions = steps = 0
    for record in (record for result in results for record in result.steps if record.writer is Role.DRAFT):
        every = {c.token_ids for c in record.candidates}
        known = {c.token_ids for c in record.candidates if c.log_p is not None}
        steps += 1
        read, whole = read + len(known), whole + len(every)
        read_positions, all_positions = read_positions + positions(known), all_positions + positions(every)
    return {
        "draft_steps": steps,
        "candidates_a_step": round(read / steps, 3),
        "candidates_read": round(read / whole, 3),
        "positions_read": round(read_positions / all_positions, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    models = load()
    record: dict[str, Any] = {"problem_seed": FIRST_SEED, "seed": args.seed}
    record["solves"] = {tier: solve_both(models, tier, args.problems) for tier in ("hard", "medium")}
    print("solves", record["solves"], flush=True)
    record["by_length"] = by_length(models, args.problems // 2)
    record["constructed"] = on_constructed(args.decisions, args.seed)
    finish(record, args.out)


if __name__ == "__main__":
    main()
