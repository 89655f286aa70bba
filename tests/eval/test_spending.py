"""`tau` as a quantile of observed merits: the target then writes the share of steps that was asked for."""

import math
from dataclasses import replace

import numpy as np
import pytest

from helpers.toy_solves import solves
from specs.errors import InputError
from specs.eval.spending import tau_for_share
from specs.methods.rsd import Rsd
from specs.methods.specs import Specs
from specs.types import Role


def drafted(results):
    return [record for result in results for record in result.steps if record.writer is Role.DRAFT]


TRACE, STEP, RATIO = {"switch_on": "trace", "accept_weight": 0.0}, {"accept_weight": 0.0}, {}


@pytest.mark.parametrize("rule", [TRACE, *(pytest.param(one, marks=pytest.mark.slow) for one in (STEP, RATIO))])
def test_with_the_chosen_tau_the_target_writes_the_wanted_share(rule):
    """100 solves choose tau, 100 others use it; a correct quantile misses by 5 standard errors once in 10^6 runs."""
    share = 0.3
    tau = tau_for_share(solves(Specs(n=2, tau=0.4, **rule), range(100)), share)
    later = solves(Specs(n=2, tau=tau, **rule), range(100, 200))
    handed = [[not record.accepted for record in drafted([result])] for result in later]
    drafts = sum(map(len, handed))
    error = math.sqrt(2 * len(handed) * np.var([sum(row) - share * len(row) for row in handed])) / drafts
    assert abs(sum(map(sum, handed)) / drafts - share) < 5 * error


def test_the_chosen_tau_is_one_of_the_observed_values():
    """Accepted rewards 0.9, 0.6 and 0.3 have ratios 0.9, 2/3 and 1/2; a ratio is to the last accepted step."""
    (result,) = solves(Specs(n=1, tau=0.0, accept_weight=0.0), [3])
    first = result.steps[0]

    def step(reward, accepted=True, writer=Role.DRAFT):
        return replace(first, writer=writer, accepted=accepted, candidates=(replace(first.step, reward=reward),))

    good = replace(result, steps=(step(0.9), step(0.6), step(0.3)))
    assert [tau_for_share([good], share) for share in (0, 0.34, 0.99)] == pytest.approx([0.5, 2 / 3, 0.9])
    assert [tau_for_share([good], share, switch_on="trace") for share in (0, 0.34, 0.99)] == [0.3, 0.6, 0.9]
    seen = tuple(
        replace(one, candidates=(replace(one.step, log_p=one.step.log_q - 4.0),)) for one in good.steps
    )  # fmt: skip
    merits = {"accept_weight": 1.0, "beta": 8.0}
    found = [tau_for_share([replace(good, steps=seen)], share, **merits) for share in (0, 0.34, 0.99)]
    assert found == pytest.approx([0.0, 2 / 3 - 0.5, 0.4])
    mixed = replace(result, steps=(step(0.8, accepted=False), step(0.5, writer=Role.TARGET), step(0.45)))
    assert [tau_for_share([mixed], share) for share in (0, 0.5)] == pytest.approx([0.8, 0.9])
    hopeless = replace(result, steps=(step(0.0), step(0.0)))
    assert [tau_for_share([hopeless], share) for share in (0, 0.5)] == [0.0, math.inf]
    assert tau_for_share([good, mixed, good], 0.0) == pytest.approx(0.5)


def test_methods_that_compare_tau_with_the_reward_itself():
    results = solves(Rsd(tau=0.5), range(20))
    rewards = sorted(record.step.reward for record in drafted(results))
    assert tau_for_share(results, 0.25) == rewards[len(rewards) // 4]


def test_missing_steps_and_invalid_shares_are_refused():
    with pytest.raises(InputError, match="no draft step has a reward"):
        tau_for_share([], 0.1)
    for share in (-0.1, 1.0, math.nan):
        with pytest.raises(InputError, match=r"must be in \[0, 1\)"):
            tau_for_share([], share)


def test_a_given_beta_is_not_replaced_by_the_recorded_one():
    """Neither a larger one nor 0, by which the log-ratio cannot be divided."""
    found = solves(Specs(n=2, tau=0.4), range(5))
    assert tau_for_share(found, 0.5, beta=2.0) != tau_for_share(found, 0.5, beta=20.0)
    with pytest.raises(InputError, match="beta is 0; give a number above 0"):
        tau_for_share(found, 0.5, beta=0)


def test_options_are_checked_by_name_and_range():
    found = solves(Specs(n=2, tau=0.4), range(3))
    for options, message in (
        ({"acept_weight": 1.0}, "did you mean 'accept_weight'"),
        ({"tau": 0.1}, "tau_for_share has no option 'tau'"),
        ({"length_power": 5.0}, "length_power is 5.0; give a number from 0 to 1"),
        ({"accept_weight": -1.0}, "accept_weight is -1.0; give a number of at least 0"),
        ({"switch_on": "tilted"}, "switch_on is 'tilted'"),
    ):
        with pytest.raises(InputError, match=message):
            tau_for_share(found, 0.5, **options)
    unread = solves(Specs(n=2, tau=0.4, select_weight=0.0, accept_weight=0.0), range(3))
    with pytest.raises(InputError, match="no log-probability of the target; give accept_weight 0"):
        tau_for_share(unread, 0.5, accept_weight=1.0)
