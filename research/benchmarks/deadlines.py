"""Deadlines: how many answers come in time, and their accuracy compared with the best fixed setting of the same budget.

    python -m research.benchmarks.deadlines [--tier medium] [--limit N] [--tuning N] [--problem-seed SEED] [--out FILE]

The usual latency at a problem is the median latency of the default `specs` on the last `WINDOW` problems. The usual
step is the mean wall time of their steps. So both follow the speed of the machine, which others may use. Deadlines are
30, 60 and 100% of the usual latency.

1. Tuning problems (from `TUNING_SEED` on): a grid of methods and settings takes turns, problem by problem. The rival at
   a deadline is the setting that is right most often among those whose p95 latency, relative to the usual latency, fits
   the budget. There are two budgets: the deadline, and the deadline plus one usual step, which is the time that `specs`
   with a deadline may take.
2. Test problems (from `--problem-seed` on): `specs` with each deadline, the rivals and the `OTHERS` take turns. A solve
   is in time if it ends within the deadline plus one usual step. Accuracies are compared problem by problem; a rival's
   answers count even if they are late. The record also has, for all these settings, the share that is right and in
   time.

"Not worse" is non-inferiority by `MARGIN` (docs/eval.md). JSON last.
"""

from __future__ import annotations

import argparse
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from research.benchmarks.bundled import finish, right, solve
from specs import load
from specs.config import Limits
from specs.core.statistics import non_inferior, paired_difference, percentiles, wilson
from specs.decoding.latency_model import LatencyModel, kind_of
from specs.engines.protocol import Models
from specs.methods import Method
from specs.methods.registry import make
from specs.types import Finish, Result

TUNING_SEED = 2_464_000
WINDOW = 21
SHARES = (0.3, 0.6, 1.0)
MARGIN = 0.03
USUAL = "specs n=8"
OTHERS = ("draft", "beam-draft n=8", "specs score=raw n=2", USUAL)
"""Settings that are always compared, whether they fit a budget or not."""
FIXED: dict[str, Method] = {
    "draft": make("draft"),
    "target": make("target"),
    **{f"specs n={n}": make("specs", n=n) for n in (1, 2, 4, 8, 16)},
    **{f"specs score=raw n={n}": make("specs", n=n, select_weight=0.0, accept_weight=0.0) for n in (1, 2, 4)},
    **{f"beam-draft n={n}": make("beam-draft", n=n) for n in (2, 4, 8, 16)},
    **{f"beam n={n}": make("beam", n=n) for n in (1, 4)},
    **{f"gsi threshold=0.7 n={n}": make("gsi", n=n, threshold=0.7) for n in (1, 4, 8)},
    **{f"rsd tau={tau}": make("rsd", tau=tau) for tau in (0.3, 0.5, 0.7, 0.9)},
    "best-of-n n=2": make("best-of-n", n=2),
}


@dataclass
class Usual:
    """The usual latency and the usual step of the last solves by the default `specs`, in seconds.

    Attributes:
        solves: the last `WINDOW` solves.
        latencies_s, steps_s: usual latency and usual step at the beginning of each problem.
    """

    solves: deque[Result] = field(default_factory=lambda: deque(maxlen=WINDOW))
    latencies_s: list[float] = field(default_factory=list)
    steps_s: list[float] = field(default_factory=list)

    @property
    def latency_s(self) -> float:
        return float(np.median(latencies(self.solves)))

    def note(self) -> None:
        self.latencies_s.append(self.latency_s)
        self.steps_s.append(float(np.mean([step.seconds.wall for one in self.solves for step in one.steps])))


def in_turn(
    models: Models,
    ways: Mapping[str, tuple[Method, float | None]],
    usual: Usual,
    latency_model: LatencyModel,
    args: argparse.Namespace,
    seed: int,
    limit: int,
) -> dict[str, list[Result]]:
    """Solve `limit` problems from problem seed `seed` on with each of `ways`, in turn; returns the results.

    Args:
        ways: a method and its deadline as a multiple of the usual latency (None for no deadline), by name.
        usual: must have, or first gets, `WINDOW` solves of the default `specs`.
        latency_model: learns from the default `specs` and from solves with a deadline.
    """
    order = list(ways)
    solves: dict[str, list[Result]] = {way: [] for way in order}
    while len(usual.solves) < WINDOW:
        place = seed - WINDOW + len(usual.solves)
        usual.solves.append(solve(models, FIXED[USUAL], args.tier, place, latency_model=latency_model))
    for k in range(-1, limit):
        if k >= 0:
            usual.note()
        for way in order if k % 2 else reversed(order):
            method, share = ways[way]
            limits = Limits(deadline_s=None if share is None else share * usual.latency_s)
            known = latency_model if way == USUAL or share is not None else None
            result = solve(models, method, args.tier, seed + k, limits=limits, latency_model=known)
            if k >= 0:
                solves[way].append(result)
        if k >= 0:
            usual.solves.append(solves[USUAL][-1])
    return solves


def latencies(results: Iterable[Result]) -> list[float]:
    return [result.latency_s for result in results]


def share_of(values: Sequence[float]) -> dict[str, Any]:
    """The share of problems with value 1, with its 95% Wilson interval."""
    low, high = wilson(sum(values), len(values))
    return {"mean": round(float(np.mean(values)), 4), "low": round(low, 4), "high": round(high, 4)}


def summary(results: Sequence[Result], scores: Sequence[float], usual: Usual) -> dict[str, Any]:
    """Accuracy, latency in seconds, and the 95th percentile of latencies relative to the usual one (`p95`)."""
    relative = [one / at for one, at in zip(latencies(results), usual.latencies_s, strict=True)]
    median, p95 = percentiles(latencies(results), (50, 95))
    return {
        "accuracy": share_of(scores),
        "p50_s": round(median, 4),
        "p95_s": round(p95, 4),
        "p95": round(percentiles(relative, (95,))[0], 3),
    }


def best(settings: Mapping[str, Mapping[str, Any]], budget: float) -> str | None:
    """The setting with the best accuracy among those whose `p95` is within `budget`.

    Of equally accurate settings the faster one; None if none fits.
    """
    fitting = [name for name, one in settings.items() if one["p95"] <= budget]
    return max(fitting, key=lambda name: (settings[name]["accuracy"]["mean"], -settings[name]["p50_s"]), default=None)


def done(results: Sequence[Result]) -> dict[str, float]:
    """Mean number of steps a solve, by kind of step and number of candidates, and of rewritten steps."""
    counts = Counter(f"{kind_of(step)} n={len(step.candidates)}" for one in results for step in one.steps)
    found = {name: round(count / len(results), 3) for name, count in sorted(counts.items())}
    return found | {"rewritten": round(sum(not s.accepted for one in results for s in one.steps) / len(results), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", default="medium")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--tuning", type=int, default=100)
    parser.add_argument("--problem-seed", type=int, default=1_022_500)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    models, latency_model, tier = load(), LatencyModel(), args.tier

    tuning = Usual()
    fixed = {name: (method, None) for name, method in FIXED.items()}
    tuned = in_turn(models, fixed, tuning, latency_model, args, TUNING_SEED, args.tuning)
    settings = {name: summary(one, right(one, tier, TUNING_SEED), tuning) for name, one in tuned.items()}
    step = float(np.mean(tuning.steps_s)) / float(np.mean(tuning.latencies_s))
    rivals = {
        share: {"deadline": best(settings, share), "with_a_step": best(settings, share + step)} for share in SHARES
    }

    usual = Usual(tuning.solves)
    timed = {f"{share:.0%}": (FIXED[USUAL], share) for share in SHARES}
    names = {name: None for pair in rivals.values() for name in (*pair.values(), *OTHERS) if name}
    chosen = {name: fixed[name] for name in names}
    solves = in_turn(models, timed | chosen, usual, latency_model, args, args.problem_seed, args.limit)
    scores = {name: right(one, tier, args.problem_seed) for name, one in solves.items()}

    def in_time(name: str, share: float, steps: float) -> list[float]:
        """1.0 for each solve that ended within its deadline plus `steps` usual steps, 0.0 for others."""
        at = zip(latencies(solves[name]), usual.latencies_s, usual.steps_s, strict=True)
        return [float(took <= share * latency + steps * step) for took, latency, step in at]

    rows: dict[str, Any] = {}
    for share in SHARES:
        name = f"{share:.0%}"
        met = {one: np.multiply(scores[one], in_time(one, share, 1)).tolist() for one in (name, *names)}
        rows[name] = {
            **summary(solves[name], scores[name], usual),
            "in_time": share_of(in_time(name, share, 1)),
            "before_the_deadline": share_of(in_time(name, share, 0)),
            "answered": share_of([float(one.answer is not None) for one in solves[name]]),
            "finish_deadline": share_of([float(one.finish_reason is Finish.DEADLINE) for one in solves[name]]),
            "steps": done(solves[name]),
            "right_in_time": {"with the deadline" if one == name else one: share_of(met[one]) for one in met},
        }
        for budget, rival in rivals[share].items():
            if rival is None:
                rows[name][f"rival_{budget}"] = None
                continue
            difference = paired_difference(scores[name], scores[rival], range(args.limit))
            rows[name][f"rival_{budget}"] = {
                "setting": rival,
                **summary(solves[rival], scores[rival], usual),
                "minus_rival": {key: round(value, 4) for key, value in difference._asdict().items()},
                "verdict": non_inferior(difference.lower_bound, MARGIN, difference.discordant),
            }
        print(name, rows[name], flush=True)
    record = {
        "tier": tier,
        "problems": args.limit,
        "problem_seed": args.problem_seed,
        "tuning_problems": args.tuning,
        "tuning_seed": TUNING_SEED,
        "window": WINDOW,
        "margin": MARGIN,
        "usual_s": round(float(np.median(usual.latencies_s)), 4),
        "usual_step": round(float(np.mean(usual.steps_s)) / float(np.mean(usual.latencies_s)), 3),
        "fixed": {name: summary(solves[name], scores[name], usual) for name in names},
        "deadlines": rows,
        "fixed_settings_on_tuning_problems": settings,
    }
    finish(record, args.out)


if __name__ == "__main__":
    main()
