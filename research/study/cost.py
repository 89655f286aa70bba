"""Estimates how long a study takes, before it starts and while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from research.study.plan import LAW, LIMITS, TUNING_SEED, N, Run, by_step
from specs import api
from specs.config import SolveConfig
from specs.decoding.stream import stream
from specs.eval.datasets import load_problems
from specs.eval.runner import RunProgress

SECONDS = {
    "draft": (70, 0), "target": (400, 0), "rsd": (290, 0), "majority": (400, 45), "best-of-n": (420, 70),
    "beam-draft": (110, 5), "beam": (450, 12), "gsi": (250, 14), "specs": (260, 14), "random-switch": (300, 14),
    "oracle-route": (500, 20), "prm-free": (130, 10),
}  # fmt: skip
"""Milliseconds of a solve on `medium`: a fixed part, and what each of the n candidates adds. Only ratios are used."""
ENOUGH = 50
"""After this many units of work (`units`), the study's own pace replaces the first estimate."""
TIERS = {"easy": 0.35, "medium": 1.0, "hard": 2.2}
"""Cost of a solve relative to `medium`."""


def units(run: Run) -> float:
    """Mean cost of one solve of a run; the unit is a solve by specs with `N` candidates on `medium`."""
    points = [SECONDS[one.method.name] for one in run.points]
    spent = [fixed + each * (one.setting.n or 0) for (fixed, each), one in zip(points, run.points, strict=True)]
    fixed, each = SECONDS["specs"]
    return TIERS[run.tier] * sum(spent) / len(spent) / (fixed + each * N)


def seconds_per_unit(solves: int = 5) -> float:
    """Median seconds of a unit of work (`units`), measured now on this machine."""
    models = api.load()
    problems = load_problems("bundled:medium", TUNING_SEED, solves)
    took = [
        stream(one.question, models, SolveConfig(by_step(), LAW, LIMITS)).result.latency_s
        for one in (problems[0], *problems)
    ]
    return median(took[1:])


class Board:
    """The remaining work of a study and its pace.

    Attributes:
        left: number of missing solves, by the path of their run.
    """

    def __init__(self, jobs: int, unit_s: float) -> None:
        self.left: dict[str, int] = {}
        self._runs: dict[str, Run] = {}
        self._jobs, self._unit_s = jobs, unit_s
        self._start, self._spent, self._known = time.monotonic(), 0.0, 0.0

    def know(self, runs: Iterable[Run], left: Mapping[str, int]) -> None:
        """Add runs, or replace those with the same paths; `left` has the missing solves of each."""
        self._spent += self._known - self._ahead()
        self._runs |= {run.path: run for run in runs}
        self.left |= left
        self._known = self._ahead()

    def seconds(self, run: Run) -> float:
        """Seconds that the rest of a run takes on one core."""
        return self.left[run.path] * units(run) * self._unit_s

    def cpu_seconds(self) -> float:
        return sum(self.seconds(run) for run in self._runs.values())

    def seconds_left(self) -> float:
        """Seconds until the end, by the pace so far, or by the first measurement until `ENOUGH` units are done."""
        spent = self._spent + self._known - self._ahead()
        latency_model = (time.monotonic() - self._start) / spent if spent > ENOUGH else self._unit_s
        return self._ahead() * latency_model

    def standing(self, busy: Sequence[Run]) -> RunProgress:
        total = sum(run.problems * len(run.points) for run in self._runs.values())
        title = ", ".join(run.path for run in busy)
        return RunProgress(total - sum(self.left.values()), total, self.seconds_left(), title=title)

    def _ahead(self) -> float:
        """Units of work that are left; those of runs that share the machine are divided by the number of jobs."""
        return sum(self.left[path] * units(run) / (1 if run.alone else self._jobs) for path, run in self._runs.items())
