"""The rivals and controls that were built for comparison: soft-beam, votes after a search, one-first, cascade,
adaptive-majority and random-rewrite."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import combinations_with_replacement, permutations, product

import numpy as np
import pytest

from helpers import toy
from specs.config import Limits, SolveConfig
from specs.core.keys import Key
from specs.core.votes import boxed, majority
from specs.decoding.stream import stream
from specs.engines.local.tabular import TabularPolicy, TabularText
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.methods.beam import Beam, Dvts, SoftBeam, _drawn  # pyright: ignore[reportPrivateUsage]
from specs.methods.best_of_n import AdaptiveMajority, _settled  # pyright: ignore[reportPrivateUsage]
from specs.methods.cascade import Cascade
from specs.methods.one_first import OneFirst
from specs.methods.random_rewrite import RandomRewrite
from specs.methods.registry import make
from specs.methods.specs import Specs
from specs.types import (
    Branch,
    Candidate,
    End,
    Finish,
    Proposal,
    Role,
    SamplingParams,
    SelectTrace,
    StepPolicy,
    Trace,
)

LAW = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=3))
LIMITS = Limits(max_steps=5, max_tokens=40)
LONG = toy.models(toy.table(1, end=-6.0), toy.table(2, end=-6.0))


def run(method, models=LONG, seed=0):
    return stream("q", models, SolveConfig(method, LAW, LIMITS, seed=seed)).result


def tokens(result):
    return [(record.writer, record.accepted, record.step.token_ids) for record in result.steps]


def candidate(text, reward, duplicates_of=None):
    return Candidate((len(text),), text, End.END_OF_TEXT, None, None, reward, duplicates_of)


# soft-beam


def test_reduction_soft_beam_is_specs_whose_target_always_writes():
    """tau 1 is never reached by the toy's rewards, so the target writes every step of both, token for token."""
    always = Specs(4, 3.0, 1.0, switch_on="trace", accept_weight=0.0, start="target", deferral="next")
    for seed in range(15):
        ours, specs = run(SoftBeam(4, 3.0), seed=seed), run(always, seed=seed)
        assert tokens(ours) == tokens(specs)
        assert [r.decision.probabilities for r in ours.steps] == [r.decision.probabilities for r in specs.steps]
        assert ours.answer == specs.answer


@pytest.mark.parametrize("width", [1, 2])
def test_at_a_high_beta_soft_beam_keeps_the_highest_reward_first(width):
    told_apart = 0
    for seed in range(10):
        soft = run(SoftBeam(4, 1e9, width), seed=seed)
        for record in soft.steps[:1]:
            assert record.candidates[record.kept[0]].reward == max(c.reward for c in record.candidates)
        flat = run(SoftBeam(4, 0.0, width), seed=seed).steps[0]
        told_apart += flat.candidates[flat.kept[0]].reward < max(c.reward for c in flat.candidates)
    assert told_apart > 5


def test_soft_beam_draws_traces_without_replacement():
    """20,000 draws of two of four candidates, of which two are equal: chi-square at 5 sigma (odds 3e-7)."""
    beta, rewards, draws = 2.0, (0.9, 0.2, 0.2, 0.6), 20_000
    candidates = [candidate(f"step {k}", reward) for k, reward in enumerate(rewards)]
    candidates[2] = replace(candidates[1], duplicates_of=1)
    weights = {0: math.exp(beta * 0.9), 1: 2 * math.exp(beta * 0.2), 3: math.exp(beta * 0.6)}
    whole = sum(weights.values())
    exact = {
        (one, other): draws * weights[one] / whole * weights[other] / (whole - weights[one])
        for one, other in permutations(weights, 2)
    }
    counts: Counter[tuple[int, int]] = Counter()
    for seed in range(draws):
        decision, kept = _drawn(beta, Key.from_seed(seed))([Trace("q")], candidates, 2)
        assert decision.chosen == kept[0]
        one, other = ((1 if k == 2 else k) for k in kept)
        counts[one, other] += 1
    statistic, degrees = toy.chi_square([counts[pair] for pair in exact], list(exact.values()))
    assert statistic < toy.chi_square_bound(degrees)


def test_soft_beam_keeps_nothing_without_a_reward():
    decision, kept = _drawn(1.0, Key.from_seed(0))([Trace("q")], [candidate("a", None), candidate("b", math.nan)], 2)
    assert (decision.chosen, kept) == (None, [])


# votes after a search


def ended(method, ends):
    """What a search of three traces returns if its first candidates end them, with these answers and rewards."""
    flow = method.solve("q", LAW, Key.from_seed(0))
    next(flow)
    branch = flow.send(Proposal(tuple(candidate(f"\\boxed{{{answer}}}", reward) for answer, reward in ends)))
    assert isinstance(branch, Branch)
    assert len(branch.kept) == 3
    selected = flow.send((Finish.ANSWER,) * 3)
    assert isinstance(selected, SelectTrace)
    flow.close()
    return selected.trace.text


@pytest.mark.parametrize("kind", [Beam, Dvts])
def test_a_search_may_end_with_a_vote_weighted_by_rewards(kind):
    ends = [("1", 0.5), ("2", 0.8), ("1.0", 0.4)]
    assert ended(kind(3, 3), ends) == "\\boxed{2}"
    assert boxed(ended(kind(3, 3, "vote"), ends)) in ("1", "1.0")
    assert ended(kind(3, 3, "vote"), [("1", 0.3), ("2", 0.8), ("1.0", 0.4)]) == "\\boxed{2}"


def test_a_vote_without_answers_is_won_by_the_highest_reward():
    flow = Dvts(2, 2, "vote").solve("q", LAW, Key.from_seed(0))
    next(flow)
    flow.send(Proposal((candidate("no", 0.2), candidate("none", 0.7))))
    assert flow.send((Finish.END_OF_TEXT,) * 2).trace.text == "none"


def test_of_one_trace_the_vote_changes_nothing():
    for seed in range(5):
        assert tokens(run(Beam(4, 1, "vote"), seed=seed)) == tokens(run(Beam(4), seed=seed))


# one-first


def test_one_first_samples_the_others_only_below_its_threshold():
    sizes = Counter()
    for seed in range(20):
        before, tried = 1.0, []
        for record in run(OneFirst(5, 0.7), seed=seed).steps:
            tried.append(record)
            assert record.writer is Role.TARGET
            first = tried[0].candidates[0].reward
            if first < 0.7 * before and len(tried) == 1:
                assert len(record.candidates) == 1
                continue
            assert [len(one.candidates) for one in tried] == ([1] if first >= 0.7 * before else [1, 4])
            sizes[len(tried)] += 1
            # The best of all stays, the first among equals.
            (stays,) = (one for one in tried if one.accepted)
            assert stays.step.reward == max(c.reward for one in tried for c in one.candidates)
            before, tried = stays.step.reward, []
        assert tried == []
    assert min(sizes[1], sizes[2]) > 5


def test_reduction_one_first_that_is_always_content_is_a_beam_of_one():
    for seed in range(10):
        assert tokens(run(OneFirst(5, 0.0), seed=seed)) == tokens(run(Beam(1), seed=seed))
        assert tokens(run(OneFirst(1, 1.0), seed=seed)) == tokens(run(Beam(1), seed=seed))


def test_without_a_reward_one_first_has_no_support():
    flow = OneFirst(3).solve("q", LAW, Key.from_seed(0))
    next(flow)
    flow.send(Proposal((candidate("a", math.nan),)))
    accept = flow.send(Proposal((candidate("b", math.nan), candidate("c", None))))
    assert (accept.keep, accept.decision.chosen) == (False, None)
    flow.send(None)
    with pytest.raises(StopIteration) as stop:
        flow.send(None)
    assert stop.value.value is Finish.NO_SUPPORT


def test_a_candidate_without_a_reward_hides_no_other():
    flow = OneFirst(3).solve("q", LAW, Key.from_seed(0))
    next(flow)
    first = flow.send(Proposal((candidate("a", math.nan),)))
    assert first.n == 2
    accept = flow.send(Proposal((candidate("b", math.nan), candidate("c", 0.4))))
    assert (accept.keep, accept.decision.chosen) == (False, None)
    accept = flow.send(None)
    assert (accept.keep, accept.decision.chosen) == (True, 1)


# cascade


def test_reduction_a_cascade_ends_with_the_draft_or_with_beam():
    for seed in range(20):
        first = run(make("cascade", n=3, tau=0.0), seed=seed)
        assert [(r.writer, r.accepted) for r in first.steps] == [(Role.DRAFT, True)]
        best = max(c.reward for c in first.steps[0].candidates)
        assert first.steps[0].step.reward == best
        second = run(Cascade(3, min(1.0, best + 1e-6)), seed=seed)
        assert (second.steps[0].writer, second.steps[0].accepted) == (Role.DRAFT, False)
        assert tokens(second)[1:] == tokens(run(Beam(3), seed=seed))


# adaptive-majority


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_a_vote_is_settled_only_if_nothing_can_change_it(left):
    """All votes of up to five samples over three answers, all ways in which the others may vote."""
    outcomes = set()
    for size in range(1, 6):
        for drawn in combinations_with_replacement((None, "1", "2", "3"), size):
            texts = ["nothing" if answer is None else f"\\boxed{{{answer}}}" for answer in drawn]
            settled = _settled(texts, left)
            outcomes.add(settled)
            if settled:
                winners = {winner([*drawn, *others]) for others in product((None, "1", "2", "3"), repeat=left)}
                assert len(winners) == 1
    assert outcomes == {True, False}


def winner(answers):
    votes = majority(answers)
    return answers[int(np.argmax(votes))]


def test_reduction_adaptive_majority_of_one_batch_is_majority():
    for seed in range(10):
        one, other = (
            run(method, seed=seed) for method in (make("adaptive-majority", n=4, batch=4), make("majority", n=4))
        )
        assert tokens(one) == tokens(other)


def test_adaptive_majority_stops_as_soon_as_the_vote_is_settled():
    text = TabularText(["\\boxed{1}", "\\boxed{2}", ""], end_id=2)
    policy = TabularPolicy("p", text, lambda ids: np.log([0.5, 0.5, 1e-9]) if not ids else np.log([1e-9, 1e-9, 1.0]))
    sizes = Counter()
    for seed in range(40):
        config = SolveConfig(AdaptiveMajority(5, 1), SamplingParams(), LIMITS, seed=seed)
        result = stream("q", Models(target=policy), config).result
        answers = [boxed(record.candidates[0].text) for record in result.steps]
        assert result.answer == winner(answers)
        counts = Counter(answers)
        assert max(counts.values()) == 3  # of five votes for two answers, three decide
        assert answers.count(answers[-1]) == 3
        assert sum(record.accepted for record in result.steps) == 1
        sizes[len(answers)] += 1
    assert set(sizes) == {3, 4, 5}


# random-rewrite


def test_reduction_random_rewrite_that_never_or_always_rewrites():
    for seed in range(10):
        never = run(RandomRewrite(3, 3.0, 0.0), seed=seed)
        keeps_all = Specs(3, 3.0, 0.0, accept_weight=0.0)
        assert tokens(never) == tokens(run(keeps_all, seed=seed))
        always = run(RandomRewrite(3, 3.0, 1.0), seed=seed)
        assert [r.accepted for r in always.steps] == [r.writer is Role.TARGET for r in always.steps]
        assert all(r.writer is (Role.DRAFT, Role.TARGET)[k % 2] for k, r in enumerate(always.steps))


def test_the_coin_of_random_rewrite_falls_at_its_rate():
    """Of about 1,000 draft steps a share of 0.3 is rewritten, within 5 standard errors (odds 6e-7)."""
    drafted = [
        record.accepted
        for seed in range(300)
        for record in run(RandomRewrite(2, 3.0, 0.3), seed=seed).steps
        if record.writer is Role.DRAFT
    ]
    assert len(drafted) > 500
    assert abs(np.mean(drafted) - 0.7) < 5 * math.sqrt(0.21 / len(drafted))


def test_options_of_the_rivals_are_checked():
    for name, options, message in (
        ("soft-beam", {"n": 4, "width": 3}, "width is 3, which does not divide n=4"),
        ("soft-beam", {"beta": -1.0}, "beta is -1"),
        ("one-first", {"tau": 1.5}, "tau is 1.5; give a number from 0 to 1"),
        ("cascade", {"n": 0}, "n is 0; give a whole number of at least 1"),
        ("adaptive-majority", {"batch": 0}, "batch is 0; give a whole number of at least 1"),
        ("random-rewrite", {"rewrite_share": 2.0}, "rewrite_share is 2.0; give a number from 0 to 1"),
        ("dvts", {"answer": "votes"}, "answer is 'votes'"),
    ):
        with pytest.raises(InputError, match=message.replace("(", r"\(")):
            make(name, **options)
