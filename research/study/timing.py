"""Latency and core-seconds of what tuning chose: in turn on the same problems, alone on the machine.

    taskset -c 0 python -m research.study time hard        one core; `-c 0,1` gives two
    taskset -c 0 python -m research.study time front       several n of each group, in fewer runs

A run has problems and a sampling seed of its own, and solves each problem with every setting, in an order that changes.
A ratio is one of means over the problems of a run; intervals are Student's t over runs, so they cover problems as well
as the machine. Core-seconds are processor time of the process. A run that was not completed begins anew.

`specs` uses a second core by running two models at the same time, a target-side search cannot. So on two cores, each
of these is timed a second time with two threads for every pass (`THREADS`), and its better time counts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np

from research.benchmarks.bundled import WARM_UP
from research.study import rows
from research.study.plan import TEST_SEED
from specs import load
from specs.engines.local.onnx import backend
from specs.engines.protocol import Models
from specs.methods.token_speculation import SUFFIX

FIRST_SEED = TEST_SEED + 9_000
WHAT = {"hard": ("hard", 6, 12), "medium": ("medium", 6, 12), "front": ("hard", 3, 6)}
"""Tier, runs and problems a run."""
SPECULATING = ("beam", "soft-beam", "dvts", "best-of-n", "majority", "one-first")
"""Groups that are timed with token-level speculation, too."""
TARGET_SIDE = (*SPECULATING, "soft-best-of-n", "weighted-majority", "adaptive-majority", "target")
THREADS = ", 2 threads"
MORE = ("specs", "specs:n=4", "specs:verify=all", "beam", "beam+speculation")
"""Settings that are timed whatever tuning chose."""


def settings(chosen: dict[str, str]) -> list[str]:
    """What is timed."""
    faster = [with_speculation(chosen[group]) for group in SPECULATING]
    return list(dict.fromkeys([*chosen.values(), *faster, *MORE]))


def with_speculation(setting: str) -> str:
    name, *options = setting.split(":")
    return ":".join([name + SUFFIX, *options])


def measure(what: str, methods: Sequence[str], folder: Path = rows.RECORDS) -> None:
    """Make the missing runs of one of `WHAT`; the rows of a run are written when it is complete."""
    tier, runs, problems = WHAT[what]
    part = f"time-{what}-{len(os.sched_getaffinity(0))}"
    done = {row["seed"] for row in rows.read(part, folder)}
    models, threaded = load(), with_two_threads() if what != "front" and len(os.sched_getaffinity(0)) == 2 else None
    turns = [(method, models) for method in methods]
    if threaded is not None:
        turns += [(method + THREADS, threaded) for method in methods if searches_with_the_target(method)]
    for seed in range(runs):
        if seed in done:
            continue
        rng, made, first = np.random.default_rng(seed), [], FIRST_SEED + seed * problems
        for problem in range(-WARM_UP, problems):
            for turn in rng.permutation(len(turns)):
                label, trio = turns[turn]
                row = rows.solved(trio, tier, first + problem, label.removesuffix(THREADS), seed)
                made += [{**row, "method": label}] if problem >= 0 else []
            print(f"\r{part}: run {seed + 1} of {runs}, problem {problem + 1} of {problems} ", end="", file=sys.stderr)
        list(rows.append(folder / f"{part}.0.jsonl", made))
    print(file=sys.stderr)
    rows.compress(part, folder)


def searches_with_the_target(setting: str) -> bool:
    """Whether a setting is a target-side search, with or without speculation."""
    return setting.split(":")[0].removesuffix(SUFFIX) in TARGET_SIDE


def with_two_threads() -> Models:
    """The bundled models with two threads for every pass."""
    with mock.patch.object(backend, "load_light", partial(backend.load_light, threads=2)):
        return load()
