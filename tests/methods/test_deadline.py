"""`specs` with deadlines, on exact models and a clock that only their passes advance."""

import math
from dataclasses import replace

import pytest

from helpers import toy
from helpers.clocked import COST, Clock, ticking
from specs.config import Limits, SolveConfig
from specs.core.keys import Key
from specs.core.latency import Estimate, Kind
from specs.decoding import clock as clock_of_solves
from specs.decoding.latency_model import LatencyModel, kind_of
from specs.decoding.stream import stream
from specs.errors import InputError
from specs.methods.deadline import Deadline, Moment, Way
from specs.methods.registry import make
from specs.methods.specs import Specs
from specs.types import Finish, Proposal, Role, SamplingParams, Seconds, StepPolicy

LAW = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=4))
LIMITS = Limits(max_steps=6, max_tokens=60)


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(clock_of_solves, "time", clock := Clock())
    return clock


def solve(models, method, deadline_s=None, latency_model=None, seed=0, limits=LIMITS):
    limits = replace(limits, deadline_s=deadline_s)
    return stream(
        "q", models, SolveConfig(method, LAW, limits, seed=seed), latency_model=latency_model or LatencyModel()
    ).result


def experienced(models, method, solves=12):
    latency_model = LatencyModel()
    for seed in range(solves):
        solve(models, method, None, latency_model, 1000 + seed)
    return latency_model


def written(result):
    """All of each step except its times."""
    return [replace(record, seconds=Seconds()) for record in result.steps]


METHODS = {
    "default": Specs(),
    "one": Specs(n=1),
    "three": Specs(n=3, tau=0.3),
    "paper": Specs(n=4, switch_on="trace", accept_weight=0.0, start="target", deferral="next", tau=0.5),
    "raw": Specs(n=4, select_weight=0.0, accept_weight=0.0, select="best"),
    "random": make("random-switch", n=4),
    "speculating": make("specs+speculation", n=4),
}


@pytest.mark.parametrize("name", METHODS)
def test_with_enough_time_a_deadline_changes_no_token(name, clock):
    for seed in range(6):
        wanted = stream("q", ticking(clock), SolveConfig(METHODS[name], LAW, LIMITS, seed=seed)).result
        found = solve(ticking(clock), METHODS[name], 1e6, seed=seed)
        assert written(found) == written(wanted)
        assert (found.text, found.finish_reason, found.method) == (wanted.text, wanted.finish_reason, wanted.method)
        assert found.usage == wanted.usage
        expected = dict(found.settings["method"])
        del expected["estimate"]
        limits = wanted.settings["limits"] | {"deadline_s": 1e6}
        assert found.settings | {"method": expected} == wanted.settings | {"limits": limits}


def test_without_a_deadline_nothing_changes(clock):
    wanted = solve(ticking(clock), Specs(n=3))
    assert written(solve(ticking(clock), Deadline(Specs(n=3)))) == written(wanted)


def known(**more):
    """An estimate without uncertainty: a step by the draft alone takes 10 ms, and solutions have four steps."""
    mean = {"rewarded": math.log(1.5), "verified": math.log(2), "target": math.log(5), "slope": 0.0, "fresh": 0.0}
    exact = (math.log(0.01) - 0.3**2 / 2, *{**mean, **more}.values())
    lengths = (0.0, 0.0, 0.0, 1.0, *[0.0] * 60)
    return Estimate(mean=exact, covariance=((0.0,) * 6,) * 6, lengths=lengths, rewrites=0.125)


def test_the_widest_way_that_fits_the_remaining_time_is_taken():
    """A step takes 10 ms by the draft alone, 15 with the PRM, 20 with the target too, for any n; a rewrite takes 50 ms.

    Overtime is a usual step, 20 ms, and the plan uses half of it. Four steps take 40, 60 or 80 ms, and there are
    min(1, 2 * 4 / 8) = 1 rewrites. With one step done: 30, 45 or 60 ms, and 3/4 of a rewrite.
    """
    deadline = Deadline(Specs(n=4), deadline_s=1.0, estimate=known())
    verified, few = Way(Kind.VERIFIED, 4, True), Way(Kind.REWARDED, 2, True)
    rewarded, alone = Way(Kind.REWARDED, 4, False), Way(Kind.UNVERIFIED, 1, False)
    table = {0: (80 + 50, 60 + 50, 60), 1: (60 + 37.5, 45 + 37.5, 45), 3: (20 + 12.5, 15 + 12.5, 15)}
    for done, needed in table.items():
        for way, below, ms in zip((verified, few, rewarded), (few, rewarded, alone), needed, strict=True):
            for spare, wanted in ((0.1, way), (-0.1, below)):
                now = Moment((ms - 10 + spare) / 1000, known(), done)
                assert deadline.way(now) == wanted


def test_there_are_fewer_candidates_where_that_saves_time():
    deadline = Deadline(Specs(n=8), deadline_s=10.0, estimate=known(slope=0.5))
    found = [deadline.way(Moment(ms / 1000, known(slope=0.5)))[:2] for ms in range(1, 800)]
    ways = [way for k, way in enumerate(found) if k == 0 or way != found[k - 1]]
    assert ways[0] == (Kind.UNVERIFIED, 1)
    assert ways[-4:] == [(Kind.VERIFIED, n) for n in (1, 2, 4, 8)]


def test_more_time_never_narrows_a_solve():
    for slope in (0.0, 0.2, 0.8):
        for weight in (1.0, 0.0):
            deadline = Deadline(Specs(n=8, select_weight=weight, accept_weight=weight), deadline_s=5.0)
            for done in range(6):
                ranks = [deadline.ways.index(deadline.way(Moment(ms / 1000, known(slope=slope), done)))
                         for ms in range(-500, 1000, 31)]  # fmt: skip
                assert ranks == sorted(ranks, reverse=True)
                assert (ranks[0], ranks[-1]) == (len(deadline.ways) - 1, 0)
                writes = [deadline.target_n(Moment(ms / 1000, known(slope=slope), done), 8) or 0
                          for ms in range(-500, 1500, 31)]  # fmt: skip
                assert writes == sorted(writes)
                assert (writes[0], writes[-1]) == (0, 8)


def test_the_target_writes_if_the_draft_can_still_finish_the_solution():
    """50 ms for the target, then three steps: by the draft alone 30 ms, verified with two candidates 60 ms."""
    deadline = Deadline(Specs(n=2), deadline_s=1.0, estimate=known())
    for ms, wanted in ((80.1, 1), (79.9, None), (110.1, 2), (109.9, 1)):
        assert deadline.target_n(Moment((ms - 10) / 1000, known()), 2) == wanted


def test_a_model_that_must_first_read_the_prompt_takes_longer():
    estimate = known(fresh=math.log(3))
    now = Moment(0.2, estimate)
    assert now.needed(Kind.VERIFIED, 1, 2) == pytest.approx(0.02 * (3 + 1))
    now = now.after(Kind.REWARDED, 1, 0.185)
    assert now.used == {Role.DRAFT, Role.PRM}
    assert now.needed(Kind.VERIFIED, 1) == pytest.approx(3 * now.needed(Kind.UNVERIFIED, 1) * 2, rel=0.01)


@pytest.mark.parametrize("name", METHODS)
def test_a_deadline_is_met_and_the_finish_reason_says_whether_it_changed_the_solve(name, clock):
    method = METHODS[name]
    models = ticking(clock)
    latency_model = experienced(models, method)
    plain = [solve(models, method, None, seed=seed) for seed in range(9)]
    usual_s = sorted(result.latency_s for result in plain)[4]
    step_s = max(record.seconds.wall for result in plain for record in result.steps)
    for share in (0.3, 0.6, 1.0):
        for seed in range(9):
            result = solve(models, method, share * usual_s, latency_model, seed)
            assert result.latency_s <= share * usual_s + 1.1 * step_s + max(COST.values())
            felt = result.finish_reason not in (Finish.ANSWER, Finish.END_OF_TEXT)
            assert felt or written(result) == written(plain[seed])
            assert result.finish_reason is not Finish.DEADLINE or written(result) != written(plain[seed])


def test_without_experience_a_solve_starts_narrow_and_widens(clock):
    result = solve(ticking(clock), Specs(n=8, tau=0.0, switch_on="trace", accept_weight=0.0), 3.0)
    widths = [len(record.candidates) for record in result.accepted]
    assert widths[0] == 1
    assert widths[-1] == 8
    assert result.latency_s < 1.0


def test_overtime_is_a_usual_step_but_at_most_half_the_deadline(clock):
    for deadline_s, overtime_s in ((1.0, 0.02), (0.03, 0.015)):
        deadline = Deadline(Specs(n=8), deadline_s=deadline_s)
        assert deadline.overtime_s(known()) == pytest.approx(overtime_s)
        request = next(replace(deadline, estimate=known()).solve("q", LAW, Key.from_seed(0)))
        assert request.overtime_s == pytest.approx(overtime_s)


def test_without_time_for_the_target_a_rejected_step_is_kept(clock):
    """No reward reaches `tau`, so every step would be rewritten by the target, for which there is no time."""
    for deferral, start in (("rewrite", "draft"), ("next", "draft"), ("next", "target")):
        method = Specs(n=2, tau=1.0, switch_on="trace", accept_weight=0.0, deferral=deferral, start=start)
        models = ticking(clock, rate=lambda steps: 0.5)
        latency_model = experienced(models, method)
        hurried = [solve(models, method, 0.025, latency_model, seed) for seed in range(10)]
        relaxed = [solve(models, method, 10.0, latency_model, seed) for seed in range(10)]
        assert all(record.writer is Role.DRAFT for result in hurried for record in result.accepted)
        later = [record for result in relaxed for record in result.accepted[1:]]
        assert later
        assert all(record.writer is Role.TARGET for record in later)


def test_without_a_step_to_keep_the_target_writes_however_late_it_is(clock):
    """The target cannot write any step of the draft, so no candidate has support."""
    only = {name: [0.0 if k == token else -math.inf for k in range(5)] for name, token in (("q", 0), ("p", 1))}
    models = toy.models(lambda ids: only["q"], lambda ids: only["p"])
    deadline = Deadline(Specs(n=2, verify="all"), deadline_s=1.0, estimate=known())
    flow = deadline.solve("q", LAW, Key.from_seed(0))
    request = next(flow)
    assert Role.TARGET in request.verify
    config = SolveConfig(Specs(n=2, verify="all"), LAW, Limits(max_steps=1))
    candidates = stream("q", models, config).result.steps[0].candidates
    assert flow.send(Proposal(candidates[: request.n], 0.001)).keep is False
    rewrite = flow.send(None)
    assert (rewrite.writer, rewrite.n) == (Role.TARGET, 1)


def test_without_any_support_the_solve_ends(clock):
    result = solve(toy.unsupported(ticking(clock, rate=lambda steps: 0.0)), Specs(n=2), 1e6)
    assert result.finish_reason is Finish.NO_SUPPORT


def test_a_deadline_must_be_positive():
    with pytest.raises(InputError, match="deadline_s is 0; give a number above 0"):
        Deadline(Specs(), deadline_s=0)


def test_methods_without_a_schedule_ignore_the_latency_model():
    latency_model = LatencyModel()
    for name in ("beam", "draft", "gsi", "best-of-n", "majority"):
        method = make(name)
        assert latency_model.timed(method, LAW, Limits(deadline_s=1.0)) is method
    specs = Specs()
    assert latency_model.timed(specs, LAW, Limits()) is specs
    timed = latency_model.timed(specs, LAW, Limits(deadline_s=1.0))
    assert isinstance(timed, Deadline)
    assert latency_model.timed(timed, LAW, Limits(deadline_s=2.0)) is timed


def test_the_latency_model_learns_from_every_method_with_steps_of_its_kinds(clock):
    models = ticking(clock)
    for name in ("specs", "gsi", "rsd", "beam", "beam-draft", "draft", "random-switch", "specs+speculation"):
        latency_model = LatencyModel()
        latency_model.learn(solve(models, make(name)))
        assert latency_model.estimate(LAW.steps) != Estimate()
    for name in ("best-of-n", "majority", "ssr", "oracle-route"):
        latency_model = LatencyModel()
        latency_model.learn(solve(toy.models_for(name), make(name)))
        assert latency_model.estimate(LAW.steps) == Estimate()


def test_each_step_policy_has_an_estimate_of_its_own(clock):
    latency_model = experienced(ticking(clock), Specs())
    assert latency_model.estimate(StepPolicy(max_tokens=999)) == Estimate()
    result = solve(ticking(clock), Specs())
    for tokens in range(1, 40):
        latency_model.learn(replace(result, settings={**result.settings, "steps": {"max_tokens": tokens}}))
    assert latency_model.estimate(LAW.steps) == Estimate()  # forgotten, because other policies were used more recently


def test_kinds_of_recorded_steps(clock):
    models = ticking(clock)
    for name, kind in (
        ("draft", Kind.UNVERIFIED),
        ("beam-draft", Kind.REWARDED),
        ("gsi", Kind.VERIFIED),
        ("target", None),
    ):
        result = solve(models, make(name))
        assert {kind_of(record) for record in result.steps if record.writer is result.steps[0].writer} == {kind}
    assert kind_of(solve(models, make("beam")).steps[0]) is Kind.TARGET


def test_a_slowdown_is_noticed_within_the_solve(clock):
    """The latency model was learned on models that were five times faster."""
    method = Specs(n=8, tau=0.0, switch_on="trace", accept_weight=0.0)
    latency_model = experienced(ticking(clock), method)
    usual_s = solve(ticking(clock), method).latency_s
    found = [solve(ticking(clock, 5.0), method, 2 * usual_s, latency_model, seed) for seed in range(10)]
    assert all(result.latency_s <= 2.5 * usual_s + 5 * max(COST.values()) for result in found)
    assert any(kind_of(record) is Kind.UNVERIFIED for result in found for record in result.steps)
