"""Methods with several traces compute no position twice, in 100 solves each.

With so few tokens, traces are often equal, and steps of two traces often begin alike.
"""

from dataclasses import replace
from functools import cache

import pytest

from helpers import thinkers, toy
from helpers.fitting import make_with
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.methods.registry import NAMES
from specs.types import Role, SamplingParams, StepPolicy

SEEDS = range(100)
LAW = SamplingParams(1.0, 1.0, StepPolicy(max_tokens=4))
THINKS = replace(LAW, thinking=StepPolicy(max_tokens=4))
LIMITS = Limits(max_steps=6, max_tokens=30, max_thinking_tokens=15)
OPTIONS = {"n": 4, "width": 2}
WHOLE = ("best-of-n", "soft-best-of-n", "majority", "adaptive-majority", "weighted-majority", "cascade",
         "specs-released")  # fmt: skip
"""Methods that sample whole solutions, one trace each, and cannot think."""
SIDE_BY_SIDE = ("ssr", "beam", "beam-draft", "soft-beam", "dvts", "ssr+speculation", "beam+speculation",
                "dvts+speculation")  # fmt: skip


@cache
def models(judged, thinks):
    """The tables remember their rows, since most solves meet the same contexts."""
    if thinks:
        found = thinkers.thinkers(end=-3.0)
    else:
        found = toy.models_for("ssr" if judged else "beam", toy.table(1, end=-6.0), toy.table(2, end=-6.0))
    for policy in (found.draft, found.target):
        policy.backend.table = cache(policy.backend.table)
    return found


def solve(name, seed, thinks):
    law = THINKS if thinks else LAW
    config = SolveConfig(make_with(name, OPTIONS), law, LIMITS, seed)
    return stream("q", models(name.startswith("ssr"), thinks), config).result


@pytest.mark.parametrize(
    ("name", "thinks"),
    [(name, thinks) for thinks in (False, True) for name in SIDE_BY_SIDE] + [(name, False) for name in WHOLE],
)
def test_no_token_twice(name, thinks):
    assert name.split("+")[0] in NAMES
    for seed in SEEDS:
        result = solve(name, seed, thinks)
        assert result.error is None
        for role, use in result.usage.items():
            assert use.processed == use.minimum + use.speculated, (role, seed)


@pytest.mark.parametrize("thinks", [False, True])
def test_ssr_a_step_written_again_may_begin_like_the_kept_step_of_another_track(thinks):
    """So the law above covers this case. The first two records are the tracks' first steps, and those rewritten."""
    found = 0
    for seed in SEEDS:
        first, second = solve("ssr", seed, thinks).steps[:2]
        if second.writer is Role.TARGET and first.accepted:
            kept = {first.candidates[place].token_ids[:1] for place in first.kept}
            found += any(step.token_ids[:1] in kept for step in second.candidates)
    assert found >= 8
