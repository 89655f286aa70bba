"""Latency and core-seconds of what tuning chose: in turn on the same problems, alone on the machine.

    taskset -c 0 python -m research.comparison time hard        one core; `-c 0,1` gives two
    taskset -c 0 python -m research.comparison time front       several n of each group, in fewer runs

Every run solves the same problems with every setting, problem by problem in an order that changes, under a sampling
seed of its own. A ratio is one of means over the problems of a run; intervals are Student's t over runs. Core-seconds
are processor time of the process. A run that was not completed begins anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from research.benchmarks.bundled import WARM_UP
from research.comparison import rows
from research.comparison.plan import TEST_SEED
from specs import load

FIRST_SEED = TEST_SEED + 9_000
WHAT = {"hard": ("hard", 6, 24), "medium": ("medium", 6, 24), "front": ("hard", 3, 12)}
"""Tier, runs and problems a run."""
SPECULATING = ("beam", "soft-beam", "dvts", "best-of-n", "majority", "one-first")
"""Groups that are timed with token-level speculation, too."""
MORE = ("specs", "specs:n=4", "specs:verify=all", "beam", "beam+speculation")
"""Settings that are timed whatever tuning chose."""


def settings(chosen: dict[str, str]) -> list[str]:
    """What is timed."""
    faster = [with_speculation(chosen[group]) for group in SPECULATING]
    return list(dict.fromkeys([*chosen.values(), *faster, *MORE]))


def with_speculation(setting: str) -> str:
    name, *options = setting.split(":")
    return ":".join([f"{name}+speculation", *options])


def measure(what: str, methods: Sequence[str], folder: Path = rows.RECORDS) -> None:
    """Make the missing runs of one of `WHAT`; the rows of a run are written when it is complete."""
    tier, runs, problems = WHAT[what]
    part = f"time-{what}-{len(os.sched_getaffinity(0))}"
    done = {row["seed"] for row in rows.read(part, folder)}
    models = load()
    for seed in range(runs):
        if seed in done:
            continue
        rng, made = np.random.default_rng(seed), []
        for problem in range(-WARM_UP, problems):
            for method in rng.permutation(methods):
                row = rows.solved(models, tier, FIRST_SEED + problem, str(method), seed)
                made += [row] if problem >= 0 else []
            print(f"\r{part}: run {seed + 1} of {runs}, problem {problem + 1} of {problems} ", end="", file=sys.stderr)
        list(rows.append(folder / f"{part}.0.jsonl", made))
    print(file=sys.stderr)
    rows.compress(part, folder)
