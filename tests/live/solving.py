"""What solves over HTTP are held against: the same models in this process."""

import pytest

from specs.bundled.problems import generate
from specs.engine import unwatched
from specs.types import Role, Trace

QUESTION = generate("medium", 2_300_007).question


def opened(policy):
    """A session of a policy on the question."""
    return policy.open(policy.prompt(QUESTION), frozenset({policy.fingerprint}), unwatched)


def check_records(result, local, law):
    """Every log-probability and reward of the record, worked out again by `local` on the same candidates."""
    draft, target = opened(local.draft), opened(local.target)
    prm = local.prm.open(local.prm.prompt(QUESTION), unwatched)
    trace = Trace(QUESTION)
    for record in result.steps:
        candidates = list(record.candidates)
        groups = [(trace, candidates)]
        own = draft if record.writer is Role.DRAFT else target
        written = [c.log_q if record.writer is Role.DRAFT else c.log_p for c in candidates]
        assert written == pytest.approx(own.log_probabilities(groups, law), abs=1e-3)
        if record.writer is Role.DRAFT and candidates[0].log_p is not None:
            assert [c.log_p for c in candidates] == pytest.approx(target.log_probabilities(groups, law), abs=1e-3)
        if Role.PRM in result.usage and candidates[0].reward is not None:
            assert [c.reward for c in candidates] == pytest.approx(prm.rewards(groups, "\n\n"), abs=1e-3)
        if record.accepted and record.step is not None:
            trace = trace.extend(record.step, record.writer)
