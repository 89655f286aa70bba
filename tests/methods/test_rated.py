"""SpecReason and SSR on exact models: the target rates each step with one token."""

from itertools import pairwise

import numpy as np

from helpers import toy
from helpers.fitting import make_with
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.engines.local.tabular import TabularPolicy, TabularText
from specs.engines.protocol import Models
from specs.methods.registry import make
from specs.types import End, Finish, Role, SamplingParams, StepPolicy

LAW = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=3))
STEPS = 5
SEEDS = range(12)


def digit(ids):
    """A pseudo-random rating as a function of the trace, here for the target to give."""
    return int(np.random.default_rng([5, len(ids), *ids]).integers(10))


def world(rate=digit, end=-2.5, text=toy.RATED):
    draft, target = (toy.rating(toy.table(seed, end=end), rate) for seed in (1, 2))
    return Models(TabularPolicy("q", text, draft), TabularPolicy("p", text, target))


def run(name, models=None, seed=0, **options):
    limits = Limits(max_steps=STEPS, max_tokens=60)
    return stream("q", models or world(), SolveConfig(make_with(name, options), LAW, limits, seed=seed)).result


def of_steps(result):
    """Records by step: the draft's, and the target's if it rewrote the step."""
    steps = [[] for _ in range(max(record.step_idx for record in result.steps) + 1)]
    for record in result.steps:
        steps[record.step_idx].append(record)
    return steps


def tokens(steps, step_idx, candidate_idx):
    """Tokens of a track from the question to this candidate of this step."""
    ids: tuple[int, ...] = ()
    while True:
        drawn = [c for record in steps[step_idx] for c in record.candidates]
        parents = [parent for record in steps[step_idx] for parent in record.parents or ()]
        ids = drawn[candidate_idx].token_ids + ids
        if step_idx == 0:
            return ids
        candidate_idx, step_idx = parents[candidate_idx], step_idx - 1


def test_a_draft_step_stays_if_its_rating_reaches_the_threshold():
    """The rating, out of 9, is of the whole trace including the step; the target rewrites a rejected step."""
    found = set()
    for seed in SEEDS:
        before = ()
        for record in run("specreason", seed=seed).steps:
            (step,) = record.candidates
            if record.writer is Role.DRAFT:
                whole = (*before, *step.token_ids)
                said = digit(whole[:-1] if step.end is End.END_OF_TEXT else whole)
                assert step.reward == said / 9
                assert record.accepted == (said >= 7)
                found.add(said)
            else:
                assert step.reward is None
            if record.accepted:
                before += step.token_ids
    assert found == set(range(10))


def test_a_rating_that_is_not_a_digit_counts_as_0():
    def silent(ids):
        row = toy.rating(toy.table(2, end=-2.5))(ids)
        return np.where(np.arange(15) == 2, 0.0, -np.inf) if 4 in ids else row

    models = Models(world().draft, TabularPolicy("p", toy.RATED, silent))
    result = run("specreason", models)
    assert {r.step.reward for r in result.steps if r.writer is Role.DRAFT} == {0.0}
    assert result.draft_share == 0


def test_reduction_with_threshold_0_the_draft_writes_all():
    """Exactly the trace that it writes alone."""
    for seed in SEEDS:
        result, alone = run("specreason", seed=seed, tau=0.0), run("draft", seed=seed)
        assert {r.writer for r in result.accepted} == {Role.DRAFT}
        assert result.text == alone.text


def test_with_threshold_1_only_the_highest_rating_keeps_a_draft_step():
    records = [record for seed in SEEDS for record in run("specreason", seed=seed, tau=1.0).steps]
    drafted = [(record.accepted, record.step.reward == 1) for record in records if record.writer is Role.DRAFT]
    assert set(drafted) == {(True, True), (False, False)}


def test_reduction_one_track_is_specreason():
    for seed in SEEDS:
        one, other = run("specreason", seed=seed), run("ssr", seed=seed, n=1)
        assert one.text == other.text
        assert one.finish_reason is other.finish_reason
        assert [(r.writer, r.accepted, r.candidates) for r in one.steps] == [
            (r.writer, r.accepted, r.candidates) for r in other.steps
        ]
        assert {role: use.processed for role, use in one.usage.items()} == {
            role: use.processed for role, use in other.usage.items()
        }
        assert other.time_to_first_step_s < other.latency_s or len(other.accepted) == 1


def test_every_track_is_rated_and_its_rejected_steps_are_rewritten():
    for seed in SEEDS:
        steps = of_steps(run("ssr", seed=seed, n=4))
        live = 4
        for step_idx, (drafted, *written) in enumerate(steps):
            assert (drafted.writer, len(drafted.candidates)) == (Role.DRAFT, live)
            ended = 0
            for k, candidate in enumerate(drafted.candidates):
                whole = tokens(steps, step_idx, k)
                over = candidate.end is End.END_OF_TEXT
                assert candidate.reward == digit(whole[:-1] if over else whole) / 9
                ended += over and candidate.reward >= 7 / 9
            good = tuple(k for k, candidate in enumerate(drafted.candidates) if candidate.reward >= 7 / 9)
            assert (drafted.kept or ()) == good
            assert len(written) == (len(good) < live)
            for record in written:
                assert (record.writer, len(record.candidates)) == (Role.TARGET, live - len(good))
                assert record.kept == tuple(range(live - len(good)))
                ended += sum(candidate.end is End.END_OF_TEXT for candidate in record.candidates)
                if step_idx:  # each continues a track whose step was rejected
                    rejected = [drafted.parents[k] for k in range(live) if k not in good]
                    assert list(record.parents) == rejected
            live -= ended
        assert live == 0 or len(steps) == STEPS


def test_the_answer_is_a_track_whose_every_step_is_recorded():
    for seed in SEEDS:
        result = run("ssr", seed=seed, n=4)
        assert result.text == "".join(record.step.text for record in result.accepted)
        assert [record.step_idx for record in result.accepted] == list(range(len(result.accepted)))
        kept = sum(len(record.step.token_ids) for record in result.accepted)
        assert sum(use.generated - use.discarded for use in result.usage.values()) == kept
        for before, after in pairwise(result.accepted):
            drawn = [c for r in result.steps if r.step_idx == before.step_idx for c in r.candidates]
            assert drawn[after.parents[after.decision.chosen]] is before.step


ANSWERS = TabularText(["\\boxed{1}", "\\boxed{2}", "c", "\n\n", "", *"0123456789"], end_id=4)


def answering(draft, target=(0.5, 0.5), rate=lambda ids: 9):
    """Models of one-step solutions: a box with 1 or 2, with these probabilities."""

    def table(law):
        return toy.rating(lambda ids: np.log([*law, 1e-9, 1e-9, 1e-9]), rate)

    return Models(TabularPolicy("q", ANSWERS, table(draft)), TabularPolicy("p", ANSWERS, table(target)))


def vote(models, n, seed, **options):
    law = SamplingParams(1.0, 1.0, StepPolicy(max_tokens=1))
    return stream("q", models, SolveConfig(make("ssr", n=n, **options), law, seed=seed)).result


def test_tracks_vote_on_the_answer():
    for seed in SEEDS:
        result = vote(answering((0.4, 0.6)), 9, seed)
        ones = sum(c.text == "\\boxed{1}" for c in result.steps[0].candidates)
        assert result.answer == ("1" if ones > 4 else "2")
        assert result.finish_reason is Finish.ANSWER


def test_a_tied_vote_is_decided_by_the_mean_rating():
    split_votes = 0
    for better, worse in (("1", "2"), ("2", "1")):
        models = answering((0.5, 0.5), rate=lambda ids, worse=worse: 9 - (ids[-1] == int(worse) - 1))
        for seed in SEEDS:
            result = vote(models, 2, seed)
            if len({c.text for c in result.steps[0].candidates}) == 2:
                assert result.answer == better
                split_votes += 1
    assert split_votes > 6


def test_a_step_that_the_target_wrote_counts_as_rating_9():
    """Of the draft's answers, 1 is rated 8 and stays; 2 is rated 0 and rewritten by the target."""
    models = answering((0.5, 0.5), target=(1e-9, 1.0), rate=lambda ids: 8 * (ids[-1] == 0))
    split_votes = 0
    for seed in SEEDS:
        result = vote(models, 2, seed)
        if len({c.text for c in result.steps[0].candidates}) == 2:
            assert result.answer == "2"
            assert result.accepted[0].writer is Role.TARGET
            split_votes += 1
    assert split_votes


def test_fast_modes_end_with_the_first_complete_track_or_with_two_equal_answers():
    """Solutions have one step or more; the box comes at a random one."""
    table = toy.rating(lambda ids: np.log([0.2, 0.2, 0.3, 0.3, 1e-9]), lambda ids: 9)
    models = Models(TabularPolicy("q", ANSWERS, table), TabularPolicy("p", ANSWERS, table))
    law = SamplingParams(1.0, 1.0, StepPolicy(max_tokens=2))
    earlier = 0
    for seed in SEEDS:
        lengths = {}
        for fast in (0, 1, 2):
            result = stream("q", models, SolveConfig(make("ssr", n=6, fast=fast), law, seed=seed)).result
            steps = of_steps(result)
            lengths[fast] = len(steps)
            answered = []
            for idx, step in enumerate(steps):
                (record,) = step
                enough = {0: False, 1: bool(answered), 2: len(set(answered)) < len(answered)}[fast]
                assert not enough, (fast, idx)
                answered += ["1" if "1" in c.text else "2" for c in record.candidates if "boxed" in c.text]
            if fast:
                assert (len(answered) >= 1) if fast == 1 else (len(set(answered)) < len(answered))
        assert lengths[1] <= lengths[2] <= lengths[0]
        earlier += lengths[1] < lengths[0]
    assert earlier
