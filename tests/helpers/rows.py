"""Outputs of backends as numpy arrays, and comparisons of two runs that must agree except for times and rounding."""

import pytest

from specs.core.sampling import total_log_probability

MEASURED = ("latency_s", "time_to_first_step_s", "seconds", "trace", "flops")
TOLERANCE = 1e-4
"""Nats, and of rewards: what has been drafted ahead lies elsewhere in memory and is summed in another order."""


def lasting(row):
    """A row without measured values, and without positions that were prefetched in vain."""
    kept = {name: value for name, value in row.items() if name not in MEASURED}
    kept["usage"] = {
        role: {
            "processed": use["processed"] - use["speculated"],
            **{name: use[name] for name in ("prompt", "generated", "discarded", "minimum")},
        }
        for role, use in row["usage"].items()
    }
    return kept


def check_same(found, wanted):
    """Compare two dictionaries of `lasting` rows."""
    assert found.keys() == wanted.keys()
    for key, row in found.items():
        other = wanted[key]
        assert {**row, "trail": None} == {**other, "trail": None}, key
        for one, two in zip(row["trail"], other["trail"], strict=True):
            assert (one["writer"], one["accepted"]) == (two["writer"], two["accepted"]), key
            for name in ("reward", "log_ratio"):
                assert one[name] == (two[name] if two[name] is None else pytest.approx(two[name], abs=TOLERANCE)), key


def check_same_steps(found, wanted):
    """Compare two results: equal tokens, writers and choices, and equal scores up to rounding."""
    assert (found.text, found.finish_reason) == (wanted.text, wanted.finish_reason)
    for one, other in zip(found.steps, wanted.steps, strict=True):
        assert one.decision.chosen == other.decision.chosen
        assert [c.token_ids for c in one.candidates] == [c.token_ids for c in other.candidates]
        for field in ("log_p", "log_q", "reward"):
            values = [[getattr(c, field) for c in record.candidates] for record in (one, other)]
            assert values[0] == pytest.approx(values[1], abs=TOLERANCE)


def outputs_of(backend, *args):
    """What `Backend.forward` returns, as a numpy array."""
    return backend.logits_ops.to_numpy(backend.forward(*args))


def log_probabilities(session, groups, law):
    """The log-probability of each candidate, which a session gives by token."""
    return [total_log_probability(by_token) for by_token in session.score(groups, law)]
