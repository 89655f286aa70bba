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


def check_same_steps(found, wanted, ties=0):
    """Compare two results: equal tokens, writers and choices, and equal scores up to rounding.

    A draw within rounding of the border between two tokens, about 1e-6 in fp32, can fall on either side. So up to
    `ties` candidates that were not chosen may go on differently, with a neighbouring token at first. Returns how many.
    """
    assert (found.text, found.finish_reason) == (wanted.text, wanted.finish_reason)
    differ = 0
    for one, other in zip(found.steps, wanted.steps, strict=True):
        assert one.decision.chosen == other.decision.chosen
        pairs = list(zip(one.candidates, other.candidates, strict=True))
        same = [pair for pair in pairs if pair[0].token_ids == pair[1].token_ids]
        differ += len(pairs) - len(same)
        assert differ <= ties
        for pair in pairs:
            first = next((two for two in zip(*(c.token_ids for c in pair), strict=False) if two[0] != two[1]), None)
            assert first is None or abs(first[0] - first[1]) == 1
        for field in ("log_p", "log_q", "reward"):
            values = [[getattr(pair[k], field) for pair in same] for k in (0, 1)]
            assert values[0] == pytest.approx(values[1], abs=TOLERANCE)
    return differ


def outputs_of(backend, *args):
    """What `Backend.forward` returns, as a numpy array."""
    return backend.logits_ops.to_numpy(backend.forward(*args))


def log_probabilities(session, groups, law):
    """The log-probability of each candidate, which a session gives by token."""
    return [total_log_probability(by_token) for by_token in session.score(groups, law)]
