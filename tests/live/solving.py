"""Checks that compare solves over HTTP with the same models in this process."""

from collections import Counter

import numpy as np
import pytest

from helpers import toy
from helpers.rows import log_probabilities
from specs.bundled.problems import generate
from specs.core.keys import Key
from specs.core.sampling import log_law
from specs.engines.protocol import never_stop
from specs.types import Role, SamplingParams, StepPolicy, Trace

QUESTION = generate("medium", 2_300_007).question


def opened(policy):
    """A session of a policy on the test's question."""
    return policy.open(policy.prompt(QUESTION), frozenset({policy.fingerprint}), never_stop)


def check_first_tokens(policy, own, seeds):
    """Chi-square of 500 first tokens a seed against softmax(logits) of `own` at temperature 1 (false alarms 3e-7)."""
    law = SamplingParams(1.0, 1.0, StepPolicy.chunks(1))
    prompt = np.asarray(own.prompt(QUESTION))
    rows = own.backend.forward(own.backend.cache(), prompt, np.arange(len(prompt)), None, np.array([len(prompt) - 1]))
    exact = np.exp(log_law(rows[0].astype(np.float64)))
    samples = opened(policy).sample([Trace(QUESTION)] * seeds, 500, law, [Key.from_seed(k) for k in range(seeds)])
    drawn = Counter(sample.token_ids[0] for sample in samples)
    statistic, degrees = toy.chi_square([drawn[t] for t in range(len(exact))], len(samples) * exact)
    assert statistic < toy.chi_square_bound(max(degrees, 1))


def check_target(candidates, exact):
    """What the target has read is exact, and what is known of other candidates is an upper bound."""
    for candidate, log_p in zip(candidates, exact, strict=True):
        if candidate.log_p is not None:
            assert candidate.log_p == pytest.approx(log_p, abs=1e-3)
        elif candidate.log_p_at_most is not None:
            assert candidate.log_p_at_most >= log_p - 1e-3


def check_records(result, local, law):
    """Recompute every log-probability and reward of a record with the models `local` on the same candidates."""
    draft, target = opened(local.draft), opened(local.target)
    prm = local.prm.open(local.prm.prompt(QUESTION), never_stop)
    trace = Trace(QUESTION)
    for record in result.steps:
        candidates = list(record.candidates)
        groups = [(trace, candidates)]
        own = draft if record.writer is Role.DRAFT else target
        written = [c.log_q if record.writer is Role.DRAFT else c.log_p for c in candidates]
        if written != [None] * len(written):  # a server is asked for them only where the method reads them
            assert written == pytest.approx(log_probabilities(own, groups, law), abs=1e-3)
        if record.writer is Role.DRAFT:
            check_target(candidates, log_probabilities(target, groups, law))
        if Role.PRM in result.usage and candidates[0].reward is not None:
            assert [c.reward for c in candidates] == pytest.approx(prm.score(groups, "\n\n"), abs=1e-3)
        if record.accepted and record.step is not None:
            trace = trace.extend(record.step, record.writer)
