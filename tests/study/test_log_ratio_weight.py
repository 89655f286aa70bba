"""The weight at which the log-ratio leaves half of the candidates: closed forms, and what does not count."""

import math
from dataclasses import replace

import pytest

from helpers.toy_solves import solves
from research.benchmarks.log_ratio_weight import LARGEST, ess_share, largest_weight, log_ratios
from specs.methods.specs import Specs
from specs.types import Role


def test_one_candidate_that_stands_out_has_a_closed_form():
    """Of 8 candidates one has x nats more: with e = exp(w x), ESS = (7 + e)^2 / (7 + e^2)."""
    steps = [[0.0] * 7 + [2.0]]
    for weight in (0.25, 1.0, 3.0):
        e = math.exp(2.0 * weight)
        assert ess_share(steps, weight) == pytest.approx((7 + e) ** 2 / (7 + e * e) / 8)
    found = largest_weight(steps)
    e = math.exp(2.0 * found)
    assert (7 + e) ** 2 / (7 + e * e) / 8 == pytest.approx(0.5, abs=2e-3)


def test_without_differences_every_weight_will_do():
    assert largest_weight([[0.3] * 4, [-2.0] * 4]) == LARGEST


def test_only_draft_steps_with_scores_of_all_and_two_distinct_candidates_count():
    (result,) = solves(Specs(n=3, tau=0.0, verify="all"), [3])
    scored = [record for record in result.steps if record.writer is Role.DRAFT]
    several = [record for record in scored if len({c.token_ids for c in record.candidates}) > 1]
    assert len(several) > 0
    assert len(log_ratios([result], 0.0)) == len(several)
    first = several[0]
    one_unread = replace(first, candidates=(replace(first.candidates[0], log_p=None), *first.candidates[1:]))
    all_alike = replace(first, candidates=(first.candidates[0],) * 3)
    by_target = replace(first, writer=Role.TARGET)
    assert log_ratios([replace(result, steps=(one_unread, all_alike, by_target))], 0.0) == []
    (ratios,) = log_ratios([replace(result, steps=(first,))], 1.0)
    c = first.candidates[0]
    assert ratios[0] == pytest.approx((c.log_p - c.log_q) / len(c.token_ids))
