"""The solves recorded in `v2`, as the current code computes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

from helpers import toy
from helpers.clocked import Clock, ticking
from helpers.fitting import fitting
from specs import api
from specs.bundled.problems import generate
from specs.decoding import clock as clock_of_solves
from specs.decoding.latency_model import LatencyModel
from specs.methods.registry import NAMES, SPECULATING
from specs.traces.schema import plain, result_json

LATER = ("glimp", "glimp+speculation")
"""Methods that are younger than the first recording; their lines are the last ones, in this order."""
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in (*NAMES, *SPECULATING) if name not in LATER),
    ("specs", {"deferral": "next"}),
    ("specs", {"deferral": "next", "start": "target", "switch_on": "trace", "accept_weight": 0.0}),
    ("specs", {"deferral": "next", "accept_weight": 0.0}),
    ("specs", {"start": "target", "tau": 0.95}),
    ("specs", {"switch_on": "trace", "accept_weight": 0.0, "tau": 0.6}),
    ("specs", {"accept_weight": 0.0, "tau": 0.9}),
    ("specs", {"select": "best"}),
    ("specs", {"verify": "all"}),
    ("specs", {"select_weight": 0.0, "accept_weight": 0.0}),
    ("specs", {"select_weight": 0.0, "accept_weight": 2.0}),
    ("specs", {"reward_as": "soft-value", "beta": 3.0}),
    ("specs", {"tau": 0.0, "beta": 0.0, "accept_weight": 0.0}),
    ("specs", {"n": 1}),
    ("specs", {"n": 8, "top_p": 0.8}),
    ("specs+speculation", {"speculate": 2}),
    ("random-switch", {"draft_share": 0.2}),
    ("gsi", {"threshold": 0.9}),
    ("gsi", {"threshold": 0.9, "verify": "drawn"}),
    ("gsi", {"threshold": -float("inf")}),
    ("rsd", {"tau": 0.95, "start": "target"}),
    ("beam", {"width": 2}),
    ("beam-draft", {"width": 2}),
    ("dvts", {"width": 2}),
    ("target", {"n": 1, "max_tokens": 7}),
    ("draft", {"n": 1, "max_steps": 2, "max_step_tokens": 3, "delimiter": None}),
    *((name, {}) for name in LATER),
]
"""Methods and options; `n` is 4 where nothing else is said."""
LEFT_OUT = ("latency_s", "time_to_first_step_s", "flops", "settings", "models", "unfinished")
"""What is measured, follows from what is kept, or only repeats what was asked for."""
DEADLINES = (0.02, 0.05, 0.1, 0.2, 1.0)


def tabular() -> Iterator[dict[str, Any]]:
    for name, options in VARIANTS:
        models = toy.models_for(name.removesuffix("+speculation"), toy.table(1, end=-3.0), toy.table(2, end=-3.0))
        given = {"n": 4, "temperature": 0.9, "max_step_tokens": 4, "max_steps": 8, **options}
        yield lasting(api.solve("q", models, name, seed=5, **fitting(name, **given)))


def bundled() -> Iterator[dict[str, Any]]:
    models, question = api.load(), generate("hard", 1_000_007).question
    for name, options in VARIANTS:
        yield lasting(api.solve(question, models, name, seed=2, **fitting(name, **{"n": 4, **options})))


def deadlines() -> Iterator[dict[str, Any]]:
    with mock.patch.object(clock_of_solves, "time", Clock()) as clock:
        models = ticking(clock)
        latency_model = LatencyModel()
        for seed in range(12):
            api.solve("q", models, seed=1000 + seed, latency_model=latency_model, n=4, max_step_tokens=4, max_steps=6)
        for deadline_s in DEADLINES:
            for seed in range(3):
                result = api.solve(
                    "q",
                    models,
                    seed=seed,
                    latency_model=latency_model,
                    n=4,
                    max_step_tokens=4,
                    max_steps=6,
                    deadline_s=deadline_s,
                )
                yield lasting(result)


def lasting(result: Any) -> dict[str, Any]:
    """A result without `LEFT_OUT` and without positions that were prefetched in vain."""
    found = {name: value for name, value in plain(result_json(result, candidates=True)).items() if name not in LEFT_OUT}
    for step in found["steps"]:
        del step["seconds"]
    for use in found["usage"].values():
        use["processed"] -= use.pop("speculated")
        del use["cached"]
    return found
