"""The folder of a run: what a stop at any byte leaves, growth, refusals, and reports over several runs."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace

import pytest

from helpers import toy
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.errors import InputError
from specs.eval.aggregate import aggregate
from specs.eval.files import Problem
from specs.eval.grid import GridPoint
from specs.eval.runner import Plan, solve_all
from specs.eval.store import RESULTS, RUN, TRACES, RunFolder, read_run
from specs.methods.beam import Beam
from specs.methods.single import Single
from specs.methods.specs import Specs
from specs.traces.schema import result_json
from specs.types import SamplingParams, StepPolicy

PROBLEMS = [Problem(f"{letter}", "1", None, f"toy:{letter}") for letter in "abc"]
POINTS = [GridPoint("specs", Specs(n=3, beta=2.0)), GridPoint("beam", Beam(n=3)), GridPoint("target", Single())]
LAW, LIMITS = SamplingParams(steps=StepPolicy(max_tokens=4)), Limits(max_steps=3, max_tokens=12)
ENVIRONMENT = {"cpu": "one", "cores": 2, "gpu": None, "threads": "1"}


def _evaluate(path, points=POINTS, problems=PROBLEMS, seeds=1, environment=ENVIRONMENT, progress=None, **changes):
    """Do what `specs eval` does, on exact models."""
    plan = Plan(problems, points, LAW, LIMITS, seed=5, seeds=seeds)
    models = {"draft": "q", "target": "p", "prm": "r"}
    roles = {role for point in points for role in point.method.roles}
    configuration = {
        **plan.configuration("toy", {role: name for role, name in models.items() if role in roles}),
        "problem_seed": 7,
        **changes,
    }
    with RunFolder(path, configuration, plan.settings) as folder:
        folder.begin({"limit": len(problems), "seeds": seeds, "command": "specs eval", "environment": environment})
        folder.end(solve_all(plan, toy.models(), folder, progress))
    return read_run(path)


def _timeless(run):
    """Rows without times."""
    return {
        key: replace(row, latency_s=0.0, time_to_first_step_s=None, seconds={}, trace=None)
        for key, row in run.rows.items()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return _evaluate(tmp_path_factory.mktemp("whole") / "run")


def test_a_row_and_a_trace_for_every_solve(whole):
    lines = (whole.path / RESULTS).read_text().splitlines()
    assert len(lines) == len(whole.rows) == 9
    with gzip.open(whole.path / TRACES, "rt") as file:
        traces = [json.loads(line) for line in file]
    assert [(t["problem_id"], t["label"], t["settings"]["method"].get("n"), t["seed"]) for t in traces] == list(
        whole.rows
    )
    assert [whole.trace(row) for row in whole.rows.values()] == traces
    # equals the same solve by itself, except for times
    alone = result_json(
        stream("b", toy.models(), SolveConfig(POINTS[0].method, LAW, LIMITS, seed=5)).result,
        candidates=True,
    )
    kept = whole.trace(whole.rows["toy:b", "specs", 3, 5])
    assert [step["candidates"] for step in kept["steps"]] == json.loads(
        json.dumps([step["candidates"] for step in alone["steps"]])
    )


def test_a_run_killed_at_any_byte_can_be_resumed(whole, tmp_path):
    """The last trace and the last row are cut after any prefix: no solve is lost, none is there twice."""
    results, traces = (whole.path / RESULTS).read_bytes(), (whole.path / TRACES).read_bytes()
    *_, last = whole.rows.values()
    *_, before_last = list(whole.rows.values())[:-1]
    start = results.rstrip(b"\n").rfind(b"\n") + 1
    torn = [(start, cut) for cut in range(before_last.trace[1], last.trace[1] + 1, 97)]
    torn += [(cut, last.trace[1]) for cut in range(start, len(results) + 1, 41)]
    for row_bytes, trace_bytes in [*torn, (len(results), last.trace[1])]:
        path = tmp_path / "run"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(whole.path, path)
        (path / ".run.json.123.part").write_text("{")
        (path / RESULTS).write_bytes(results[:row_bytes])
        (path / TRACES).write_bytes(traces[:trace_bytes])
        made = _evaluate(path)
        assert _timeless(made) == _timeless(whole)
        assert len((path / RESULTS).read_text().splitlines()) == 9
        with gzip.open(path / TRACES, "rt") as file:
            assert len(file.readlines()) == 9
        for key, row in made.rows.items():
            assert made.trace(row)["text"] == whole.trace(whole.rows[key])["text"]
        assert not list(path.glob("*.part"))


def test_a_run_may_grow(whole, tmp_path):
    """More problems, seeds, n and methods are added to the run; no solve is repeated."""
    path, solved = tmp_path / "run", []
    small = _evaluate(path, POINTS[1:2], PROBLEMS[:2])
    assert set(small.configuration["models"]) == {"target", "prm"}
    points = [*POINTS, GridPoint("beam", Beam(n=2)), GridPoint("specs tau=0.5", Specs(n=3, beta=2.0, tau=0.5))]
    grown = _evaluate(path, points, seeds=2, progress=lambda standing: solved.append(standing.total))
    assert len(grown.rows) == 5 * 3 * 2
    assert len(solved) == 1 + 30 - 2
    assert len(grown.starts) == 2
    assert set(grown.configuration["models"]) == {"draft", "target", "prm"}
    assert {key: grown.rows[key] for key in small.rows} == small.rows
    assert {key: _timeless(grown)[key] for key in whole.rows} == _timeless(whole)
    # a smaller command afterwards removes nothing
    assert _evaluate(path, POINTS[1:2], PROBLEMS[:2]).rows == grown.rows
    report, _ = aggregate([path])
    assert list(report.by_name()) == ["beam n=3", "specs n=3", "target", "beam n=2", "specs tau=0.5 n=3"]
    assert (report.limit, report.repeats, report.interrupted) == (3, 2, False)


def test_a_later_start_may_ask_for_less(tmp_path):
    """The first start asks for three problems and is killed at once; the second asks for two and solves them."""
    path = tmp_path / "run"
    _evaluate(path, problems=PROBLEMS[:1])
    record = json.loads((path / "run.json").read_text())
    record["starts"][0] |= {"limit": 3, "seeds": 2, "ended": None, "interrupted": None}
    (path / "run.json").write_text(json.dumps(record))
    report, _ = aggregate([path])
    assert (report.limit, report.repeats, report.interrupted) == (3, 2, True)
    _evaluate(path, problems=PROBLEMS[:2])
    report, _ = aggregate([path])
    assert (report.limit, report.repeats, report.interrupted) == (2, 1, False)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dataset": "other"}, r"its dataset differ"),
        ({"seed": 6}, r"its seed differ"),
        ({"law": {}, "limits": {}}, r"its law, limits differ"),
        ({"models": {"draft": "q", "target": "big", "prm": "r"}}, r"its models differ"),
        (
            {"points": [GridPoint("beam", Beam(n=3)), GridPoint("specs", Specs(n=3, beta=4.0))]},
            r"beta=2.0, not 4.0; add it as sp",
        ),
    ],
)
def test_a_different_configuration_is_refused_by_name(whole, change, named):
    before = {path.name: path.read_bytes() for path in whole.path.iterdir()}
    with pytest.raises(InputError, match=named):
        _evaluate(whole.path, **change)
    assert {path.name: path.read_bytes() for path in whole.path.iterdir()} == before


def test_two_runs_cannot_share_a_folder(whole):
    plan = Plan(PROBLEMS, POINTS, LAW, LIMITS, seed=5)
    configuration = whole.configuration
    with RunFolder(whole.path, configuration, plan.settings), pytest.raises(InputError, match="in use by another run"):
        RunFolder(whole.path, configuration, plan.settings)
    RunFolder(whole.path, configuration, plan.settings).__exit__()


def test_folders_of_other_content_are_refused_and_unchanged(tmp_path, whole):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        _evaluate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(InputError, match=r"notes.txt/run cannot hold a run"):
        _evaluate(tmp_path / "notes.txt" / "run")
    broken = tmp_path / "run"
    for name, content, fault in (
        (RUN, "[]", "was not written by 'specs eval'"),
        (RUN, '{"format": 99}', "has format 99"),
        (RESULTS, '{"a": 1}\n', "line 1: not a row"),
        (RESULTS, "{\n", "line 1: not a row"),
        (TRACES, "", "shorter than the rows in the folder"),
    ):
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(whole.path, broken)
        (broken / name).write_text(content)
        with pytest.raises(InputError, match=fault):
            _evaluate(broken)
        assert (broken / name).read_text() == content
    with pytest.raises(InputError, match="not a folder of 'specs eval'"):
        read_run(tmp_path / "nowhere")


def test_a_full_disk_is_an_error_of_one_line_and_the_run_can_be_resumed(tmp_path, monkeypatch, whole):
    path, append = tmp_path / "run", RunFolder._append
    left = [5]

    def full(file, content):
        left[0] -= 1
        if left[0] < 0:
            file.write(content[:7])
            file.flush()
            raise OSError(28, "No space left on device")
        append(file, content)

    monkeypatch.setattr(RunFolder, "_append", staticmethod(full))
    with pytest.raises(InputError, match=r"cannot take another row \(No space left"):
        _evaluate(path)
    monkeypatch.setattr(RunFolder, "_append", staticmethod(append))
    assert len(read_run(path).rows) == 2
    assert aggregate([path])[0].interrupted
    assert _timeless(_evaluate(path)) == _timeless(whole)


def test_a_stopped_run_is_marked_as_interrupted(tmp_path, whole):
    def stop(standing):
        if standing.done == 4:
            raise KeyboardInterrupt

    part = _evaluate(tmp_path / "run", progress=stop)
    assert len(part.rows) == 4
    assert aggregate([part.path])[0].interrupted
    assert not aggregate([whole.path])[0].interrupted
    nothing = _evaluate(tmp_path / "none", progress=lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(InputError, match="nothing to report"):
        aggregate([nothing.path])


def test_a_report_does_not_depend_on_the_order_of_the_rows(whole, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(whole.path, path)
    lines = (path / RESULTS).read_text().splitlines()
    (path / RESULTS).write_text("\n".join(reversed(lines)) + "\n")
    assert aggregate([path])[0].to_json() == aggregate([whole.path])[0].to_json()


def test_runs_are_merged_by_method_and_conditions(tmp_path, whole):
    """Equal methods under equal conditions are merged; others are named after their folders."""
    specs, beam = (_evaluate(tmp_path / name, [point]) for name, point in zip(("s", "b"), POINTS, strict=False))
    report, runs = aggregate([specs.path, beam.path])
    assert list(report.by_name()) == ["specs", "beam"]
    assert report.configuration["models"] == {"draft": "q", "target": "p", "prm": "r"}
    assert report.to_json()["methods"]["specs"]["reference"] == "beam"
    assert len(runs) == 2
    # equal solves count once
    assert len(aggregate([whole.path, specs.path])[0].rows) == 9
    # other models: both beams stay, and each specs is compared with its own
    other = _evaluate(tmp_path / "other", POINTS[:2], models={"draft": "q2", "target": "p", "prm": "r"})
    report, _ = aggregate([whole.path, other.path])
    names = [f"{method} ({path})" for path in (whole.path, other.path) for method in ("specs", "beam", "target")][:5]
    assert list(report.by_name()) == [*names[:2], "target", *names[3:]]
    assert report.to_json()["methods"][names[3]]["reference"] == names[4]
    assert report.configuration["models"]["draft"] == "q, q2"
    # the same label with other options
    tuned = _evaluate(tmp_path / "tuned", [GridPoint("specs", Specs(n=3, beta=2.0, tau=0.5))])
    assert len(aggregate([whole.path, tuned.path])[0].by_name()) == 4


def test_a_failed_row_does_not_hide_a_finished_one(whole, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(whole.path, path)
    lines = [json.loads(line) for line in (path / RESULTS).read_text().splitlines()]
    lines[0] |= {"correct": None, "error": "broke"}
    (path / RESULTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    for order in ([whole.path, path], [path, whole.path]):
        assert all(row.correct is not None for row in aggregate(order)[0].rows)


def test_runs_that_cannot_be_merged_are_refused(tmp_path, whole):
    other = _evaluate(tmp_path / "other", POINTS[1:2], problem_seed=8)
    with pytest.raises(InputError, match=r"has problem_seed 8, .* has 7"):
        aggregate([whole.path, other.path])
    changed = [Problem(problem.question, "2", None, problem.id) for problem in PROBLEMS]
    other = _evaluate(tmp_path / "changed", POINTS[1:2], changed)
    with pytest.raises(InputError, match="two reference answers"):
        aggregate([whole.path, other.path])


def test_different_machines_are_noticed(tmp_path, whole):
    other = _evaluate(tmp_path / "other", POINTS[1:2], environment={**ENVIRONMENT, "cpu": "two"})
    assert aggregate([other.path])[0].one_machine
    assert not aggregate([whole.path, other.path])[0].one_machine
