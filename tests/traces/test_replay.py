"""Replays are exact: they say what a solve with the changed options does."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import toy
from helpers.fitting import fitting, make_with
from specs import api
from specs.bundled.problems import generate
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.errors import InputError
from specs.methods.registry import NAMES, make
from specs.traces.codec import result_from
from specs.traces.replay import ReplayEnd, replay
from specs.traces.schema import result_json
from specs.types import Finish, SamplingParams, StepPolicy

LAW = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=3))
LIMITS = Limits(max_steps=5, max_tokens=12)


def only_a(ids):
    return [0.0, -99.0, -99.0, -99.0, -99.0]


MODELS = toy.models(toy.table(1, end=-3.0), toy.table(2, end=-3.0))


def solve(name, seed=0, models=None, law=LAW, **options):
    models = models or toy.models_for(name, toy.table(1, end=-3.0), toy.table(2, end=-3.0))
    return stream("q", models, SolveConfig(make_with(name, options), law, LIMITS, seed=seed)).result


def from_file(result):
    return result_from(json.loads(json.dumps(result_json(result, candidates=True))), "file")


def steps(result):
    """The events of each step, without times, scores, and what only one of the methods asked for."""
    return [
        (r.writer, r.accepted, tuple(c.token_ids for c in r.candidates), r.step.token_ids if r.accepted else None)
        for r in result.steps
    ]


def assert_reproduced(again, result):
    """Every decision is the recorded one; in a search the record's choice is the answer, the replay's the leader."""
    assert again.ended is ReplayEnd.COMPLETE
    assert again.replayed == again.recorded == len(again.decisions) == len(result.steps)
    for decision, record in zip(again.decisions, result.steps, strict=True):
        assert (
            decision if record.kept is None else replace(decision, chosen=record.decision.chosen)
        ) == record.decision


@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in NAMES), ("beam", {"width": 2}), ("dvts", {"width": 4})]
)
def test_recorded_settings_reproduce_every_decision_bit_for_bit(name, options):
    """Scores, probabilities and choices of 20 solves, read from memory and from JSON."""
    for seed in range(20):
        result = solve(name, seed, n=4, **options)
        for record in (result, from_file(result)):
            assert_reproduced(replay(record), record)


@pytest.mark.parametrize("name", ["specs", "gsi", "specs-released", "beam"])
def test_solves_with_filters_are_reproduced_from_their_settings(name):
    """These name filters only where there are some."""
    assert solve(name, n=4).settings["sampling"] == {"temperature": 0.9, "top_p": 1.0}
    for seed in range(5):
        result = solve(name, seed, law=replace(LAW, top_k=3, min_p=0.05), n=4)
        assert result.settings["sampling"] == {"temperature": 0.9, "top_p": 1.0, "top_k": 3, "min_p": 0.05}
        assert_reproduced(replay(from_file(result)), result)


def test_a_record_whose_target_scored_at_the_temperature_has_none_at_temperature_1():
    for law in (LAW, replace(LAW, top_k=3), replace(LAW, temperature=1.0, top_k=3)):
        result = solve("specs-released", law=law, n=4, ratio_law="sampling", start="draft")
        again = replay(result, ratio_law="temperature-1")
        assert again.ended is (ReplayEnd.COMPLETE if law.temperature == 1 else ReplayEnd.NO_LOG_P)


@pytest.mark.parametrize("name", NAMES)
def test_solves_of_the_bundled_models_are_reproduced_bit_for_bit(name, trio):
    for seed in range(2):
        result = api.solve(generate("medium", 7).question, trio, name, seed=seed, **fitting(name, n=4))
        assert_reproduced(replay(from_file(result)), result)


@pytest.fixture(scope="module")
def trio():
    return api.load()


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(1, 4),
        "beta": st.sampled_from([0.5, 1.0, 3.0, 3.2, 40.0]),
        "tau": st.sampled_from([0.0, 0.3, 0.5, 0.55, 1.0]),
        "switch_on": st.sampled_from(["trace", "step"]),
        "select_weight": st.sampled_from([0.0, 0.5, 1.0]),
        "accept_weight": st.sampled_from([0.0, 0.5, 1.0]),
        "length_power": st.sampled_from([0.0, 0.5, 1.0]),
        "verify": st.sampled_from(["all", "drawn"]),
        "start": st.sampled_from(["draft", "target"]),
        "deferral": st.sampled_from(["next", "rewrite"]),
        "select": st.sampled_from(["soft", "best"]),
        "reward_as": st.sampled_from(["raw", "soft-value"]),
        "draft_share": st.sampled_from([0.3, 0.5, 0.8]),
    },
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(recorded=OPTIONS, options=OPTIONS, seed=st.integers(0, 9), name=st.sampled_from(["specs", "specs", "gsi"]))
def test_a_replay_says_what_a_solve_with_these_options_does(recorded, options, seed, name):
    """Both solves agree up to the end of the replay; then they differ, or the record has no more information."""
    recorded, options = (fitting(name, **given) for given in (recorded, options))
    usual = fitting(name, n=4, beta=3.0, tau=0.5)
    result = solve(name, seed, **{**usual, **recorded})
    found = replay(result, **options)
    other = solve(name, seed, **{**usual, **recorded, **options})
    n = min(len(other.steps[0].candidates), len(result.steps[0].candidates))

    def cut(rows):
        return [(writer, accepted, drawn[:n], chosen) for writer, accepted, drawn, chosen in rows]

    was, is_now = cut(steps(result)), cut(steps(other))
    assert found.recorded == len(was)
    assert was[: found.replayed] == is_now[: found.replayed]
    for decision, record in zip(found.decisions, other.steps[: len(found.decisions)], strict=True):
        assert decision.chosen == record.decision.chosen
        pairs = [*zip(decision.scores, record.decision.scores, strict=True)]
        pairs += zip(decision.probabilities, record.decision.probabilities, strict=True)
        # What the target has not read may differ: a replay does not know what reading one candidate says of others.
        assert all(one == this or math.isnan(one) or math.isnan(this) for one, this in pairs)
        assert other.settings["method"]["verify"] != "all" or not any(map(math.isnan, decision.probabilities))
    if found.ended is ReplayEnd.COMPLETE:
        assert (was, result.text, result.finish_reason) == (is_now, other.text, other.finish_reason)
    elif found.ended in (ReplayEnd.CANDIDATE, ReplayEnd.KEPT, ReplayEnd.THROWN_AWAY, ReplayEnd.WRITER):
        assert was[found.replayed] != is_now[found.replayed]
    else:
        assert found.ended in (ReplayEnd.MORE_CANDIDATES, ReplayEnd.NO_LOG_P)


def test_every_kind_of_difference_occurs_under_its_name():
    options = {"n": 4, "beta": 3.0, "tau": 0.5, "accept_weight": 0.0, "start": "target", "verify": "all"}
    solves = [solve("specs", seed, **options) for seed in range(20)]
    for change, ways in (
        ({}, set()),
        ({"beta": 40.0}, {ReplayEnd.CANDIDATE, ReplayEnd.KEPT}),
        ({"tau": 0.9}, {ReplayEnd.THROWN_AWAY}),
        ({"tau": 0.0}, {ReplayEnd.KEPT}),
        ({"switch_on": "trace"}, {ReplayEnd.THROWN_AWAY}),
        ({"start": "draft"}, {ReplayEnd.WRITER}),
        ({"deferral": "next"}, {ReplayEnd.KEPT, ReplayEnd.WRITER}),
        ({"n": 9}, {ReplayEnd.MORE_CANDIDATES}),
    ):
        assert {replay(result, **change).ended for result in solves} - {ReplayEnd.COMPLETE} == ways, change
    unscored = solve("specs", n=4, select_weight=0.0, accept_weight=0.0, start="target")
    again = replay(unscored, select_weight=1.0)
    assert (again.ended, again.replayed) == (ReplayEnd.NO_LOG_P, 1)


def test_a_search_is_replayed_as_long_as_its_traces_are_the_same():
    """With fewer candidates only the first step, which has one trace, is decided, or other traces are kept."""
    solves = [solve("beam", seed, n=4, width=2) for seed in range(20)]
    ways = {replay(result, n=2).ended for result in solves}
    assert ways - {ReplayEnd.COMPLETE} == {ReplayEnd.TRACES, ReplayEnd.CANDIDATE}
    assert {replay(result, width=1).ended for result in solves} == {ReplayEnd.CANDIDATE, ReplayEnd.MORE_CANDIDATES}
    assert {replay(solve("dvts", n=4, width=2), width=4).ended} == {ReplayEnd.TRACES}
    result = next(result for result in solves if len(result.steps[0].kept) == 2)
    first = replace(result.steps[0], kept=result.steps[0].kept[::-1])
    assert replay(replace(result, steps=(first, *result.steps[1:]))).ended is ReplayEnd.CANDIDATE


def test_a_method_sees_only_what_it_asked_for():
    """A record with log-ratios that is replayed without weight for them is decided by the rewards alone."""
    result = solve("specs", n=4, start="draft", beta=3.0)
    decision = replay(result, select_weight=0.0, accept_weight=0.0).decisions[0]
    assert decision.scores == tuple(3.0 * c.reward for c in result.steps[0].candidates)


def test_equal_candidates_are_one_and_choices_in_a_rejected_step_have_no_effect():
    result = solve("beam", n=4, models=toy.models(target=only_a))
    first = result.steps[0]
    other = replace(first, decision=replace(first.decision, chosen=3))
    assert replay(replace(result, steps=(other, *result.steps[1:]))).ended is ReplayEnd.COMPLETE
    thrown = solve("specs", n=4, start="draft", tau=1.0, beta=3.0)
    assert not thrown.steps[0].accepted
    for chosen in range(4):
        step = replace(thrown.steps[0], decision=replace(thrown.steps[0].decision, chosen=chosen))
        assert replay(replace(thrown, steps=(step, *thrown.steps[1:]))).ended is ReplayEnd.COMPLETE


def test_a_cancelled_solve_is_replayed_to_its_end_and_called_cut():
    running = stream("q", MODELS, SolveConfig(make("specs", n=3), LAW, LIMITS, seed=1))
    next(iter(running))
    running.cancel()
    result = running.result
    assert result.finish_reason is Finish.CANCELLED
    again = replay(result)
    assert (again.ended, again.replayed) == (ReplayEnd.CUT, len(result.steps))


def test_missing_information_in_a_record_ends_the_replay():
    """Records that no solve has made: one without rewards, one with a finish reason that its steps do not lead to."""
    result = solve("specs", n=3, beta=3.0)
    first = result.steps[0]
    bare = replace(first, candidates=tuple(replace(c, reward=None) for c in first.candidates))
    assert replay(replace(result, steps=(bare,))).ended is ReplayEnd.NO_REWARD
    unsupported = solve("beam", n=3, models=toy.unsupported(toy.models(target=only_a, rate=lambda steps: 0.0)))
    assert replay(unsupported).ended is ReplayEnd.COMPLETE
    assert replay(replace(unsupported, finish_reason=Finish.ANSWER)).ended is ReplayEnd.PROPOSAL


def test_invalid_options_and_records_are_refused():
    result = solve("specs", n=3)
    for options, message in (
        ({"taw": 1}, "method specs has no option 'taw'; did you mean 'tau'"),
        ({"n": 0}, "n is 0; give"),
    ):
        with pytest.raises(InputError, match=message):
            replay(result, **options)
    for owner, changed, message in (
        ("method", {"n": "8"}, "settings: n is '8'; give a whole number of at least 1"),
        ("method", {"tau": None}, "settings: tau is None; give a number from 0 to 1"),
        ("method", {"deferral": 3}, "settings: deferral is 3; give 'next' or 'rewrite'"),
        ("sampling", {"temperature": -1}, "settings: temperature is -1; give a number of at least 0"),
        ("steps", {"no such": 1}, "settings: .*'no such'"),
        ("limits", {"max_steps": 0}, "settings: max_steps is 0; give"),
    ):
        changed = {**result.settings, owner: {**result.settings[owner], **changed}}
        with pytest.raises(InputError, match=message):
            replay(replace(result, settings=changed))
    for owner, lost, message in (
        ("sampling", "top_p", "no 'top_p'; give a whole trace"),
        ("limits", "max_tokens", "no 'max_tokens'; give a whole trace"),
        ("method", "beta", "no 'beta'; another version made"),
    ):
        rest = {name: value for name, value in result.settings[owner].items() if name != lost}
        rest = {**result.settings, owner: rest}
        with pytest.raises(InputError, match=message):
            replay(replace(result, settings=rest))
    assert replay(replace(result, settings=rest), beta=32.0).ended is ReplayEnd.COMPLETE
    with pytest.raises(InputError, match="there is no method 'mine'"):
        replay(replace(result, method="mine"))


def test_a_replay_uses_the_rule_of_draws_in_its_record():
    """Read with the first rule, a record of the second rule gives different choices in some of 20 solves."""
    parted = 0
    for seed in range(20):
        result = solve("specs", seed, n=4)
        assert replay(result).ended is ReplayEnd.COMPLETE
        parted += replay(replace(result, draws=1)).ended is not ReplayEnd.COMPLETE
    assert parted > 5


def test_an_unknown_rule_of_draws_is_refused():
    with pytest.raises(InputError, match="rule 4"):
        replay(replace(solve("specs", n=2), draws=4))


def test_a_record_without_the_prompt_of_a_writer_is_refused():
    result = solve("specs", n=2)
    with pytest.raises(InputError, match="prompt of a target or a draft"):
        replay(replace(result, prompt_token_ids={}))
    assert replay(replace(result, prompt_token_ids={}, steps=())).ended is ReplayEnd.CUT
