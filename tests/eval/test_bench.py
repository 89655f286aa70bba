"""The benchmark on exact models: turns, resume, failures, and what a method is against itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

import specs.eval.bench as bench_module
from specs.drive import stream
from specs.engine import Models
from specs.errors import EngineError, InputError
from specs.eval.bench import bench
from specs.eval.datasets import Problem
from specs.machine import Limits
from specs.methods.beam import Beam
from specs.methods.single import Single
from specs.methods.specs import Specs
from specs.methods.whole import Majority
from specs.models.tabular import TabularPolicy, TabularReward, TabularText
from specs.types import Finish, Law, Role, StepPolicy

QUESTIONS = [f"q{k}" for k in range(24)]
PIECES = ["a", "b", "\n\n", "\\boxed{1}", "\\boxed{2}", "", *QUESTIONS]


class _Text(TabularText):
    """The prompt is the question's own token, so every problem has draws of its own."""

    def prompt(self, question, system=None, generation=True):
        return [PIECES.index(question)]


BIAS = np.array([1, 1, 2, -1, -1, -3])
TEXT = _Text(PIECES, end_id=5)
PROBLEMS = [Problem(question, str(1 + k % 2), None, f"toy:{k}") for k, question in enumerate(QUESTIONS)]
LAW = Law(steps=StepPolicy(max_tokens=6))
LIMITS = Limits(max_steps=5, max_tokens=24)
SPECS, BEAM = Specs(n=3, beta=2.0), Beam(n=3)


def _table(seed):
    def look_up(ids):
        logits = np.full(len(PIECES), -np.inf)
        logits[:6] = BIAS + np.random.default_rng([seed, len(ids), *ids]).normal(size=6)
        return logits

    return look_up


def _rate(steps):
    return float(np.random.default_rng([len(steps), *"|".join(steps).encode()]).random())


def _models(rate=_rate):
    return Models(
        TabularPolicy("q", TEXT, _table(1)), TabularPolicy("p", TEXT, _table(2)), TabularReward("r", TEXT, rate)
    )


def _bench(methods, problems=PROBLEMS, models=None, seed=5, dataset="toy", law=LAW, **options):
    return bench(problems, models or _models(), methods, law, LIMITS, seed, dataset=dataset, **options)


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
    """The solves that a benchmark makes, in order: (question, method, seed)."""
    made = []

    def recorded(question, models, method, **options):
        made.append((question, method.name, options["seed"]))
        return stream(question, models, method, **options)

    monkeypatch.setattr(bench_module, "stream", recorded)
    return made


def _timeless(rows):
    """Rows without what differs from run to run."""
    return [replace(row, latency_s=0.0, time_to_first_step_s=None, seconds={}) for row in rows]


def test_methods_take_turns(solves):
    """Every problem is solved by all methods before the next; each of them goes first equally often."""
    methods = [SPECS, BEAM, Majority(n=3)]
    names = [method.name for method in methods]
    report = _bench(methods, repeats=2)
    warm, counted = solves[:3], solves[3:]
    assert sorted(name for _, name, _ in warm) == sorted(names)
    rounds = [counted[k : k + 3] for k in range(0, len(counted), 3)]
    assert [{question for question, _, _ in turn} for turn in rounds] == [{q} for q in QUESTIONS] * 2
    assert all({name for _, name, _ in turn} == set(names) for turn in rounds)
    first = [turn[0][1] for turn in rounds]
    assert {first.count(name) for name in names} == {len(rounds) // 3}
    assert [seed for _, _, seed in counted] == [5] * 72 + [6] * 72
    assert len(report.rows) == len(counted)


def test_rows_are_the_solves(solves):
    """What is reported of a solve is what the driver says of the same solve by itself."""
    report = _bench([SPECS], repeats=2)
    for row in report.rows:
        problem = next(p for p in PROBLEMS if p.id == row.problem_id)
        alone = stream(problem.question, _models(), SPECS, law=LAW, limits=LIMITS, seed=5 + row.repeat).result
        assert (row.answer, row.finish_reason, row.flops) == (alone.answer, alone.finish_reason, alone.flops)
        assert row.correct == (alone.answer == problem.answer)
        assert row.draft_steps / row.steps == alone.draft_share
        assert row.usage[Role.PRM]["processed"] == alone.usage[Role.PRM].processed
    assert {row.correct for row in report.rows} == {True, False}
    again = [[row.usage for row in report.rows if row.repeat == repeat] for repeat in range(2)]
    assert again[0] != again[1]


def test_nothing_is_computed_twice():
    found = _bench([SPECS, Specs(n=3, draft_share=0.5), BEAM, Single(Role.DRAFT)]).to_json()["methods"]
    everything = {"draft": 1.0, "target": 1.0, "prm": 1.0}
    assert found["specs"]["processed_over_minimum"] == everything
    assert found["random-switch"]["processed_over_minimum"] == everything
    assert found["beam"]["processed_over_minimum"] == {**everything, "draft": None}
    assert found["draft"]["processed_over_minimum"] == {"draft": 1.0, "target": None, "prm": None}


@pytest.fixture
def drifting_clock(monkeypatch):
    """A clock that passes only when it is read, each tick longer than the last; returns the ticks."""
    ticks = []

    def perf_counter():
        ticks.append(1e-3 * (1 + len(ticks) / 200))
        return sum(ticks)

    monkeypatch.setattr("specs.machine.time", SimpleNamespace(perf_counter=perf_counter))
    return ticks


def test_a_method_against_itself(drifting_clock):
    """Same draws, so no difference at all; the same time, although the machine slows down tenfold."""
    found = _bench([BEAM, _Twin()], repeats=2).to_json()["methods"]
    assert drifting_clock[-1] > 10 * drifting_clock[0]
    difference, ratio = found["twin"]["accuracy_minus_beam"], found["twin"]["latency_ratio_to_beam"]
    assert difference == dict(
        mean=0, low=0, high=0, lower_bound_one_sided=0, discordant_problems=0, not_worse_by_2_points=True
    )
    assert ratio["low"] <= 1 <= ratio["high"]
    assert ratio["median"] == pytest.approx(1, abs=0.01)
    assert ratio["of_means"] == pytest.approx(1, abs=0.01)
    assert found["beam"]["latency_ratio_to_beam"] == dict(median=1, low=1, high=1, of_means=1)


def _stopping_after(solves_done):
    def progress(done, total, seconds_left):
        if done == solves_done:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("cut", ["", '{"problem_id": "toy:3", "meth'])
def test_resume_loses_and_repeats_nothing(tmp_path, solves, cut):
    path = tmp_path / "rows.jsonl"
    part = _bench([SPECS, BEAM], rows=path, progress=_stopping_after(17))
    assert part.interrupted
    assert len(part.rows) == 17
    assert len(path.read_text().splitlines()) == 1 + 17
    with path.open("a") as file:  # as a killed process would leave it
        file.write(cut)
    solves.clear()
    whole = _bench([SPECS, BEAM], rows=path)
    assert not whole.interrupted
    assert len(solves) == 2 + 48 - 17
    assert whole.rows[:17] == part.rows
    assert _timeless(whole.rows) == _timeless(_bench([SPECS, BEAM]).rows)
    solves.clear()
    assert _bench([SPECS, BEAM], rows=path).rows == whole.rows
    assert solves == []
    kept = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert len({(row["problem_id"], row["method"], row["repeat"]) for row in kept}) == len(kept) == 48


def test_a_run_can_grow(tmp_path, solves):
    """More problems and more repeats use the rows that are there; a smaller run reports its own alone."""
    path = tmp_path / "rows.jsonl"
    small = _bench([BEAM], PROBLEMS[:5], rows=path)
    solves.clear()
    grown = _bench([BEAM], PROBLEMS[:8], rows=path, repeats=2)
    assert len(solves) == 1 + 16 - 5
    assert grown.rows[:5] == small.rows
    assert _bench([BEAM], PROBLEMS[:5], rows=path).rows == small.rows


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 6}, "seed"),
        ({"dataset": "other"}, "dataset"),
        ({"law": Law(temperature=0.5)}, "law"),
        ({"methods": [Beam(n=4)]}, "methods"),
        ({"models": replace(_models(), draft=None)}, "models"),
    ],
)
def test_rows_of_another_run_are_refused(tmp_path, change, named):
    path = tmp_path / "rows.jsonl"
    _bench([BEAM], PROBLEMS[:2], rows=path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=rf"another run \(its {named} differ\)"):
        _bench(**{"methods": [BEAM], "problems": PROBLEMS[:2], "rows": path, **change})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "fault"),
    [("my notes", "no benchmark rows"), ("my notes\n", "line 1: not a JSON object"), ("[]\n{}\n", "line 1")],
)
def test_a_file_of_something_else_is_left_alone(tmp_path, content, fault):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=fault):
        _bench([BEAM], PROBLEMS[:2], rows=path)
    assert path.read_text() == content


def test_a_broken_row_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    _bench([BEAM], PROBLEMS[:2], rows=path)
    header, first, _ = path.read_text().splitlines()
    for broken, fault in (("{", "not a JSON object"), ('{"a": 1}', "a row has problem_id")):
        path.write_text(f"{header}\n{first}\n{broken}\n")
        with pytest.raises(InputError, match=f"line 3: {fault}"):
            _bench([BEAM], PROBLEMS[:2], rows=path)
    with pytest.raises(InputError, match="cannot hold rows"):
        _bench([BEAM], PROBLEMS[:2], rows=tmp_path)


def test_failed_is_not_wrong():
    """A reward model that breaks on some traces: those solves leave accuracy, latency and pairs."""

    def breaking(steps):
        if "bb" in steps[0]:
            raise EngineError("the reward model broke")
        return _rate(steps)

    models = _models(breaking)
    report = _bench([BEAM, Single()], models=models)
    alone = [stream(p.question, models, BEAM, law=LAW, limits=LIMITS, seed=5).result for p in PROBLEMS]
    good = [(r.answer == p.answer) for r, p in zip(alone, PROBLEMS, strict=True) if r.finish_reason is not Finish.ERROR]
    assert 5 < len(good) < 20
    found = report.to_json()["methods"]
    assert (found["beam"]["solves"], found["beam"]["failed"]) == (len(good), len(PROBLEMS) - len(good))
    assert found["beam"]["accuracy"] == sum(good) / len(good)
    assert found["beam"]["first_error"] == "the reward model broke"
    assert found["target"]["failed"] == 0
    # pairs leave out what either method failed
    kept = {row.problem_id for row in report.rows if row.method == "beam" and row.correct is not None}
    target = [row.correct for row in report.rows if row.method == "target" and row.problem_id in kept]
    assert found["target"]["accuracy_minus_beam"]["mean"] == pytest.approx((sum(target) - sum(good)) / len(good))
    assert "failed solves: the reward model broke" in report.table()


def test_ctrl_c_reports_what_was_finished():
    report = _bench([SPECS, BEAM], progress=_stopping_after(9))
    found = report.to_json()
    assert found["interrupted"]
    assert sum(method["solves"] for method in found["methods"].values()) == 9
    assert "stopped early" in report.table()
    nothing = _bench([SPECS, BEAM], progress=_stopping_after(0)).to_json()
    assert nothing["methods"]["specs"]["accuracy"] is None
    json.dumps(nothing, allow_nan=False)


def test_progress_counts_and_rows_are_on_disk_at_once(tmp_path):
    path, calls, on_disk = tmp_path / "rows.jsonl", [], []

    def progress(*call):
        calls.append(call)
        on_disk.append(len(path.read_text().splitlines()) - 1)

    _bench([BEAM], PROBLEMS[:2], rows=path)
    _bench([BEAM], PROBLEMS[:6], rows=path, progress=progress)
    assert [(done, total) for done, total, _ in calls] == [(2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]
    assert on_disk == [2, 3, 4, 5, 6]
    assert calls[0][2] is None
    assert all(left > 0 for _, _, left in calls[1:-1])
    assert calls[-1][2] == 0


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"problems": []}, "at least one problem"),
        ({"methods": []}, "one method"),
        ({"repeats": 0}, "one repeat"),
        ({"methods": [BEAM, Beam(n=5)]}, "method beam is given twice"),
        ({"problems": [PROBLEMS[0], PROBLEMS[0]]}, "same id"),
        ({"models": Models(target=_models().target)}, "method beam needs a prm model"),
    ],
)
def test_what_cannot_be_run_is_refused(change, fault):
    with pytest.raises(InputError, match=fault):
        _bench(**{"methods": [BEAM], **change})
