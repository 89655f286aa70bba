"""What each method asks for and how it decides, on exact models."""

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from helpers import toy
from helpers.fitting import make_with
from specs.config import Limits, SolveConfig
from specs.core.sampling import log_law
from specs.core.selection import softmax
from specs.decoding.stream import stream
from specs.engines.local.session import LocalPolicySession
from specs.engines.local.tabular import TabularPolicy, TabularReward
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.methods.gsi import Gsi
from specs.methods.registry import NAMES, make, options_of
from specs.methods.rsd import Rsd
from specs.methods.specs import Specs
from specs.types import Accept, Finish, Propose, Role, SamplingParams, Score, StepPolicy

LAW = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=3))
LIMITS = Limits(max_steps=5, max_tokens=40)
ONE = Limits(max_steps=1)
TRACE = {"switch_on": "trace", "accept_weight": 0.0}
"""Switching by the reward of the trace alone."""


def run(method, models=None, law=LAW, seed=0, limits=LIMITS):
    return stream("q", models or toy.models(), SolveConfig(method, law, limits, seed=seed)).result


LONG_Q, LONG_P = toy.table(1, end=-6.0), toy.table(2, end=-6.0)
LONG = toy.models(LONG_Q, LONG_P)


def step_law(table, prefix, law):
    """Exact law of one step after `prefix`: {tokens: probability}."""
    done: dict[tuple[int, ...], float] = {}
    open_ = [((), 1.0)]
    while open_:
        ids, p = open_.pop()
        row = np.exp(log_law(np.asarray(table((*prefix, *ids)), float), law))
        for token, q in enumerate(row):
            path = (*ids, token)
            text = "".join(toy.TEXT.pieces[t] for t in path)
            ended = token == 4 or "\n\n" in text.lstrip() or len(path) == law.steps.max_tokens
            (done.__setitem__(path, p * q) if ended else open_.append((path, p * q)))
    return done


def test_scores_can_be_recomputed_from_the_three_models():
    """Every recorded number of a draft step equals the value computed by hand."""
    result = run(Specs(n=6, beta=3.0, tau=0.3, start="draft", deferral="next", verify="all"), LONG, seed=4)
    draft_steps = [record for record in result.steps if record.writer is Role.DRAFT]
    assert draft_steps
    prefix = ()
    text = ""
    for record in result.steps:
        for candidate, score in zip(record.candidates, record.decision.scores, strict=True):
            p, q = (step_law(table, prefix, LAW)[candidate.token_ids] for table in (LONG_P, LONG_Q))
            written = [part.strip() for part in (text + candidate.text).split("\n\n") if part.strip()]
            reward = toy.reward(tuple(written)) if written else 0.0
            assert candidate.reward == pytest.approx(reward, abs=1e-6)
            if record.writer is Role.DRAFT:
                assert candidate.log_q == pytest.approx(math.log(q), abs=1e-5)
                assert candidate.log_p == pytest.approx(math.log(p), abs=1e-5)
                assert score == pytest.approx(3.0 * reward + math.log(p) - math.log(q), abs=1e-4)
            else:
                assert score == pytest.approx(3.0 * reward, abs=1e-5)
        assert record.decision.probabilities == pytest.approx(softmax(record.decision.scores))
        prefix += record.step.token_ids
        text += record.step.text


FILTERED = [
    SamplingParams(0.9, steps=LAW.steps, top_k=2),
    SamplingParams(0.9, steps=LAW.steps, min_p=0.3),
    SamplingParams(0.9, 0.8, LAW.steps, top_k=3, min_p=0.1),
]


@pytest.mark.parametrize("verify", ["all", "drawn"])
@pytest.mark.parametrize("law", FILTERED, ids=["top_k", "min_p", "all"])
def test_the_target_scores_without_filters_what_the_draft_sampled_with_them(law, verify):
    """`log q` is that of sampling, and `log p` that of the temperature alone, so every step that is read has one.

    Under the filters, the target gives probability 0 to some of the same steps.
    """
    plain = replace(law, top_p=1.0, top_k=0, min_p=0.0)
    read = impossible = 0
    for seed in range(6):
        result = run(Specs(n=6, beta=3.0, tau=0.3, start="draft", verify=verify), LONG, law, seed)
        prefix = ()
        for record in result.steps:
            p, filtered = step_law(LONG_P, prefix, plain), step_law(LONG_P, prefix, law)
            for candidate in record.candidates:
                ids = candidate.token_ids
                if record.writer is Role.TARGET:
                    assert candidate.log_p == pytest.approx(math.log(filtered[ids]), abs=1e-5)
                    continue
                assert candidate.log_q == pytest.approx(math.log(step_law(LONG_Q, prefix, law)[ids]), abs=1e-5)
                if candidate.log_p is not None:
                    assert candidate.log_p == pytest.approx(math.log(p[ids]), abs=1e-5)
                    read, impossible = read + 1, impossible + (filtered[ids] == 0)
            prefix += record.step.token_ids if record.accepted else ()
    assert impossible > 3
    assert read > impossible


@pytest.mark.parametrize("law", FILTERED, ids=["top_k", "min_p", "all"])
def test_with_filters_the_ratio_of_equal_models_is_the_mass_that_they_keep(law):
    """`log p - log q` is the sum over tokens of the log of that mass, worked out row by row; it is never above 0."""
    result = run(Specs(n=6, tau=0.0, start="draft", verify="all"), toy.models(LONG_P, LONG_P), law, seed=2)
    prefix, found = (), []
    for record in result.steps:
        for candidate in record.candidates:
            kept = 0.0
            for idx in range(len(candidate.token_ids)):
                row = np.asarray(LONG_P((*prefix, *candidate.token_ids[:idx])), float)
                mass = np.exp(log_law(row, replace(law, top_p=1.0, top_k=0, min_p=0.0)))
                kept += math.log(mass[np.isfinite(log_law(row, law))].sum())
            assert candidate.log_p - candidate.log_q == pytest.approx(kept, abs=1e-5)
            found.append(kept)
        prefix += record.step.token_ids
    assert max(found) <= 0
    assert min(found) < -0.5


def test_with_top_p_alone_both_models_score_under_it():
    law = replace(LAW, top_p=0.8)
    assert law.scored is law
    result = run(Specs(n=6, tau=0.0, start="draft", verify="all"), toy.models(LONG_P, LONG_P), law, seed=2)
    for candidate in (candidate for record in result.steps for candidate in record.candidates):
        assert candidate.log_p == pytest.approx(candidate.log_q, abs=1e-5)


def test_switching_follows_the_reward_of_the_trace():
    writers = set()
    for seed in range(12):
        steps = run(Specs(n=3, tau=0.5, **TRACE, start="target", deferral="next"), LONG, seed=seed).steps
        assert steps[0].writer is Role.TARGET
        for before, after in pairwise(steps):
            assert (after.writer is Role.DRAFT) == (before.step.reward >= 0.5)
            writers.add(after.writer)
    assert len(writers) == 2


def test_switching_may_follow_the_ratio_of_a_step_to_the_one_before():
    """A trace with a low reward before the step does not bring the target back; a step that lowers the reward does."""
    told_apart = 0
    for seed in range(12):
        steps = run(Specs(n=1, tau=0.7, accept_weight=0.0, deferral="next"), LONG, seed=seed).steps
        rewards = [1.0, *(record.step.reward for record in steps)]
        for (earlier, reward), after in zip(pairwise(rewards), steps[1:], strict=False):
            assert (after.writer is Role.DRAFT) == (reward >= 0.7 * earlier)
            told_apart += (reward >= 0.7) != (reward >= 0.7 * earlier)
    assert told_apart > 3


def test_switching_may_follow_that_ratio_and_the_log_ratio():
    """An unlikely step under the target is rewritten despite a good reward; a likely one stays despite a bad one."""
    told_apart = set()
    for seed in range(12):
        steps = run(Specs(n=2, beta=3.0, tau=0.6, start="draft"), LONG, seed=seed).steps
        before = 1.0
        for record in steps:
            step = record.step
            if record.writer is Role.DRAFT:
                share = step.reward / before
                kept = share + (step.log_p - step.log_q) / 3.0 >= 0.6
                assert record.accepted == kept
                told_apart.add((kept, share >= 0.6))
            before = step.reward if record.accepted else before
    assert len(told_apart) == 4
    with pytest.raises(InputError, match="beta is 0, but accept_weight counts in units of 1 / beta"):
        Specs(beta=0.0)


def test_if_draft_and_target_are_equal_the_weights_of_the_log_ratio_change_nothing():
    models = toy.models(LONG_Q, LONG_Q)
    for seed in range(6):
        one, *others = (
            run(Specs(3, 2.0, 0.6, select_weight=select, accept_weight=accept), models, seed=seed)
            for select, accept in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 4.0))
        )
        for other in others:
            assert [record.step.token_ids for record in one.steps] == [record.step.token_ids for record in other.steps]
            assert [record.accepted for record in one.steps] == [record.accepted for record in other.steps]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_scores_and_merits_have_their_own_weights_of_the_log_ratio(power):
    """s = beta r + w_s L^-a l, and kept if r / r_before + (w_a / beta) L^-a l >= tau, worked out from the record."""
    outcomes = set()
    for seed in range(12):
        method = Specs(3, 3.0, 0.6, select_weight=0.25, accept_weight=2.0, length_power=power, verify="all")
        before = 1.0
        for record in run(method, LONG, seed=seed).steps:
            if record.writer is Role.DRAFT:
                ratios = [(c.log_p - c.log_q) / len(c.token_ids) ** power for c in record.candidates]
                scores = [3.0 * c.reward + 0.25 * ratio for c, ratio in zip(record.candidates, ratios, strict=True)]
                assert record.decision.scores == pytest.approx(scores)
                merit = record.step.reward / before + 2.0 / 3.0 * ratios[record.decision.chosen]
                assert record.accepted == (merit >= 0.6)
                outcomes.add(record.accepted)
            before = record.step.reward if record.accepted else before
    assert outcomes == {True, False}


def test_the_target_reads_only_the_drawn_candidate_and_every_decision_is_the_same():
    """`verify` "drawn" and "all": the same traces, but log-probabilities of the drawn candidates alone."""
    read = {"all": 0, "drawn": 0}
    for seed in range(20):
        solves = {verify: run(Specs(4, 3.0, 0.6, select_weight=0.0, verify=verify), LONG, seed=seed) for verify in read}
        for verify, result in solves.items():
            use = result.usage[Role.TARGET]
            assert use.processed == use.minimum + use.speculated
            read[verify] += use.processed
        for whole, drawn in zip(solves["all"].steps, solves["drawn"].steps, strict=True):
            assert (whole.decision, whole.accepted, whole.writer) == (drawn.decision, drawn.accepted, drawn.writer)
            if drawn.writer is Role.DRAFT:
                scored = {c.token_ids for c in drawn.candidates if c.log_p is not None}
                assert scored == {drawn.candidates[drawn.decision.chosen].token_ids}
                assert drawn.step.log_p == pytest.approx(whole.step.log_p, abs=1e-12)
    assert read["drawn"] < 0.8 * read["all"]


def test_a_reward_equal_to_the_threshold_keeps_the_draft():
    models = toy.models(LONG_Q, LONG_P, rate=lambda steps: 0.5)
    specs = Specs(n=2, tau=0.5, **TRACE, deferral="next")
    assert [r.writer for r in run(specs, models).steps[1:]] == [Role.DRAFT] * 4


def test_extreme_thresholds():
    for seed in range(4):
        draft_only = run(Specs(n=2, tau=0.0, **TRACE, deferral="next"), LONG, seed=seed)
        target_only = run(Specs(n=2, tau=1.0, **TRACE, start="target", deferral="next"), LONG, seed=seed)
        assert draft_only.draft_share == 1
        assert target_only.draft_share == 0
        assert target_only.usage[Role.DRAFT].processed == 0


def test_a_rewrite_discards_a_bad_draft_step_and_the_target_writes_it_again():
    result = run(Specs(n=3, tau=0.6, **TRACE, deferral="rewrite", start="draft"), LONG, seed=2)
    rejected = [r for r in result.steps if not r.accepted]
    assert rejected
    assert all(r.writer is Role.DRAFT and r.step.reward < 0.6 for r in rejected)
    assert all(r.step.reward >= 0.6 for r in result.steps if r.accepted and r.writer is Role.DRAFT)
    for record, after in pairwise(result.steps):
        if not record.accepted:
            assert (after.writer, after.step_idx) == (Role.TARGET, record.step_idx)
            assert record.discarded == sum(len(c.token_ids) for c in record.candidates)
        else:
            assert after.writer is Role.DRAFT
    assert result.text == "".join(r.step.text for r in result.steps if r.accepted)


def test_a_rewritten_step_is_drawn_with_fresh_randomness():
    same = toy.models(LONG_Q, LONG_Q, rate=lambda steps: 0.1)
    first, second = run(Specs(n=8, tau=0.6, **TRACE, deferral="rewrite", start="draft"), same).steps[:2]
    assert [c.token_ids for c in first.candidates] != [c.token_ids for c in second.candidates]


def test_draft_steps_without_support_are_rewritten_by_the_target():
    def draft(ids):
        return np.array([0.0, -np.inf, -np.inf, -np.inf, -np.inf])

    def target(ids):
        return np.array([-np.inf, 0.0, 0.0, -1.0, -1.0])

    result = run(Specs(n=4, start="draft"), toy.models(draft, target))
    first, second = result.steps[:2]
    assert (first.writer, first.accepted, first.decision.chosen) == (Role.DRAFT, False, None)
    assert (second.writer, second.accepted, second.step_idx) == (Role.TARGET, True, 0)


@pytest.mark.parametrize(
    "name", ["specs", "beam", "beam-draft", "best-of-n", "soft-best-of-n", "weighted-majority", "gsi"]
)
def test_rewards_that_are_not_numbers_end_the_solve(name):
    result = run(make_with(name, {"n": 3}), toy.unsupported(toy.models(LONG_Q, LONG_P, rate=lambda steps: 0.0)))
    assert result.finish_reason is Finish.NO_SUPPORT
    assert result.text == ""


def test_random_switch_drafts_with_the_given_share():
    """200 solves of 4 steps after the first; a correct coin leaves the bounds with probability below 1e-5."""
    writers = Counter(
        record.writer
        for seed in range(200)
        for record in run(make("random-switch", n=1, draft_share=0.3), LONG, seed=seed).steps[1:]
    )
    total = sum(writers.values())
    assert abs(writers[Role.DRAFT] / total - 0.3) < 4.5 * math.sqrt(0.3 * 0.7 / total)


def test_random_switch_ignores_the_reward():
    models = toy.models(LONG_Q, LONG_P, rate=lambda steps: 0.0)
    steps = run(make("random-switch", n=2, draft_share=1.0), models).steps
    assert all(record.accepted for record in steps)
    assert [record.writer for record in steps[1:]] == [Role.DRAFT] * (len(steps) - 1)


def test_reduction_n_one_beta_zero_is_plain_sampling_of_the_writer():
    """With n = 1 and beta = 0, SPECS draws the same trace as the writer alone, for each seed."""
    by_target = Specs(1, 0.0, 1.0, **TRACE, start="target", deferral="next")
    by_draft = Specs(1, 0.0, 0.0, **TRACE)
    for seed in range(10):
        plain = run(make("target"), LONG, seed=seed)
        for method in (by_target, make("beam", n=1)):
            assert run(method, LONG, seed=seed).text == plain.text
        assert run(by_draft, LONG, seed=seed).text == run(make("draft"), LONG, seed=seed).text


def test_reduction_equal_models_and_no_reward_keep_the_law():
    """With q = p and beta = 0 the chosen step has the model's own law for any n: chi-square at 5 sigma (odds 3e-7)."""
    models = toy.models(toy.table(5), toy.table(5))
    exact = step_law(toy.table(5), (), LAW)
    counts = Counter(
        run(Specs(3, 0.0, accept_weight=0.0, deferral="next"), models, seed=seed, limits=Limits(max_steps=1))
        .steps[0]
        .step.token_ids
        for seed in range(1500)
    )
    statistic, degrees = toy.chi_square([counts[y] for y in exact], [1500 * p for p in exact.values()])
    assert statistic < toy.chi_square_bound(degrees)


def test_chosen_draft_step_follows_the_exact_law_for_two_candidates():
    """Two draws from q, selected by softmax(s): the exact law sums over all pairs; chi-square at 5 sigma (3e-7)."""
    law = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=2))
    p, q = step_law(toy.table(2), (), law), step_law(toy.table(1), (), law)
    beta = 2.0
    texts = {y: "".join(toy.TEXT.pieces[t] for t in y).strip() for y in q}
    omega = {y: math.exp(beta * (toy.reward((texts[y],)) if texts[y] else 0.0)) * p[y] / q[y] for y in q}
    exact = dict.fromkeys(q, 0.0)
    for one in q:
        for two in q:
            exact[one] += 2 * q[one] * q[two] * omega[one] / (omega[one] + omega[two])
    assert sum(exact.values()) == pytest.approx(1.0)
    runs = 2000
    method = Specs(n=2, beta=beta, start="draft", deferral="next")
    counts = Counter(
        run(method, toy.models(), law=law, seed=seed, limits=Limits(max_steps=1)).steps[0].step.token_ids
        for seed in range(runs)
    )
    statistic, degrees = toy.chi_square([counts[y] for y in exact], [runs * value for value in exact.values()])
    assert statistic < toy.chi_square_bound(degrees)


def test_raw_scores_need_nothing_of_the_target():
    result = run(Specs(n=4, select_weight=0.0, accept_weight=0.0, start="draft", tau=0.0), LONG)
    assert result.usage[Role.TARGET].processed == 0
    assert all(c.log_p is None for r in result.steps for c in r.candidates)


def test_soft_value_changes_the_scores_as_documented():
    method = Specs(4, 5.0, 1.0, **TRACE, start="target", deferral="next", reward_as="soft-value")
    result = run(method, LONG)
    for record in result.steps:
        for candidate, score in zip(record.candidates, record.decision.scores, strict=True):
            assert score == pytest.approx(math.log1p(math.expm1(5.0) * candidate.reward))


def test_best_takes_the_highest_score():
    for record in run(Specs(n=6, select="best", verify="all"), LONG).steps:
        assert record.decision.scores[record.decision.chosen] == max(record.decision.scores)


def test_beam_keeps_the_highest_reward():
    for name, writer in (("beam", Role.TARGET), ("beam-draft", Role.DRAFT)):
        for record in run(make_with(name, {"n": 5}), LONG).steps:
            assert record.writer is writer
            assert record.step.reward == max(c.reward for c in record.candidates)


def test_best_of_n_keeps_the_highest_final_reward():
    result = run(make("best-of-n", n=6), LONG)
    (record,) = result.steps
    assert record.step.reward == max(c.reward for c in record.candidates)
    assert len({c.text for c in record.candidates}) > 1


def test_majority_takes_the_most_frequent_answer():
    from specs.engines.local.tabular import TabularText

    text = TabularText(["\\boxed{1}", "\\boxed{2}", ""], end_id=2)
    policy = TabularPolicy("p", text, lambda ids: np.log([0.3, 0.7, 1e-9]) if not ids else np.log([1e-9, 1e-9, 1.0]))
    result = stream("q", Models(target=policy), SolveConfig(make("majority", n=41), SamplingParams(), LIMITS)).result
    assert result.answer == "2"
    assert result.finish_reason is Finish.ANSWER


# name: the kinds of proposals of a method, accepted or not: writer, samples, PRM pass, target pass
CALLS = {
    "specs": {("draft", 4, True, True), ("target", 4, True, False)},
    "specs-released": {("draft", 4, True, True), ("target", 4, True, False)},
    "random-switch": {("draft", 4, True, True), ("target", 4, True, False)},
    "random-rewrite": {("draft", 4, True, True), ("target", 4, True, False)},
    "beam": {("target", 4, True, False)},
    "soft-beam": {("target", 4, True, False)},
    "one-first": {("target", 1, True, False), ("target", 3, True, False)},
    "cascade": {("draft", 4, True, False), ("target", 4, True, False)},
    "adaptive-majority": {("target", 2, False, False)},
    "beam-draft": {("draft", 4, True, False)},
    "target": {("target", 1, False, False)},
    "draft": {("draft", 1, False, False)},
    "best-of-n": {("target", 4, True, False)},
    "soft-best-of-n": {("target", 4, True, False)},
    "majority": {("target", 4, False, False)},
    "weighted-majority": {("target", 4, True, False)},
    "rsd": {("draft", 1, True, False), ("target", 1, False, False)},
    "gsi": {("draft", 4, True, True), ("target", 4, True, False)},
    "hard-reject": {("draft", 1, False, True), ("target", 1, False, False)},
    "prm-free": {("draft", 4, False, True)},
    "dvts": {("target", 4, True, False)},
    "oracle-route": {("draft", 4, True, False), ("target", 4, True, False)},
    "specreason": {("draft", 1, True, False), ("target", 1, False, False)},
    "ssr": {("draft", 4, True, False), *(("target", k, False, False) for k in (1, 2, 3, 4))},
}
AT_ONCE = {"best-of-n", "soft-best-of-n", "majority", "weighted-majority"}
"""Methods that write whole solutions, all in one request."""


@pytest.mark.parametrize("name", NAMES)
def test_methods_make_the_model_calls_that_their_docstrings_state(name):
    """In 20 solves each stated kind of proposal occurs and no other; where stated, target steps are only rewrites."""
    found = set()
    for seed in range(20):
        steps = run(make_with(name, {"n": 4}), toy.models_for(name, LONG_Q, LONG_P), seed=seed).steps
        assert not steps[1:] or name not in AT_ONCE
        for before, record in zip((None, *steps), steps, strict=False):
            first = record.candidates[0]
            scored = record.writer is Role.DRAFT and any(c.log_p is not None for c in record.candidates)
            found.add((str(record.writer), len(record.candidates), first.reward is not None, scored))
            if name in ("rsd", "gsi", "hard-reject", "specreason") and record.writer is Role.TARGET:
                assert before is not None
                assert (before.writer, before.accepted, before.step_idx) == (Role.DRAFT, False, record.step_idx)
    assert found == CALLS[name]


@pytest.mark.parametrize("name", NAMES)
def test_methods_of_whole_solutions_ask_for_whole_solutions(name):
    from specs.core.keys import Key

    flow = make_with(name, {"n": 4}).solve("q", LAW, Key.from_seed(0))
    request = next(flow)
    assert isinstance(request, Propose)
    assert request.whole == (name in {*AT_ONCE, "adaptive-majority", "cascade"})
    flow.close()


def roomy(context):
    """Models that rarely write end-of-text, with a context of so many tokens."""
    found = toy.models(LONG_Q, LONG_P)
    for policy in (found.draft, found.target):
        policy.backend.context = context
    return found


@pytest.mark.parametrize(
    "name", ["best-of-n", "soft-best-of-n", "majority", "weighted-majority", "target", "beam", "specs"]
)
def test_the_finish_reason_names_the_limit_that_cut_a_solution(name):
    """The context if it is shorter than the token cap, and the token cap if there is room."""
    law = SamplingParams(steps=StepPolicy(max_tokens=64))
    for seed in range(6):
        by_context = run(make_with(name, {"n": 2}), roomy(12), law, seed, Limits(max_steps=100, max_tokens=100))
        assert by_context.finish_reason is Finish.CONTEXT
        assert len(by_context.prompt_token_ids[Role.TARGET]) + tokens_of(by_context) == 12
        by_tokens = run(make_with(name, {"n": 2}), roomy(200), law, seed, Limits(max_steps=100, max_tokens=11))
        assert by_tokens.finish_reason is Finish.MAX_TOKENS
        assert tokens_of(by_tokens) == 11


def tokens_of(result):
    return sum(len(record.step.token_ids) for record in result.accepted)


def test_a_solution_that_ends_at_the_context_is_not_cut():
    """End-of-text as the last token for which there is room is a regular end."""
    ends = toy.models(target=lambda ids: [0.0] * 4 + [99.0 if len(ids) == 10 else -99.0])
    ends.target.backend.context = 12
    result = run(make("majority", n=2), ends, SamplingParams(), limits=Limits(max_tokens=100))
    assert (result.finish_reason, tokens_of(result)) == (Finish.END_OF_TEXT, 11)


def test_reduction_rsd_is_specs_with_one_candidate_and_raw_scores():
    """The same trace for each seed; SPECS also asks the PRM for the reward of target steps, and does not use it."""
    for start, seed in [(start, seed) for start in ("draft", "target") for seed in range(15)]:
        rsd = run(Rsd(tau=0.6, start=start), LONG, seed=seed)
        specs = run(
            Specs(
                n=1, tau=0.6, switch_on="trace", start=start, select_weight=0.0, accept_weight=0.0, deferral="rewrite"
            ),
            LONG,
            seed=seed,
        )
        assert [(r.writer, r.accepted, r.step.token_ids) for r in rsd.steps] == [
            (r.writer, r.accepted, r.step.token_ids) for r in specs.steps
        ]


def test_rsd_keeps_a_draft_step_whose_reward_reaches_its_threshold():
    records = [r for seed in range(10) for r in run(make("rsd"), LONG, seed=seed).steps if r.writer is Role.DRAFT]
    assert {r.accepted for r in records} == {True, False}
    assert all(r.accepted == (r.step.reward >= 0.7) for r in records)
    same = toy.models(LONG_Q, LONG_P, rate=lambda steps: 0.75)
    assert run(Rsd(tau=0.75), same).draft_share == 1


def test_reduction_gsi_without_rejection_is_specs_with_drafted_steps_only():
    for seed in range(15):
        gsi = run(Gsi(n=4, threshold=-math.inf), LONG, seed=seed)
        specs = run(Specs(n=4, beta=20.0, tau=0.0, start="draft", deferral="next", verify="all"), LONG, seed=seed)
        assert gsi.text == specs.text
        assert [r.decision for r in gsi.steps] == [r.decision for r in specs.steps]


def test_gsi_accepts_by_the_tilted_reward_of_the_selected_candidate():
    kept = set()
    for seed in range(15):
        for record in run(Gsi(n=3, beta=4.0, threshold=0.5), LONG, seed=seed).steps:
            if record.writer is Role.DRAFT:
                step = record.step
                tilted = step.reward + (step.log_p - step.log_q) / 4.0
                assert record.accepted == (tilted >= 0.5)
                kept.add(record.accepted)
            else:
                assert record.decision.scores == pytest.approx([4.0 * c.reward for c in record.candidates])
    assert kept == {True, False}


def test_hard_rejection_follows_its_exact_law():
    """First steps of 2,000 solves follow min(p, q) + (1 - sum min(p, q)) p: chi-square at 5 sigma (odds 3e-7)."""
    law = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=2))
    p, q = step_law(toy.table(2), (), law), step_law(toy.table(1), (), law)
    kept = sum(min(p[y], q[y]) for y in p)
    assert 0.05 < kept < 0.95
    exact = {y: min(p[y], q[y]) + (1 - kept) * p[y] for y in p}
    assert sum(exact.values()) == pytest.approx(1.0)
    counts = Counter(
        next(
            r for r in run(make("hard-reject"), toy.models(), law=law, seed=seed, limits=ONE).steps if r.accepted
        ).step.token_ids
        for seed in range(2000)
    )
    statistic, degrees = toy.chi_square([counts[y] for y in exact], [2000 * value for value in exact.values()])
    assert statistic < toy.chi_square_bound(degrees)


def test_reduction_hard_rejection_of_equal_models_is_the_draft():
    same = toy.models(LONG_Q, LONG_Q)
    for seed in range(5):
        assert run(make("hard-reject"), same, seed=seed).text == run(make("draft"), same, seed=seed).text


def test_reduction_prm_free_is_specs_at_beta_zero():
    for seed in range(15):
        alone = run(make("prm-free", n=4), LONG, seed=seed)
        specs = run(Specs(4, 0.0, 0.0, **TRACE, deferral="next", verify="all"), LONG, seed=seed)
        assert [r.decision for r in alone.steps] == [r.decision for r in specs.steps]
        assert Role.PRM not in alone.usage


def test_without_support_methods_without_a_reward_let_the_target_write():
    def draft(ids):
        return np.array([0.0, -np.inf, -np.inf, -np.inf, -np.inf])

    def target(ids):
        return np.array([-np.inf, 0.0, 0.0, -1.0, -1.0])

    for name in ("prm-free", "hard-reject", "gsi"):
        first, second = run(make_with(name, {"n": 3}), toy.models(draft, target)).steps[:2]
        assert (first.writer, first.accepted) == (Role.DRAFT, False)
        assert (second.writer, second.accepted, second.step_idx) == (Role.TARGET, True, 0)


def test_soft_best_of_n_tends_to_best_of_n():
    for seed in range(10):
        hard, soft = (run(make_with(name, {"n": 6, **o}), LONG, seed=seed)
                      for name, o in (("best-of-n", {}), ("soft-best-of-n", {"beta": 1e6})))  # fmt: skip
        assert hard.steps[0].step.reward == soft.steps[0].step.reward
        spread = run(make("soft-best-of-n", n=6, beta=0.0), LONG, seed=seed).steps[0]
        assert spread.decision.probabilities == pytest.approx([1 / 6] * 6)


def test_weighted_majority_adds_up_rewards():
    from specs.engines.local.tabular import TabularText

    text = TabularText(["\\boxed{1}", "\\boxed{2}", ""], end_id=2)
    policy = TabularPolicy("p", text, lambda ids: np.log([0.3, 0.7, 1e-9]) if not ids else np.log([1e-9, 1e-9, 1.0]))

    def answer(rewards):
        models = Models(target=policy, prm=TabularReward("r", text, lambda steps: rewards["1" in steps[-1]]))
        return stream("q", models, SolveConfig(make("weighted-majority", n=41), SamplingParams(), LIMITS)).result.answer

    assert answer({True: 0.5, False: 0.5}) == "2"
    assert answer({True: 0.9, False: 0.1}) == "1"


@pytest.mark.parametrize("verify", ["auto", "all", "drawn"])
def test_specs_asks_for_the_target_beside_the_prm_or_after_it(verify):
    from specs.core.keys import Key
    from specs.types import Candidate, End, Proposal

    flow = Specs(n=1, tau=0.0, verify=verify).solve("q", LAW, Key.from_seed(0))
    request = next(flow)
    assert isinstance(request, Propose)
    assert request.writer is Role.DRAFT
    assert request.verify == ({Role.PRM, Role.TARGET} if verify == "all" else {Role.PRM})
    assert request.score_later == (verify != "all")
    assert request.or_at_once == (verify == "auto")
    unread = Candidate((0,), "a", End.CAP, None, -1.0, 0.9)
    if verify != "all":
        assert flow.send(Proposal((unread,))) == Score((0,))
    accept = flow.send(Proposal((replace(unread, log_p=-1.0),)))
    assert isinstance(accept, Accept)
    assert accept.keep


def test_names_and_options():
    assert {make(name).name for name in NAMES} == set(NAMES)
    assert make("specs", n=3).n == 3
    assert make_with("target", {"n": 3}).name == "target"
    with pytest.raises(InputError, match=r"^there is no method 'spec'; did you mean 'specs'\?$"):
        make("spec")
    with pytest.raises(InputError, match=r"^there is no method 'xyz'; choose from specs, .*, target\+speculation$"):
        make("xyz")
    with pytest.raises(InputError, match=r"^method target has no option 'n'; it has none$"):
        make("target", n=3)
    with pytest.raises(InputError, match=r"^method beam has no option 'tau'; choose from answer, n, width$"):
        make("beam", tau=0.5)
    with pytest.raises(InputError, match=r"^method specs has no option 'switch-on'; did you mean 'switch_on'\?$"):
        make("specs", **{"switch-on": "step"})
    for options in ({"n": 0}, {"beta": -1.0}, {"draft_share": 1.5}):
        with pytest.raises(InputError):
            make("random-switch", **options)
    of_several = "beam majority best-of-n soft-best-of-n weighted-majority gsi prm-free oracle-route"
    for name in of_several.split():
        with pytest.raises(InputError, match="n is 0; give a whole number of at least 1"):
            make_with(name, {"n": 0})
    for name, beta in (("gsi", 0.0), ("soft-best-of-n", -1.0)):
        with pytest.raises(InputError, match="beta"):
            make(name, beta=beta)


def test_a_method_without_one_of_its_models_is_refused():
    models = Models(target=toy.models().target)
    with pytest.raises(InputError, match=r"specs needs a \w+ model"):
        run(Specs(), models)
    assert run(make("target"), models).text is not None


def test_a_reward_model_reads_stripped_steps_in_order():
    seen = []

    def rate(steps):
        seen.append(steps)
        return 0.5

    run(Specs(n=2, tau=0.0), toy.models(LONG_Q, LONG_P, rate=rate))
    assert all(step == step.strip() for steps in seen for step in steps)
    assert isinstance(toy.models().prm, TabularReward)


def test_options_are_the_arguments_of_a_method():
    for name in NAMES:
        for option in options_of(name):
            value = getattr(make(name), option)
            assert getattr(make(name, **{option: value}), option) == value
    assert options_of("target") == frozenset()
    assert options_of("beam") == {"n", "width", "answer"}
    with pytest.raises(InputError, match="there is no method 'spex'"):
        options_of("spex")


OF_ALL_KINDS = [None, "4", 4.5, True, math.nan, [4], 10**400, math.inf, -math.inf, np.float64(0.5), np.int64(4)]


@pytest.mark.parametrize("value", OF_ALL_KINDS, ids=lambda value: repr(value)[:12])
def test_an_option_takes_valid_values_and_names_itself_otherwise(value):
    """For every option of every method and this value: the method is made with it, or refuses it in one line."""
    for name in NAMES:
        for option in options_of(name):
            try:
                held, refusal = getattr(make(name, **{option: value}), option), None
            except InputError as error:
                held, refusal = None, str(error)
            if refusal is None:
                assert held == value  # never holds for NaN
                assert not isinstance(value, str | list)
            else:
                assert option in refusal
                assert "\n" not in refusal


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"specreason", "ssr"}))  # toy models cannot read their question
def test_no_method_needs_log_probabilities_that_it_does_not_ask_for(name, monkeypatch):
    """Engines may leave them out of samples; every method then writes and decides the same."""
    method = make(name)
    wanted = run(method, LONG, seed=3)
    sample = LocalPolicySession.sample

    def sparing(session, *args):
        samples = sample(session, *args)
        return samples if args[-1] else [replace(one, log_probability=None) for one in samples]

    monkeypatch.setattr(LocalPolicySession, "sample", sparing)
    found = run(method, LONG, seed=3)
    assert (found.error, found.text, found.finish_reason) == (wanted.error, wanted.text, wanted.finish_reason)
    assert repr([record.decision for record in found.steps]) == repr([record.decision for record in wanted.steps])
