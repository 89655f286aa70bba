"""Short solves by the exact models of `toy`."""

from __future__ import annotations

from helpers import toy
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.types import SamplingParams, StepPolicy

LAW = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=3))
LIMITS = Limits(max_steps=5, max_tokens=40)
MODELS = toy.models(toy.table(1, end=-6.0), toy.table(2, end=-6.0))


def solves(method, seeds, models=MODELS):
    """Results of a method, one for each seed."""
    return [stream("q", models, SolveConfig(method, sampling=LAW, limits=LIMITS, seed=seed)).result for seed in seeds]
