"""The runner on exact models: the order of solves, resuming, failures, and a method compared with itself."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

import specs.eval.runner as run_module
from helpers import world
from specs.config import Limits, SolveConfig
from specs.core.statistics import wilson
from specs.decoding.stream import stream
from specs.engines.protocol import Models
from specs.errors import EngineError, InputError
from specs.eval.files import Problem
from specs.eval.grid import GridPoint, names
from specs.eval.report import Report
from specs.eval.rows import Rows
from specs.eval.runner import Plan, solve_all
from specs.eval.table import table
from specs.methods.beam import Beam
from specs.methods.best_of_n import Majority
from specs.methods.single import Single
from specs.methods.specs import Specs
from specs.traces.replay import ReplayEnd, replay
from specs.types import Finish, Role, SamplingParams, StepPolicy

QUESTIONS = world.QUESTIONS[:24]
BIAS = np.array([1, 1, 2, -1, -1, -3])
PROBLEMS = [Problem(question, str(1 + k % 2), None, f"toy:{k}") for k, question in enumerate(QUESTIONS)]
LAW = SamplingParams(steps=StepPolicy(max_tokens=6))
LIMITS = Limits(max_steps=5, max_tokens=24)
SPECS, BEAM = Specs(n=3, beta=2.0), Beam(n=3)


def _models(rate=world.rate):
    return world.models(BIAS, rate)


def _plan(methods, problems=PROBLEMS, seed=5, seeds=1):
    return Plan(problems, [GridPoint(method.name, method) for method in methods], LAW, LIMITS, seed, seeds)


def _run(methods, problems=PROBLEMS, models=None, seeds=1, progress=None, rows=None):
    """Solve what is missing, and return the report."""
    plan, rows = _plan(methods, problems, seeds=seeds), Rows() if rows is None else rows
    interrupted = solve_all(plan, models or _models(), rows, progress)
    configuration = plan.configuration("toy", {"target": "p"})
    return Report(configuration, plan.settings, len(problems), seeds, tuple(rows.by_key.values()), interrupted)


@dataclass(frozen=True)
class _Twin:
    """Beam search under another name."""

    n: int = 3
    name = "twin"
    roles = BEAM.roles

    def solve(self, question, law, key):
        return BEAM.solve(question, law, key)


@pytest.fixture
def solves(monkeypatch):
    """Records the solves that a benchmark makes, in order, as (question, method, seed)."""
    made = []

    def recorded(question, models, config, **options):
        made.append((question, config.method.name, config.seed))
        return stream(question, models, config, **options)

    monkeypatch.setattr(run_module, "stream", recorded)
    return made


def _timeless(rows):
    """Rows without times."""
    return [replace(row, latency_s=0.0, time_to_first_step_s=None, seconds={}) for row in rows]


def test_methods_take_turns(solves):
    """All methods solve a problem before the next problem begins; each method goes first equally often."""
    methods = [SPECS, BEAM, Majority(n=3)]
    names = [method.name for method in methods]
    report = _run(methods, seeds=2)
    warm, counted = solves[:3], solves[3:]
    assert sorted(name for _, name, _ in warm) == sorted(names)
    rounds = [counted[k : k + 3] for k in range(0, len(counted), 3)]
    assert [{question for question, _, _ in turn} for turn in rounds] == [{q} for q in QUESTIONS] * 2
    assert all({name for _, name, _ in turn} == set(names) for turn in rounds)
    first = [turn[0][1] for turn in rounds]
    assert {first.count(name) for name in names} == {len(rounds) // 3}
    assert [seed for _, _, seed in counted] == [5] * 72 + [6] * 72
    assert len(report.rows) == len(counted)


def test_rows_equal_single_solves(solves):
    """A row holds what the same solve returns by itself."""
    report = _run([SPECS], seeds=2)
    for row in report.rows:
        problem = next(p for p in PROBLEMS if p.id == row.problem_id)
        alone = stream(problem.question, _models(), SolveConfig(SPECS, LAW, LIMITS, seed=row.seed)).result
        assert (row.answer, row.finish_reason, row.flops) == (alone.answer, alone.finish_reason, alone.flops)
        assert row.correct == (alone.answer == problem.answer)
        assert row.draft_steps / row.steps == alone.draft_share
        assert row.usage[Role.PRM]["processed"] == alone.usage[Role.PRM].processed
    assert {row.correct for row in report.rows} == {True, False}
    again = [[row.usage for row in report.rows if row.seed == seed] for seed in (5, 6)]
    assert again[0] != again[1]


def test_no_position_is_computed_twice():
    found = _run([SPECS, Specs(n=3, draft_share=0.5), BEAM, Single(Role.DRAFT)]).to_json()["methods"]
    everything = {"draft": 1.0, "target": 1.0, "prm": 1.0}
    assert found["specs"]["processed_over_minimum"] == everything
    assert found["random-switch"]["processed_over_minimum"] == everything
    assert found["beam"]["processed_over_minimum"] == {**everything, "draft": None}
    assert found["draft"]["processed_over_minimum"] == {"draft": 1.0, "target": None, "prm": None}


@pytest.fixture
def drifting_clock(monkeypatch):
    """A clock that advances only when it is read, by a longer tick each time; returns the ticks."""
    ticks = []

    def perf_counter():
        ticks.append(1e-3 * (1 + len(ticks) / 200))
        return sum(ticks)

    monkeypatch.setattr("specs.decoding.clock.time", SimpleNamespace(perf_counter=perf_counter))
    return ticks


def test_a_method_compared_with_itself_has_no_difference(drifting_clock):
    """Equal draws, so exactly no difference; equal latencies although the machine slows down tenfold in between."""
    found = _run([BEAM, _Twin()], seeds=2).to_json()["methods"]
    assert drifting_clock[-1] > 10 * drifting_clock[0]
    difference, ratio = found["twin"]["accuracy_minus_beam"], found["twin"]["latency_ratio_to_beam"]
    assert difference == dict(
        mean=0, mean_at_most=0, low=0, high=0, lower_bound_one_sided=0, p=1, discordant_problems=0,
        verdict="too few to tell", not_worse_by_2_points=False,
    )  # fmt: skip
    assert ratio["low"] <= 1 <= ratio["high"]
    assert ratio["median"] == pytest.approx(1, abs=0.01)
    assert ratio["of_means"] == pytest.approx(1, abs=0.01)
    assert found["beam"]["latency_ratio_to_beam"] == dict(median=1, low=1, high=1, of_means=1)


def _stopping_after(solves_done):
    def progress(standing):
        if standing.done == solves_done:
            raise KeyboardInterrupt

    return progress


def test_a_resumed_run_loses_and_repeats_no_solve(solves):
    rows = Rows()
    part = _run([SPECS, BEAM], rows=rows, progress=_stopping_after(17))
    assert part.interrupted
    assert len(part.rows) == 17
    solves.clear()
    whole = _run([SPECS, BEAM], rows=rows)
    assert not whole.interrupted
    assert len(solves) == 2 + 48 - 17
    assert whole.rows[:17] == part.rows
    assert _timeless(whole.rows) == _timeless(_run([SPECS, BEAM]).rows)
    solves.clear()
    assert _run([SPECS, BEAM], rows=rows).rows == whole.rows
    assert solves == []


def test_concurrent_solves_equal_consecutive_ones():
    """At most `concurrency` solves run at once, sometimes as many; the rows are those of consecutive solves."""
    lock, under_way, most = threading.Lock(), 0, 0

    def rate(steps):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.002)
        with lock:
            under_way -= 1
        return world.rate(steps)

    plan, rows = _plan([SPECS, BEAM]), Rows()
    assert not solve_all(plan, _models(rate), rows, concurrency=3)
    # One engine call asks for several rewards, one after the other.
    assert most == 3
    apart = Rows()
    solve_all(plan, _models(), apart)
    assert {key: _timeless([row]) for key, row in rows.by_key.items()} == {
        key: _timeless([row]) for key, row in apart.by_key.items()
    }


def test_a_stop_ends_and_drops_all_solves_under_way():
    rows = Rows()
    started = time.perf_counter()
    plan = _plan([SPECS, BEAM])
    assert solve_all(plan, _models(), rows, _stopping_after(7), concurrency=3)
    assert len(rows.by_key) == 7
    assert not solve_all(plan, _models(), rows, concurrency=3)
    assert len(rows.by_key) == 48
    assert time.perf_counter() - started < 120


def test_a_failed_solve_is_repeated_and_the_newer_row_counts(solves):
    rows = Rows()
    failed = {row.key for row in _run([BEAM, Single()], models=_models(_breaking), rows=rows).rows if row.error}
    assert 4 < len(failed) < 20
    solves.clear()
    mended = _run([BEAM, Single()], rows=rows)
    assert len(solves) == 1 + len(failed)
    assert sorted(_timeless(mended.rows), key=repr) == sorted(_timeless(_run([BEAM, Single()]).rows), key=repr)


def test_one_method_in_two_configurations(solves):
    """Label and n identify a configuration; a report states n where a label occurs with several."""
    points = [
        GridPoint("specs", SPECS),
        GridPoint("specs tau=0.5", replace(SPECS, tau=0.5)),
        GridPoint("specs", Specs(n=2, beta=2.0)),
    ]
    rows = Rows()
    assert not solve_all(Plan(PROBLEMS[:3], points, LAW, LIMITS), _models(), rows)
    assert {(row.method, row.n) for row in rows.by_key.values()} == {("specs", 3), ("specs tau=0.5", 3), ("specs", 2)}
    assert len(rows.by_key) == 9
    settings = [point.setting for point in points]
    assert list(names(settings).values()) == ["specs n=3", "specs tau=0.5 n=3", "specs n=2"]
    assert list(names(settings[:2]).values()) == ["specs", "specs tau=0.5"]
    assert list(names([*settings, GridPoint("target", Single()).setting]).values())[-1] == "target"


def _breaking(steps):
    if "bb" in steps[0]:
        raise EngineError("the reward model broke")
    return world.rate(steps)


def test_a_failed_solve_is_not_counted_as_wrong():
    """The PRM fails on some traces: those solves may be right or wrong, and have no latency."""
    models = _models(_breaking)
    report = _run([BEAM, Single()], models=models)
    alone = [stream(p.question, models, SolveConfig(BEAM, LAW, LIMITS, seed=5)).result for p in PROBLEMS]
    good = [(r.answer == p.answer) for r, p in zip(alone, PROBLEMS, strict=True) if r.finish_reason is not Finish.ERROR]
    assert 5 < len(good) < 20
    found = report.to_json()["methods"]
    failed = len(PROBLEMS) - len(good)
    assert (found["beam"]["solves"], found["beam"]["failed"]) == (len(PROBLEMS), failed)
    assert found["beam"]["accuracy"] == sum(good) / len(PROBLEMS)
    assert found["beam"]["accuracy_at_most"] == (sum(good) + failed) / len(PROBLEMS)
    low, high = found["beam"]["accuracy_interval"]
    assert low == wilson(sum(good), len(PROBLEMS)).low
    assert high == wilson(sum(good) + failed, len(PROBLEMS)).high
    assert found["beam"]["first_error"] == "the reward model broke"
    assert found["target"]["failed"] == 0
    # a solve that beam failed may have been right, the worst case for its rival, or wrong
    target = sum(row.correct for row in report.rows if row.method == "target")
    minus = found["target"]["accuracy_minus_beam"]
    assert minus["mean"] == pytest.approx((target - sum(good) - failed) / len(PROBLEMS))
    assert minus["mean_at_most"] == pytest.approx((target - sum(good)) / len(PROBLEMS))
    # failed solves have no latency
    ratios = {row.problem_id for row in report.rows if row.method == "beam" and not row.failed}
    assert len(ratios) == len(good)
    text = table(report.to_json())
    assert f"beam: it is unknown whether {failed} of 24 solves are right" in text
    assert "the first: the reward model broke" in text


def test_an_unforeseen_exception_fails_its_solve_only(caplog):
    """The traceback is logged, and the row states the exception."""

    def rate(steps):
        if len(steps) == 2:
            raise IndexError("list index\nout of range")
        return world.rate(steps)

    plan = _plan([BEAM, Single()], PROBLEMS[:6])
    for concurrency in (1, 2):
        rows = Rows()
        assert not solve_all(plan, _models(rate), rows, concurrency=concurrency)
        broken = [row for row in rows.by_key.values() if row.failed]
        assert len(rows.by_key) == 12
        assert 0 < len(broken) <= 6
        assert all(row.error.startswith("IndexError: list index out of range") for row in broken)
        assert all(row.correct is None for row in broken)
        assert all(not rows.done(row.key) for row in broken), "the next start solves them again"
    assert "Traceback" in caplog.text


def test_ctrl_c_reports_the_finished_solves():
    report = _run([SPECS, BEAM], progress=_stopping_after(9))
    found = report.to_json()
    assert found["interrupted"]
    assert sum(method["solves"] for method in found["methods"].values()) == 9
    assert "stopped early" in table(found)
    nothing = _run([SPECS, BEAM], progress=_stopping_after(0)).to_json()
    assert nothing["methods"]["specs"]["accuracy"] is None
    json.dumps(nothing, allow_nan=False)


def test_progress_counts():
    calls, rows = [], Rows()
    first = _run([BEAM], PROBLEMS[:2], rows=rows)
    report = _run([BEAM], PROBLEMS[:6], rows=rows, progress=lambda standing: calls.append(replace(standing)))
    assert [(standing.done, standing.total) for standing in calls] == [(2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]
    assert calls[0].seconds_left is None
    assert all(standing.seconds_left > 0 for standing in calls[1:-1])
    assert calls[-1].seconds_left == 0
    assert calls[-1].graded == {"beam": (sum(row.correct for row in report.rows), 6)}
    assert len(first.rows) == 2


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"problems": []}, "at least one problem"),
        ({"methods": []}, "one method"),
        ({"seeds": 0}, "one seed"),
        ({"methods": [BEAM, BEAM]}, "method beam with n=3 is given twice"),
        ({"methods": [Single(), Single()]}, "method target is given twice"),
        ({"problems": [PROBLEMS[0], PROBLEMS[0]]}, "same id"),
        ({"models": Models(target=_models().target)}, "method beam needs a prm model"),
    ],
)
def test_invalid_plans_are_refused(change, fault):
    with pytest.raises(InputError, match=fault):
        _run(**{"methods": [BEAM], **change})


class _Panic(BaseException):
    """Not an `Exception`, like the panics of libraries in Rust."""

    def __str__(self):
        raise ValueError("not even that")


@pytest.mark.parametrize("raised", [_Panic, SystemExit, GeneratorExit, ValueError])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_any_exception_of_an_engine_fails_its_solve_only(raised, concurrency):
    def rate(steps):
        if len(steps) == 2:
            raise raised
        return world.rate(steps)

    plan, rows = _plan([BEAM, Single()], PROBLEMS[:6]), Rows()
    assert not solve_all(plan, _models(rate), rows, concurrency=concurrency)
    assert len(rows.by_key) == 12
    broken = [row for row in rows.by_key.values() if row.failed]
    assert broken
    assert all(row.error.startswith(f"{raised.__name__}: no message") for row in broken)


def test_a_failed_solve_can_be_replayed_up_to_its_end(tmp_path):
    """Its trace has the settings of the solve and the steps before the failure."""

    class Kept(Rows):
        def add(self, row, result):
            super().add(row, result)
            assert replay(result).ended is (ReplayEnd.CUT if row.failed else ReplayEnd.COMPLETE)

    def rate(steps):
        if len(steps) == 2:
            raise ValueError("broke")
        return world.rate(steps)

    solve_all(_plan([BEAM, SPECS], PROBLEMS[:4]), _models(rate), rows := Kept())
    assert any(row.failed for row in rows.by_key.values())
