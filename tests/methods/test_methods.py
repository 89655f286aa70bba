"""What each method asks for and how it decides, on exact models."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import toy

from specs.core.sampling import log_law
from specs.core.selection import softmax
from specs.drive import stream
from specs.engine import Models
from specs.errors import InputError
from specs.machine import Limits
from specs.methods.registry import NAMES, make
from specs.methods.specs import Specs
from specs.models.tabular import TabularPolicy, TabularReward
from specs.types import Finish, Law, Propose, Role, Rollout, StepPolicy

LAW = Law(0.9, 1.0, StepPolicy(max_tokens=3))
LIMITS = Limits(max_steps=5, max_tokens=40)


def run(method, models=None, law=LAW, seed=0, limits=LIMITS):
    return stream("q", models or toy.models(), method, law=law, limits=limits, seed=seed).result


def long_table(seed):
    """Like `toy.table`, but the end is rare, so that traces have several steps."""

    def look_up(ids):
        row = toy.table(seed)(ids)
        row[4] = -6.0
        return row

    return look_up


LONG = toy.models(long_table(1), long_table(2))


def step_law(table, prefix, law):
    """Exact law of one step after `prefix`: {tokens: probability}."""
    done: dict[tuple[int, ...], float] = {}
    open_ = [((), 1.0)]
    while open_:
        ids, p = open_.pop()
        row = np.exp(log_law(np.asarray(table((*prefix, *ids)), float), law.temperature, law.top_p))
        for token, q in enumerate(row):
            path = (*ids, token)
            text = "".join(toy.TEXT.pieces[t] for t in path)
            ended = token == 4 or "\n\n" in text.lstrip() or len(path) == law.steps.max_tokens
            (done.__setitem__(path, p * q) if ended else open_.append((path, p * q)))
    return done


def test_scores_can_be_recomputed_from_the_three_models():
    """Every recorded number of a draft step equals the one worked out by hand."""
    result = run(Specs(n=6, beta=3.0, tau=0.3, start="draft", deferral="next"), LONG, seed=4)
    draft_steps = [record for record in result.steps if record.writer is Role.DRAFT]
    assert draft_steps
    prefix = ()
    text = ""
    for record in result.steps:
        for candidate, score in zip(record.candidates, record.decision.scores, strict=True):
            p, q = (step_law(table, prefix, LAW)[candidate.token_ids] for table in (long_table(2), long_table(1)))
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


def test_switching_follows_the_reward_of_the_chosen_step():
    for seed in range(12):
        steps = run(Specs(n=3, tau=0.5, deferral="next"), LONG, seed=seed).steps
        assert steps[0].writer is Role.TARGET
        for before, after in pairwise(steps):
            assert (after.writer is Role.DRAFT) == (before.step.reward >= 0.5)


def test_the_threshold_itself_keeps_the_draft():
    models = toy.models(long_table(1), long_table(2), rate=lambda steps: 0.5)
    assert [r.writer for r in run(Specs(n=2, tau=0.5, deferral="next"), models).steps[1:]] == [Role.DRAFT] * 4


def test_extreme_thresholds():
    for seed in range(4):
        draft_only = run(Specs(n=2, tau=0.0, start="draft", deferral="next"), LONG, seed=seed)
        target_only = run(Specs(n=2, tau=1.1, deferral="next"), LONG, seed=seed)
        assert draft_only.draft_share == 1
        assert target_only.draft_share == 0
        assert target_only.usage[Role.DRAFT].processed == 0


def test_rewrite_throws_a_bad_draft_step_away_and_the_target_writes_it_again():
    result = run(Specs(n=3, tau=0.6, deferral="rewrite", start="draft"), LONG, seed=2)
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
    same = toy.models(long_table(1), long_table(1), rate=lambda steps: 0.1)
    first, second = run(Specs(n=8, tau=0.6, deferral="rewrite", start="draft"), same).steps[:2]
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


@pytest.mark.parametrize("name", ["specs", "beam", "beam-draft", "best-of-n"])
def test_rewards_that_are_no_numbers_end_the_solve_by_name(name):
    result = run(make(name, n=3), toy.models(long_table(1), long_table(2), rate=lambda steps: math.nan))
    assert result.finish_reason is Finish.NO_SUPPORT
    assert result.text == ""


def test_random_switch_drafts_with_the_given_share():
    """200 solves of 4 later steps; a right coin leaves the bounds with probability below 1e-5."""
    writers = Counter(
        record.writer
        for seed in range(200)
        for record in run(make("random-switch", n=1, draft_share=0.3), LONG, seed=seed).steps[1:]
    )
    total = sum(writers.values())
    assert abs(writers[Role.DRAFT] / total - 0.3) < 4.5 * math.sqrt(0.3 * 0.7 / total)


def test_random_switch_never_looks_at_the_reward():
    models = toy.models(long_table(1), long_table(2), rate=lambda steps: 0.0)
    steps = run(make("random-switch", n=2, draft_share=1.0), models).steps
    assert all(record.accepted for record in steps)
    assert [record.writer for record in steps[1:]] == [Role.DRAFT] * (len(steps) - 1)


def test_reduction_n_one_beta_zero_is_plain_sampling_of_the_writer():
    """SPECS with n = 1 draws the very same trace as the writer alone, seed by seed."""
    for seed in range(10):
        plain = run(make("target"), LONG, seed=seed)
        for method in (Specs(n=1, beta=0.0, tau=1.1, deferral="next"), make("beam", n=1)):
            assert run(method, LONG, seed=seed).text == plain.text
        assert (
            run(Specs(n=1, beta=0.0, tau=0.0, start="draft"), LONG, seed=seed).text
            == run(make("draft"), LONG, seed=seed).text
        )


def test_reduction_equal_models_and_no_reward_keep_the_law():
    """q = p, beta = 0: whatever n, the chosen step follows the model's own law. Chi-square at 5 sigma."""
    models = toy.models(toy.table(5), toy.table(5))
    exact = step_law(toy.table(5), (), LAW)
    counts = Counter(
        run(Specs(n=3, beta=0.0, start="draft", deferral="next"), models, seed=seed, limits=Limits(max_steps=1))
        .steps[0]
        .step.token_ids
        for seed in range(1500)
    )
    statistic, degrees = toy.chi_square([counts[y] for y in exact], [1500 * p for p in exact.values()])
    assert statistic < toy.chi_square_bound(degrees)


def test_chosen_draft_step_follows_the_exact_law_for_two_candidates():
    """Two draws from q, selection by softmax(s): the law of the chosen step, summed over all pairs."""
    law = Law(0.9, 1.0, StepPolicy(max_tokens=2))
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


def test_raw_score_asks_the_target_for_nothing():
    result = run(Specs(n=4, score="raw", start="draft", tau=0.0), LONG)
    assert result.usage[Role.TARGET].processed == 0
    assert all(c.log_p is None for r in result.steps for c in r.candidates)


def test_soft_value_changes_the_scores_as_stated():
    result = run(Specs(n=4, beta=5.0, reward_as="soft-value", tau=1.1, deferral="next"), LONG)
    for record in result.steps:
        for candidate, score in zip(record.candidates, record.decision.scores, strict=True):
            assert score == pytest.approx(math.log1p(math.expm1(5.0) * candidate.reward))


def test_best_takes_the_highest_score():
    for record in run(Specs(n=6, select="best"), LONG).steps:
        assert record.decision.scores[record.decision.chosen] == max(record.decision.scores)


def test_beam_keeps_the_highest_reward():
    for name, writer in (("beam", Role.TARGET), ("beam-draft", Role.DRAFT)):
        for record in run(make(name, n=5), LONG).steps:
            assert record.writer is writer
            assert record.step.reward == max(c.reward for c in record.candidates)


def test_best_of_n_keeps_the_highest_final_reward():
    result = run(make("best-of-n", n=6), LONG)
    (record,) = result.steps
    assert record.step.reward == max(c.reward for c in record.candidates)
    assert len({c.text for c in record.candidates}) > 1


def test_majority_takes_the_most_frequent_answer():
    from specs.models.tabular import TabularText

    text = TabularText(["\\boxed{1}", "\\boxed{2}", ""], end_id=2)
    policy = TabularPolicy("p", text, lambda ids: np.log([0.3, 0.7, 1e-9]) if not ids else np.log([1e-9, 1e-9, 1.0]))
    result = stream("q", Models(target=policy), make("majority", n=41), law=Law(), limits=LIMITS).result
    assert result.answer == "2"
    assert result.finish_reason is Finish.ANSWER


CALLS = {
    "specs": {"first": (Role.TARGET, {Role.PRM}), "draft": (Role.DRAFT, {Role.PRM, Role.TARGET})},
    "beam": {"first": (Role.TARGET, {Role.PRM})},
    "beam-draft": {"first": (Role.DRAFT, {Role.PRM})},
    "target": {"first": (Role.TARGET, set())},
    "draft": {"first": (Role.DRAFT, set())},
    "best-of-n": {"first": (Role.TARGET, {Role.PRM})},
    "majority": {"first": (Role.TARGET, set())},
}


@pytest.mark.parametrize("name", CALLS)
def test_requests_are_those_of_the_definition(name):
    """Model calls a step, as the docstrings state them."""
    from specs.core.keys import Key

    flow = make(name, n=4).solve("q", LAW, Key.from_seed(0))
    request = next(flow)
    writer, verify = CALLS[name]["first"]
    assert isinstance(request, Rollout if name in ("best-of-n", "majority") else Propose)
    assert (request.writer, request.verify, request.n) == (writer, verify, 1 if name in ("target", "draft") else 4)
    flow.close()


def test_specs_asks_for_target_and_prm_at_once_on_draft_steps():
    from specs.core.keys import Key
    from specs.types import Candidate, End, Proposal

    flow = Specs(n=1, tau=0.0).solve("q", LAW, Key.from_seed(0))
    next(flow)
    flow.send(Proposal((Candidate((0,), "a", End.CAP, -1.0, None, 0.9),)))
    request = flow.send(None)
    assert isinstance(request, Propose)
    assert (request.writer, request.verify) == (Role.DRAFT, {Role.PRM, Role.TARGET})


def test_names_and_options():
    assert {make(name).name for name in NAMES} == set(NAMES)
    assert make("specs", n=3, beta=None).n == 3
    assert make("target", n=3).name == "target"
    with pytest.raises(InputError, match="unknown method 'spec'; choose from specs"):
        make("spec")
    with pytest.raises(InputError, match="unknown option temprature"):
        make("specs", temprature=1)
    for options in ({"n": 0}, {"beta": -1.0}, {"draft_share": 1.5}):
        with pytest.raises(InputError):
            make("random-switch", **options)
    for name in ("beam", "majority", "best-of-n"):
        with pytest.raises(InputError, match="at least 1, not 0"):
            make(name, n=0)


def test_a_method_without_its_models_is_refused():
    models = Models(target=toy.models().target)
    with pytest.raises(InputError, match=r"specs needs a \w+ model"):
        run(Specs(), models)
    assert run(make("target"), models).text is not None


def test_a_reward_model_sees_stripped_steps_in_order():
    seen = []

    def rate(steps):
        seen.append(steps)
        return 0.5

    run(Specs(n=2, tau=0.0), toy.models(long_table(1), long_table(2), rate=rate))
    assert all(step == step.strip() for steps in seen for step in steps)
    assert isinstance(toy.models().prm, TabularReward)
