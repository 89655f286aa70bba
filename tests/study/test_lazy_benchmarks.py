"""Benchmarks of lazy verification on exact models: what they count, and closed forms."""

import math

import numpy as np
import pytest

from helpers import toy
from helpers.toy_solves import LAW, LIMITS
from research.benchmarks import lazy_rounds, lazy_verification
from research.benchmarks.rivals import interval
from research.benchmarks.weight_by_length import bound
from specs.config import SolveConfig
from specs.decoding.stream import stream
from specs.methods.specs import Specs
from specs.types import Role

MODELS = toy.models(toy.table(1, 3.0, end=-6.0), toy.table(2, 3.0, end=-6.0))


def solved(method, seed):
    return stream("q", MODELS, SolveConfig(method, LAW, LIMITS, seed=seed)).result


def test_more_candidates_a_round_read_more_in_fewer_rounds_and_stopping_early_reads_less():
    steps = [step for seed in range(30) for step in lazy_rounds.drafted(solved(lazy_rounds.METHOD, seed))]
    read, rounds = {}, {}
    for each, early in ((1, False), (2, False), (8, False), (1, True)):
        found = [lazy_rounds.decided(step, each, early) for step in steps]
        read[each, early] = sum(len(paths) for paths, _ in found)
        rounds[each, early] = sum(of_step for _, of_step in found)
    assert read[1, True] < read[1, False] < read[2, False] < read[8, False]
    assert rounds[8, False] < rounds[2, False] < rounds[1, False]
    assert rounds[1, False] == read[1, False]
    assert any(step.rewrite for step in steps)


def test_the_shares_are_those_of_what_the_target_read():
    """`drawn` reads what `decided` says, and `all` everything."""
    lazy = [solved(Specs(verify="drawn"), seed) for seed in range(10)]
    whole = [solved(lazy_rounds.METHOD, seed) for seed in range(10)]
    shares = lazy_verification.shares(lazy)
    again = [lazy_rounds.decided(step, 1, False)[0] for result in whole for step in lazy_rounds.drafted(result)]
    assert shares["draft_steps"] == len(again)
    assert shares["candidates_a_step"] == pytest.approx(np.mean([len(paths) for paths in again]), abs=1e-3)
    assert shares["positions_read"] < 1
    assert lazy_verification.shares(whole)["positions_read"] == 1


def test_positions_are_distinct_beginnings():
    assert lazy_verification.positions({(1, 2, 3), (1, 2, 4), (5,)}) == 3  # (), (1,), (1, 2)


def test_the_interval_over_runs_is_students():
    found = interval([1.0, 2.0, 3.0])
    half = 4.3027 * 1.0 / math.sqrt(3)
    assert (found["low"], found["mean"], found["high"]) == pytest.approx((2 - half, 2, 2 + half), abs=2e-3)


def test_the_bound_is_zero_where_draft_and_target_agree_and_has_a_closed_form_for_two_candidates():
    assert bound([[0.0] * 8], 0.3) == pytest.approx(0.0)
    ratios, w = [math.log(2.0), math.log(0.5)], 0.5
    kl = (2 * math.log(2.0) + 0.5 * math.log(0.5)) / 2
    z, more = (2**w + 0.5**w) / 2, (2 ** (1 + w) + 0.5 ** (1 + w)) / 2
    assert bound([ratios], w) == pytest.approx((1 - w) * kl + math.log((z + more) / 2))


def test_constructed_steps_have_copies_impossible_tokens_and_log_ratios_of_both_signs():
    rng = np.random.default_rng(5)
    candidates = [c for _ in range(400) for c in lazy_verification.constructed(rng).candidates]
    assert any(c.duplicates_of is not None for c in candidates)
    assert any(c.log_p == -math.inf for c in candidates)
    assert any(c.log_p > c.log_q for c in candidates)
    assert any(c.log_p < c.log_q for c in candidates)
    assert all(c.log_p <= 0 for c in candidates)


def test_draft_steps_know_their_reward_before_and_their_rewrite():
    result = solved(lazy_rounds.METHOD, 3)
    steps = list(lazy_rounds.drafted(result))
    records = [record for record in result.steps if record.writer is Role.DRAFT]
    assert len(steps) == len(records)
    assert steps[0].before == 1.0
    for step, record in zip(steps, records, strict=True):
        assert bool(step.rewrite) == (not record.accepted)
