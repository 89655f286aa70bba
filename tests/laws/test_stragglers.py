"""Stragglers are cut, candidates much longer than the others; which ones does not depend on how passes are batched."""

import math
from dataclasses import replace

import pytest

from helpers import toy
from specs import api
from specs.bundled.problems import generate
from specs.cli import main
from specs.config import Limits, SolveConfig
from specs.core.selection import log_ratio
from specs.decoding.stream import stream
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.methods.beam import Beam
from specs.methods.registry import NAMES, make
from specs.methods.specs import Specs
from specs.types import Candidate, End, Role, SamplingParams, StepPolicy

LAW = SamplingParams(0.8, 0.9, StepPolicy(max_tokens=10))
BUNDLED = SamplingParams(1.3, steps=StepPolicy(max_tokens=64))
SHARES = (0.5, 0.75)
SEVERAL = ("specs", "specs-released", "random-switch", "beam", "beam-draft", "dvts", "gsi", "prm-free", "oracle-route")
"""Methods that draw several candidates of a step."""


def _first_step(models, method, law, seed=0):
    limits = Limits(max_steps=1)
    return stream(
        generate("hard", 2_462_000 + seed).question, models, SolveConfig(method, law, limits, seed=seed)
    ).result


@pytest.fixture(scope="module")
def bundled():
    return api.load()


@pytest.mark.parametrize("share", [*SHARES, 0.01])
@pytest.mark.parametrize("writer", ["draft", "target"])
def test_candidates_no_longer_than_enough_others_stay(bundled, share, writer):
    """The cut does not change which candidates are drawn; it only shortens the longer ones."""
    cut_law = replace(BUNDLED, steps=replace(BUNDLED.steps, enough=share))
    cuts = 0
    for seed in range(12):
        method = Specs(start=writer)
        whole = _first_step(bundled, method, BUNDLED, seed).steps[0].candidates
        found = _first_step(bundled, method, cut_law, seed).steps[0].candidates
        room = sorted(len(one.token_ids) for one in whole)[math.ceil(share * 8) - 1]
        for one, other in zip(whole, found, strict=True):
            if len(one.token_ids) <= room:
                assert (other.token_ids, other.text, other.end) == (one.token_ids, one.text, one.end)
                assert (other.log_p, other.log_q, other.reward) == pytest.approx(
                    (one.log_p, one.log_q, one.reward), abs=1e-4
                )
            else:
                cuts += 1
                assert other.end is End.CUT
                assert other.token_ids == one.token_ids[:room]
                assert one.text.startswith(other.text)
                assert (other.log_p, other.log_q, other.reward) == (None, None, None)
    assert cuts > 0


@pytest.mark.parametrize("name", SEVERAL)
def test_no_method_continues_a_cut_candidate_and_no_position_is_computed_twice(name):
    cuts = 0
    for seed in range(12):
        result = _toy(name, seed)
        for record in result.steps:
            cuts += sum(one.end is End.CUT for one in record.candidates)
            for one, chance in zip(record.candidates, record.decision.probabilities, strict=True):
                assert one.end is not End.CUT or chance == 0
            assert all(record.candidates[idx].end is not End.CUT for idx in record.kept or ())
            assert record.step is None or record.step.end is not End.CUT
        for role, use in result.usage.items():
            assert use.processed == use.minimum + use.speculated, role
    assert cuts > 0


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SEVERAL)))
def test_single_candidates_and_whole_solutions_are_never_cut(name):
    for record in _toy(name, seed=1).steps:
        assert all(one.end is not End.CUT for one in record.candidates)


def _toy(name, seed):
    law = replace(LAW, steps=replace(LAW.steps, enough=0.5))
    models = toy.models_for(name, toy.table(1, end=-2.0), toy.table(2, end=-2.0))
    result = stream("a", models, SolveConfig(make(name), law, Limits(max_steps=4, max_tokens=40), seed=seed)).result
    assert result.error is None
    return result


@pytest.mark.parametrize("tier", ["medium", "hard"])
@pytest.mark.parametrize("method", [Specs(), Specs(tau=0.97), Beam(8), Beam(8, 4)], ids=str)
def test_positions_add_up_when_a_step_is_rewritten(bundled, method, tier):
    """Scored tokens are drawn without a pass, so some candidates are longer than the length at which they are cut."""
    law = replace(BUNDLED, steps=replace(BUNDLED.steps, enough=0.5))
    for seed in range(3):
        result = stream(generate(tier, 2_462_100 + seed).question, bundled, SolveConfig(method, law, seed=seed)).result
        assert result.error is None
        for use in result.usage.values():
            assert use.processed == use.minimum + use.speculated


def test_a_share_of_one_cuts_nothing(bundled):
    one = _first_step(bundled, Specs(), replace(BUNDLED, steps=replace(BUNDLED.steps, enough=1.0)))
    assert all(c.end is not End.CUT for c in one.steps[0].candidates)


def test_a_cut_candidate_has_no_weight():
    assert log_ratio(Candidate((1,), "x", End.CUT)) == -math.inf


def test_engines_that_cannot_cut_refuse_the_option(capsys):
    class Served:
        in_process, raw, name, fingerprint = False, False, "served", "f"

    models = replace(toy.models(), target=Served())
    law = replace(LAW, steps=replace(LAW.steps, enough=0.5))
    with pytest.raises(InputError, match="served runs on a server, which cannot cut stragglers"):
        Models.require(models, Beam(4), law)
    Models.require(models, Beam(4, writer=Role.DRAFT), law)
    with pytest.raises(InputError, match=r"without \+speculation"):
        Models.require(toy.models(), make("beam+speculation"), law)
    with pytest.raises(InputError, match=r"enough is .*above 0 and up to 1"):
        StepPolicy(enough=0)
    assert main(["solve", "1+1?", "--set", "enough=0"]) == 2
    assert "above 0" in capsys.readouterr().err
