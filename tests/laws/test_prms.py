"""The laws of engines for PRMs of every family: no position is computed twice, and rewards equal those from scratch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers import tiny

pytest.importorskip("torch")
from helpers import prms
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.engines.loading import Names, load_models
from specs.engines.protocol import Models, never_stop
from specs.methods.beam import Beam
from specs.methods.registry import make
from specs.methods.specs import Specs
from specs.types import Role, SamplingParams, StepPolicy, Trace

LIMITS = Limits(max_steps=6, max_tokens=60)
METHODS = [Specs(n=5, tau=0.5), Specs(n=4, tau=0.5, deferral="rewrite"), Beam(n=6, width=3), make("best-of-n", n=4)]
POLICIES = {"steps": StepPolicy(max_tokens=10), "chunks": StepPolicy.chunks(4)}


@pytest.fixture(scope="module", params=["light", "torch"])
def worlds(request, tmp_path_factory):
    """By family, the tiny writers with a PRM of that family, on each engine."""
    root = tmp_path_factory.mktemp("prms")
    trio = tiny.write_trio(root / "trio")
    options = {"engine": request.param, "device": "cpu", "dtype": "fp32"}
    writers = load_models(Names(str(trio["draft"]), str(trio["target"]), None), **options)
    return {
        form: replace(
            writers,
            prm=load_models(
                Names(None, None, str(prms.write(form, root)), prm_format="judge" if form == "judge" else "auto"),
                **options,
            ).prm,
        )
        for form in prms.FORMATS
    }


def solve(models, method, policy, seed):
    return stream("a b c", models, SolveConfig(method, SamplingParams(0.9, 1.0, policy), LIMITS, seed=seed)).result


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.name}-{getattr(m, 'deferral', '')}")
@pytest.mark.parametrize("form", prms.FORMATS)
def test_a_prm_computes_no_token_twice(worlds, form, method, policy):
    for seed in range(3):
        counting = tiny.CountingBackend(worlds[form].prm.backend)
        models = replace(worlds[form], prm=replace(worlds[form].prm, backend=counting))
        use = solve(models, method, policy, seed).usage[Role.PRM]
        assert use.processed == use.minimum == counting.positions > use.prompt


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("form", prms.FORMATS)
def test_rewards_of_a_solve_equal_those_from_scratch(worlds, form, policy):
    """With steps cut at their cap, blank steps and traces side by side: each reward equals that of a new session."""
    models: Models = worlds[form]
    read = 0
    for seed in range(3):
        result = solve(models, Beam(n=6, width=3), policy, seed)
        prompt = result.prompt_token_ids[Role.PRM]
        traces = [Trace("a b c")]
        for record in result.steps:
            parents = record.parents or [0] * len(record.candidates)
            behind = [traces[0 if record.parents is None else parent] for parent in parents]
            for candidate, trace in zip(record.candidates, behind, strict=True):
                (scratch,) = models.prm.open(prompt, never_stop).score([(trace, [candidate])], policy.delimiter)
                assert candidate.reward == pytest.approx(scratch, abs=1e-5)
                read += 1
            traces = [trace.extend(one, record.writer) for trace, one in zip(behind, record.candidates, strict=True)]
    assert read > 20
