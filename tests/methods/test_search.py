"""Searches with several traces side by side, and oracle-route, on exact models."""

import numpy as np
import pytest

from helpers import toy
from specs.config import Limits, SolveConfig
from specs.core.selection import rewards
from specs.decoding.stream import stream
from specs.engines.local.tabular import TabularPolicy, TabularReward, TabularText
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.methods.beam import Beam, Dvts
from specs.methods.registry import make
from specs.types import Finish, Role, SamplingParams, StepPolicy

LAW = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=3))
SEEDS = range(12)
STEPS = 6


MODELS = toy.models(toy.table(1, end=-2.5), toy.table(2, end=-2.5))


def run(method, models=MODELS, seed=0):
    limits = Limits(max_steps=STEPS, max_tokens=60)
    return stream("q", models, SolveConfig(method, LAW, limits, seed=seed)).result


def path(result, record_idx, candidate_idx):
    """The trace that ends in this candidate, as indices of candidates from the first step on."""
    walk = [candidate_idx]
    for record in result.steps[record_idx:0:-1]:
        walk.append(record.parents[walk[-1]])
    return walk[::-1]


def over(result, record_idx, candidate_idx):
    """Whether the trace that ends in this candidate is complete."""
    return result.steps[record_idx].candidates[candidate_idx].token_ids[-1] == 4 or record_idx == STEPS - 1


def test_the_best_distinct_candidates_continue():
    for seed in SEEDS:
        result = run(Beam(n=6, width=3), seed=seed)
        room = 3
        for idx, record in enumerate(result.steps):
            scores = rewards(record.candidates)
            different = [k for k, c in enumerate(record.candidates) if c.duplicates_of is None]
            assert [scores[k] for k in record.kept] == sorted((scores[k] for k in different), reverse=True)[:room]
            room -= sum(over(result, idx, k) for k in record.kept)
        assert room == 0 or not any(not over(result, idx, k) for k in record.kept)


def test_candidates_continue_the_kept_traces():
    for seed in SEEDS:
        result = run(Beam(n=6, width=3), seed=seed)
        assert len(result.steps[0].candidates) == 6
        assert result.steps[0].parents is None
        for (idx, before), record in zip(enumerate(result.steps), result.steps[1:], strict=False):
            live = [k for k in before.kept if not over(result, idx, k)]
            assert len(record.candidates) == 2 * len(live)
            assert record.parents == tuple(k for k in live for _ in range(2))


def test_the_result_is_the_complete_trace_with_the_highest_reward():
    ended_early = 0
    for seed in SEEDS:
        result = run(Beam(n=6, width=3), seed=seed)
        complete = [
            record.candidates[k].reward
            for idx, record in enumerate(result.steps)
            for k in record.kept
            if over(result, idx, k)
        ]
        assert result.accepted[-1].step.reward == max(complete)
        assert result.text == "".join(record.step.text for record in result.accepted)
        last = len(result.accepted) - 1
        assert [r.decision.chosen for r in result.accepted] == path(result, last, result.accepted[-1].decision.chosen)
        assert [r.accepted for r in result.steps] == [k <= last for k in range(len(result.steps))]
        ended_early += last + 1 < len(result.steps)
        drawn = sum(len(c.token_ids) for r in result.steps for c in r.candidates)
        assert result.usage[Role.TARGET].discarded == drawn - sum(len(r.step.token_ids) for r in result.accepted)
    assert ended_early


def test_with_one_trace_the_search_is_best_of_n_in_each_step():
    for seed in SEEDS:
        narrow, tree = (run(method, seed=seed) for method in (Beam(n=4), Dvts(n=4, width=1)))
        assert [r.candidates for r in narrow.steps] == [r.candidates for r in tree.steps]
        for record in narrow.steps:
            assert record.step.reward == max(rewards(record.candidates))
            assert record.accepted
        assert narrow.time_to_first_step_s < narrow.latency_s
    assert run(Beam(n=6, width=3)).time_to_first_step_s == pytest.approx(run(Beam(n=6, width=3)).latency_s, rel=1.0)


def test_subtrees_are_independent():
    """Each subtree continues with its own best candidate, even if another subtree has better ones."""
    beaten = 0
    for seed in SEEDS:
        result = run(Dvts(n=6, width=3), seed=seed)
        subtrees = 3
        for idx, record in enumerate(result.steps):
            assert len(record.candidates) == 2 * subtrees
            groups = [range(first, first + 2) for first in range(0, 2 * subtrees, 2)]
            scores = rewards(record.candidates)
            assert record.kept == tuple(max(group, key=lambda k: (scores[k], -k)) for group in groups)
            beaten += sorted(scores)[-len(groups) :] != sorted(scores[k] for k in record.kept)
            subtrees -= sum(over(result, idx, k) for k in record.kept)
    assert beaten


def test_subtrees_draw_different_candidates_from_the_question():
    first = run(Dvts(n=64, width=2), seed=1).steps[0]
    one, other = ([c.token_ids for c in first.candidates[k : k + 32]] for k in (0, 32))
    assert one != other


def test_an_interrupted_search_returns_its_best_trace():
    def slow(ids):
        if len(ids) > 8:
            raise MemoryError
        return toy.table(2, end=-2.5)(ids)

    for seed in SEEDS:
        result = run(Beam(n=6, width=3), toy.models(target=slow), seed=seed)
        if result.finish_reason is not Finish.ERROR:
            continue
        assert len(result.accepted) == len(result.steps)
        record = result.steps[-1]
        assert record.step.reward == max(rewards(record.candidates))
        assert result.text == "".join(r.step.text for r in result.accepted)


def test_a_search_without_support_ends_with_that_reason():
    def wordy(ids):  # a blank step would have the reward of an empty trace
        return np.array([0.0, 1.0, 0.0, -np.inf, -np.inf])

    models = toy.unsupported(toy.models(wordy, wordy, rate=lambda steps: 0.0))
    for method in (Beam(n=4, width=2), Dvts(n=4, width=2), make("oracle-route", n=2)):
        result = run(method, models)
        assert result.finish_reason is Finish.NO_SUPPORT
        assert not result.accepted


def test_a_search_continues_with_finished_traces_if_the_rest_has_no_support():
    def rate(steps):
        return 0.0 if len(steps) > 1 else 0.5

    def target(ids):  # the first step ends the text half of the time
        return np.log([0.2, 0.2, 1e-9, 0.1, 0.5]) if not ids else np.log([0.3, 0.3, 0.2, 0.19, 0.01])

    models = toy.unsupported(toy.models(target=target, rate=rate))
    found = {run(Beam(n=8, width=4), models, seed=seed).finish_reason for seed in SEEDS}
    assert Finish.END_OF_TEXT in found


@pytest.mark.parametrize(("name", "options"), [("beam", {"n": 6, "width": 4}), ("dvts", {"n": 5}), ("dvts", {"n": 0})])
def test_widths_that_do_not_divide_n_are_refused(name, options):
    with pytest.raises(InputError, match=f"{options['n']}"):
        make(name, **options)


def test_oracle_route_takes_the_step_with_the_higher_reward():
    writers = set()
    for seed in SEEDS:
        steps = run(make("oracle-route", n=2), seed=seed).steps
        for drafted, written in zip(steps[::2], steps[1::2], strict=True):
            assert (drafted.writer, written.writer) == (Role.DRAFT, Role.TARGET)
            assert drafted.step_idx == written.step_idx
            assert drafted.accepted is not written.accepted
            winner, loser = (drafted, written) if drafted.accepted else (written, drafted)
            best, other = (max(rewards(record.candidates)) for record in (winner, loser))
            assert winner.step.reward == best
            assert best > other or (best == other and winner.writer is Role.DRAFT)
            writers.add(winner.writer)
    assert len(writers) == 2


def test_oracle_route_takes_the_draft_s_step_if_rewards_are_equal():
    same = Models(
        TabularPolicy("q", toy.TEXT, toy.table(1, end=-2.5)),
        TabularPolicy("p", toy.TEXT, toy.table(2, end=-2.5)),
        TabularReward("r", toy.TEXT, lambda steps: 0.5),
    )
    assert run(make("oracle-route", n=2), same).draft_share == 1


def answering(context):
    """One kind of trace answers after a step, the other never ends; the target has a context of so many tokens."""

    def table(ids):
        row = [-99.0] * len(PIECES)
        if not ids:
            row[0] = row[1] = 0.0  # half of the candidates begin with a, half with b
        elif ids[0] == 0:
            row[3 if len(ids) == 1 else 4] = 0.0
        else:
            row[1 if len(ids) % 2 else 2] = 0.0
        return row

    text = TabularText(PIECES, end_id=4)
    models = Models(
        None,
        TabularPolicy("p", text, table),
        TabularReward("r", text, lambda steps: 0.9 if steps[0][0] == "a" else 0.3),
    )
    models.target.backend.context = context
    return models


PIECES = ["a", "b", "\n\n", "\\boxed{7}", ""]


@pytest.mark.parametrize("context", range(6, 14))
def test_a_search_that_reaches_the_context_keeps_its_answer(context):
    """The unfinished trace, whose reward is higher for the moment, must not replace it."""
    law, limits = SamplingParams(steps=StepPolicy(max_tokens=4)), Limits(max_steps=30, max_tokens=60)
    for seed in range(6):
        result = stream("q", answering(context), SolveConfig(Beam(n=4, width=2), law, limits, seed=seed)).result
        kept = {record.candidates[k].text for record in result.steps[:1] for k in record.kept}
        if any(text.startswith("a") for text in kept):
            assert (result.answer, result.text) == ("7", "a\\boxed{7}")
        if kept == {"a\\boxed{7}", "b\n\n"}:
            assert result.finish_reason in (Finish.CONTEXT, Finish.ANSWER)


def test_each_trace_is_cut_by_its_own_length():
    """Beside a trace that fills the context, a shorter one continues to its answer."""

    def table(ids):
        row = [-99.0] * len(PIECES)
        if not ids:
            row[0] = row[1] = 0.0
        elif ids[0] == 0:  # a, then a step of three tokens
            row[{1: 2, 2: 0, 3: 0, 4: 3}.get(len(ids), 4)] = 0.0
        else:
            row[1 if len(ids) < 6 else 2] = 0.0
        return row

    text = TabularText(PIECES, end_id=4)
    models = Models(
        None,
        TabularPolicy("p", text, table),
        TabularReward("r", text, lambda steps: 0.9 if len(steps) == 2 and steps[0][0] == "a" else 0.5),
    )
    models.target.backend.context = 9
    law, limits = SamplingParams(steps=StepPolicy(max_tokens=7)), Limits(max_steps=10, max_tokens=60)
    both = 0
    for seed in range(8):
        result = stream("q", models, SolveConfig(Beam(n=8, width=2), law, limits, seed=seed)).result
        first = {record.candidates[k].text[0] for record in result.steps[:1] for k in record.kept}
        if first == {"a", "b"}:
            both += 1
            assert result.answer == "7"
    assert both > 4
