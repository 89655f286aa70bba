"""Methods inside the thinking: what is asked about a step, by which law steps are drawn, who writes which step.

The models are tables over eight tokens and ten digits (`helpers.thinkers`): every probability and rating is known.
"""

import json
import math
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from helpers import thinkers
from helpers.fitting import make_with
from helpers.thinkers import CLOSE, END, PIECES, TEXT, digit
from helpers.toy import chi_square, chi_square_bound
from specs.config import Limits, SolveConfig
from specs.core.sampling import log_law
from specs.decoding.stream import stream
from specs.engines.local.tabular import TabularPolicy
from specs.methods.glimp import TOP
from specs.traces.codec import result_from
from specs.traces.replay import ReplayEnd, replay
from specs.types import End, Finish, Phase, Role, SamplingParams, StepPolicy, Trace

LAW = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=6), StepPolicy(max_tokens=5))
LIMITS = Limits(max_steps=60, max_tokens=40, max_thinking_tokens=15)
METHODS = ("specreason", "ssr", "prm-free", "glimp", "specreason+speculation", "prm-free+speculation",
           "glimp+speculation", "ssr+speculation")  # fmt: skip


table = partial(thinkers.table, close=-1.0, end=-2.0, again=True)


def models(draft=None, target=None):
    return thinkers.thinkers(draft=draft or table(1), target=target or table(2))


def solve(name, seed=0, models_=None, limits=LIMITS, law=LAW, **options):
    config = SolveConfig(make_with(name, {"n": 3, **options}), law, limits, seed)
    return stream("q", models_ or models(), config).result


def traces_of(result):
    """Each record of a solve with one trace, with the trace that it continues."""
    trace = Trace.start("q", True)
    for record in result.steps:
        yield trace, record
        if record.accepted and record.step is not None:
            trace = trace.extend(record.step, record.writer)


def thinking_of(result):
    return [token for _, record in traces_of(result) if record.accepted and record.phase is Phase.THINKING
            for token in record.step.token_ids]  # fmt: skip


# SpecReason --------------------------------------------------------------------------------


def test_a_step_is_rated_as_it_stands_in_the_open_block():
    """The target reads the trace, the sampled tokens of the step and the question for the thinking.

    A step that the model closed is rated with its close; one that the budget closes without the closing text.
    """
    kinds = Counter()
    for seed in range(40):
        for trace, record in traces_of(solve("specreason", seed)):
            if record.writer is Role.DRAFT:
                (step,) = record.candidates
                said = [token for token in (*trace.token_ids, *step.sampled_ids) if token != END]
                assert step.reward == digit(tuple(said), questions=2) / 9
                assert record.accepted == (step.reward >= 7 / 9)
                kinds[step.end, step.forced > 0, record.accepted] += 1
    for kept in (True, False):
        assert kinds[End.CLOSE, False, kept]
        assert kinds[End.CLOSE, True, kept]
        assert kinds[End.DELIMITER, False, kept]
        assert kinds[End.CAP, False, kept]
    assert kinds[End.END_OF_TEXT, False, True] + kinds[End.END_OF_TEXT, False, False]


def test_a_step_that_closes_the_thinking_is_written_again_like_any_other():
    """By the target, in place; only what is kept ends the thinking."""
    again = Counter()
    for seed in range(40):
        steps = list(traces_of(solve("specreason", seed)))
        for (trace, record), (after, rewrite) in pairwise(steps):
            if record.step.end is End.CLOSE and not record.accepted:
                assert (rewrite.writer, rewrite.step_idx, rewrite.phase) == (
                    Role.TARGET,
                    record.step_idx,
                    Phase.THINKING,
                )
                assert after.token_ids == trace.token_ids
                again[rewrite.step.end is End.CLOSE] += 1
    assert again[True]
    assert again[False]


def test_what_is_no_digit_counts_as_0():
    def silent(ids):
        row = table(2)(ids)
        return np.roll(row, -8) if END in ids else row

    for seed in range(5):
        result = solve("specreason", seed, models(target=silent))
        rated = [record for record in result.steps if record.writer is Role.DRAFT]
        assert {record.step.reward for record in rated} == {0.0}
        assert not any(record.accepted for record in rated)


def test_reduction_what_is_kept_throughout_is_the_thinking_of_the_draft():
    for seed in range(10):
        result, alone = solve("specreason", seed, tau=0.0), solve("draft", seed)
        assert thinking_of(result) == thinking_of(alone)
        assert {record.writer for record in result.steps if record.phase is Phase.THINKING} == {Role.DRAFT}


def test_tracks_are_asked_in_the_phase_of_each():
    """In SSR, some tracks answer while others still think."""
    asked = Counter()
    for seed in range(20):
        result = solve("ssr", seed, n=3)
        before = {}
        for record in result.steps:
            parents = record.parents or (None,) * len(record.candidates)
            for candidate, parent in zip(record.candidates, parents, strict=True):
                trace = Trace.start("q", True) if parent is None else before[record.step_idx][parent]
                if record.writer is Role.DRAFT:
                    questions = 2 if trace.phase is Phase.THINKING else 1
                    said = [token for token in (*trace.token_ids, *candidate.sampled_ids) if token != END]
                    assert candidate.reward == digit(tuple(said), questions) / 9
                    asked[questions] += 1
                before.setdefault(record.step_idx + 1, []).append(trace.extend(candidate, record.writer))
    assert set(asked) == {1, 2}


# PRM-free ----------------------------------------------------------------------------------

STEPS = [(CLOSE,), (END,), *((first, second) for first in range(8) if first not in (CLOSE, END) for second in range(8))]
"""All first steps of at most two tokens: a blank line at the beginning ends none."""
SHORT = replace(LAW, steps=StepPolicy(max_tokens=1), thinking=StepPolicy(max_tokens=2))
CLOSING = (table(1, close=0.5), table(2, close=1.5))


def log_of(look_up, ids, law=LAW, before=()):
    return sum(log_law(look_up((*before, *ids[:idx])), law)[token].item() for idx, token in enumerate(ids))


def test_importance_weights_of_all_steps_have_mean_1():
    """No mass is lost at the close, at end-of-text or at the cap: q and p each sum to 1 over the steps."""
    for look_up in CLOSING:
        assert sum(math.exp(log_of(look_up, ids)) for ids in STEPS) == pytest.approx(1, abs=1e-6)


def test_the_chosen_step_follows_the_exact_law_and_the_target_answers_after_it():
    """Chi-square of 2,000 first steps with n = 2, and of the token after the close (false alarms 3e-7 each).

    The budget of two tokens closes the thinking in this step unless the model does or ends the text. The law is
    `2 q(y) w(y) sum_z q(z) / (w(y) + w(z))` with `w = p / q`.
    """
    q, p = (np.exp([log_of(look_up, ids) for ids in STEPS]) for look_up in CLOSING)
    w = p / q
    exact = 2 * q * w * (q / (w[:, None] + w)).sum(1)
    assert exact.sum() == pytest.approx(1, abs=1e-6)
    assert abs(exact - p).sum() < 0.8 * abs(q - p).sum()  # nearer to the target than the draft is
    drawn, answers, expected = Counter(), np.zeros(8), np.zeros(8)
    own, limits = models(*CLOSING), replace(LIMITS, max_steps=2, max_thinking_tokens=2)
    for seed in range(2000):
        steps = [record for record in solve("prm-free", seed, own, limits, SHORT, n=2).steps if record.accepted]
        first = steps[0].step
        drawn[first.sampled_ids] += 1
        if len(steps) > 1:
            assert first.end is End.CLOSE
            assert first.forced == (0 if CLOSE in first.sampled_ids else 4)
            assert steps[1].writer is Role.TARGET
            answers[steps[1].step.token_ids[0]] += 1
            expected += np.exp(log_law(CLOSING[1](first.token_ids), LAW))[:8]
    statistic, degrees = chi_square([drawn[ids] for ids in STEPS], 2000 * exact)
    assert degrees > 20
    assert statistic < chi_square_bound(degrees)
    assert answers.sum() > 1000
    statistic, degrees = chi_square(answers, expected)
    assert statistic < chi_square_bound(degrees)


def test_ratios_and_effective_sample_size_are_those_of_the_tables():
    closed = Counter()
    for seed in range(20):
        for trace, record in traces_of(solve("prm-free", seed, n=4)):
            if record.writer is Role.DRAFT:
                ratios = [
                    log_of(table(2), c.sampled_ids, before=trace.token_ids)
                    - log_of(table(1), c.sampled_ids, before=trace.token_ids)
                    for c in record.candidates
                ]
                assert record.decision.scores == pytest.approx(ratios, abs=1e-4)
                weights = np.exp(np.array(ratios) - max(ratios))
                assert record.decision.ess == pytest.approx(weights.sum() ** 2 / (weights**2).sum(), rel=1e-3)
                closed.update((c.end is End.CLOSE, c.forced > 0) for c in record.candidates)
    assert closed[True, True]
    assert closed[True, False]


def test_long_steps_have_finite_ratios_and_few_effective_samples():
    """The log-ratio is a sum over tokens, so its spread grows with the length of a step and one candidate takes all."""
    calm = models(table(1, close=-9.0, end=-9.0), table(2, close=-9.0, end=-9.0))
    ess = {}
    for length in (1, 8, 64, 256):
        law = replace(LAW, thinking=StepPolicy.chunks(length))
        limits = Limits(max_steps=1, max_thinking_tokens=2 * length)
        records = [solve("prm-free", seed, calm, limits, law, n=8).steps[0] for seed in range(4)]
        assert all(math.isfinite(score) for record in records for score in record.decision.scores)
        assert all(record.decision.chosen is not None for record in records)
        ess[length] = np.mean([record.decision.ess for record in records])
    assert ess[1] > ess[8] > ess[64]
    assert ess[256] < 1.5


# Glimp -------------------------------------------------------------------------------------


def entropy(look_up, ids):
    p = np.exp(log_law(look_up(ids)))
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def test_the_entropy_of_the_draft_decides_who_writes():
    """Exact, at temperature 1 whatever is sampled; the answer is the target's and passes no gate."""
    writers = Counter()
    laws = (LAW, replace(LAW, temperature=0.3), replace(LAW, top_p=0.4), replace(LAW, temperature=0))
    for seed, law in enumerate(laws * 3):
        for trace, record in traces_of(solve("glimp", seed, law=law, tau=1.4)):
            writers[record.phase, record.writer] += 1
            if record.phase is Phase.THINKING:
                assert record.entropy == pytest.approx(entropy(table(1), trace.token_ids), abs=1e-5)
                assert (record.writer is Role.TARGET) == (record.entropy >= 1.4)
            else:
                assert record.entropy is None
            assert record.accepted
            assert len(record.candidates) == 1
    assert set(writers) == {
        (Phase.THINKING, Role.DRAFT),
        (Phase.THINKING, Role.TARGET),
        (Phase.ANSWER, Role.TARGET),
    }


def test_only_the_most_likely_tokens_count():
    """Of 18 tokens that can follow, all; a method that asks for fewer gets the entropy of those, scaled to 1."""
    session = TabularPolicy("q", TEXT, table(1)).open((END,), frozenset({TEXT.fingerprint}), lambda: None)
    traces = [Trace.start("q", True), next(trace for trace, _ in list(traces_of(solve("target")))[1:])]
    assert len(PIECES) < TOP
    for top in (1, 2, 5, 20):
        for trace, found in zip(traces, session.entropies(traces, top), strict=True):
            p = np.sort(np.exp(log_law(table(1)(trace.token_ids))))[::-1][:top]
            p = p[p > 0] / p.sum()
            assert found == pytest.approx(-(p * np.log(p)).sum(), abs=1e-5)


def test_reductions_glimp_is_the_target_or_the_thinking_of_the_draft():
    """Also of models that do not think, where each step passes the gate."""
    plain = replace(LAW, thinking=None)
    for seed in range(8):
        assert solve("glimp", seed, tau=0.0).text == solve("target", seed).text
        assert solve("glimp", seed, law=plain, tau=0.0).text == solve("target", seed, law=plain).text
        assert thinking_of(solve("glimp", seed, tau=9.0)) == thinking_of(solve("draft", seed))
        assert solve("glimp", seed, law=plain, tau=9.0).text == solve("draft", seed, law=plain).text


def test_the_gate_costs_the_draft_what_it_has_not_read():
    """It computes the prompt, and every token of the thinking but the last, once, whoever wrote it."""
    for seed in range(8):
        for tau in (0.0, 1.4):
            result = solve("glimp", seed, tau=tau)
            gated = [(trace, record) for trace, record in traces_of(result) if record.phase is Phase.THINKING]
            last, record = gated[-1]
            use = result.usage[Role.DRAFT]
            written = len(record.step.sampled_ids) - 1 if record.writer is Role.DRAFT else 0
            assert use.processed == 1 + len(last.token_ids) + written
            assert use.minimum == use.processed


def test_a_replay_needs_the_recorded_entropies():
    results = (solve("glimp", seed, tau=1.4) for seed in range(9))
    result = next(one for one in results if any(r.writer is Role.DRAFT for r in one.steps[:-2]))
    assert replay(result).ended is ReplayEnd.COMPLETE
    assert replay(result, tau=0.0).ended is ReplayEnd.WRITER
    blind = replace(result, steps=tuple(replace(record, entropy=None) for record in result.steps))
    assert replay(blind).ended is ReplayEnd.NO_ENTROPY
    thinking = tuple(record for record in result.steps if record.phase is Phase.THINKING)
    assert replay(replace(result, steps=thinking[:-1])).ended is ReplayEnd.CUT


# All ---------------------------------------------------------------------------------------

CALLS = {
    "specreason": {("draft", 1, True, False, False), ("target", 1, False, False, False)},
    "ssr": {("draft", 1, True, False, False), ("target", 1, False, False, False)},
    "prm-free": {("draft", 3, False, True, False)},
    "glimp": {("draft", 1, False, False, True), ("target", 1, False, False, True)},
}
"""Kinds of proposals in the thinking: writer, candidates, whether they are rated, scored, and gated by an entropy."""


@pytest.mark.parametrize("name", CALLS)
def test_calls_inside_the_thinking_are_those_that_the_docstrings_state(name):
    """Candidates of one trace; SSR has as many traces as tracks."""
    found = set()
    for seed in range(20):
        result = solve(name, seed, n=3, **({"tau": 1.4} if name == "glimp" else {}))
        for record in result.steps:
            if record.phase is Phase.THINKING:
                n = 1 if name == "ssr" else len(record.candidates)
                scored = record.writer is Role.DRAFT and record.candidates[0].log_p is not None
                rated = record.candidates[0].reward is not None
                found.add((str(record.writer), n, rated, scored, record.entropy is not None))
    assert found == CALLS[name]


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_computed_twice(name):
    for seed in range(8):
        result = solve(name, seed, n=3)
        assert result.error is None
        for role, use in result.usage.items():
            assert use.processed == use.minimum + use.speculated, role


@pytest.mark.parametrize("name", METHODS)
def test_traces_come_back_and_replay(name):
    finishes = set()
    for seed in range(6):
        result = solve(name, seed, n=3)
        record = json.loads(result.to_json())
        again = result_from(record, "here")
        assert again.to_json() == result.to_json()
        assert [step.entropy for step in again.steps] == [step.entropy for step in result.steps]
        assert replay(again).ended is ReplayEnd.COMPLETE
        finishes.add(result.finish_reason)
    assert Finish.ANSWER in finishes


@pytest.mark.parametrize("name", ["specreason", "prm-free", "glimp"])
def test_guessed_tokens_change_no_step(name):
    for seed in range(6):
        plain, fast = solve(name, seed), solve(f"{name}+speculation", seed, speculate=3)
        assert [(r.writer, r.accepted, r.step.token_ids) for r in plain.steps] == [
            (r.writer, r.accepted, r.step.token_ids) for r in fast.steps
        ]
