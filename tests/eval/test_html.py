"""The HTML report and its figures: self-contained, labelled, and drawn from the numbers of the report."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from specs.core.statistics import clustered_mean_interval
from specs.eval.environment import environment, machine
from specs.eval.figures import _share_at, figures
from specs.eval.grid import Setting, concurrency_suffix
from specs.eval.html import page
from specs.eval.pareto import pareto_front
from specs.eval.plots import INK
from specs.eval.report import Report
from specs.eval.rows import Row
from specs.eval.store import RecordedRun

PHASES = ("draft", "target_generate", "target_score", "prm", "wall", "orchestration")
WRITERS = {"specs": ("target", "draft", "draft"), "beam": ("target",) * 3, "target": ("target",) * 3}


def _row(problem, method, n, seed, rng):
    trail = [
        {
            "writer": writer,
            "accepted": True,
            "reward": None if method == "target" else float(rng.random()),
            "log_ratio": float(rng.normal()) if writer == "draft" else 0.0,
        }
        for writer in WRITERS[method]
    ]
    latency = float(rng.random() + (n or 1) / 10)
    usage = {"processed": 10, "speculated": 0, "generated": 6, "discarded": 2, "minimum": 10}
    return Row(
        problem, method, n, seed, bool(rng.random() < 0.7), "1", "1", "answer", None, latency, latency / 2,
        3, WRITERS[method].count("draft"), trail, dict.fromkeys(PHASES, latency / 5),
        {"target": usage, "prm": usage}, 1e6,
    )  # fmt: skip


def _report(widths=(4, 8), problems=12, **options):
    rng = np.random.default_rng(1)
    cells = [("specs", n) for n in widths] + [("beam", n) for n in widths] + [("target", None)]
    settings = tuple(Setting(name, name, n, {} if n is None else {"n": n}) for name, n in cells)
    rows = tuple(_row(f"p{k}", name, n, seed, rng) for k in range(problems) for name, n in cells for seed in (0, 1))
    configuration = {"dataset": "<toy> & more", "models": {"target": "p"}, "law": {}, "limits": {}, "seed": 0}
    return Report(configuration, settings, problems, 2, rows, **options)


def _page(report, tmp_path):
    start = {"command": "specs eval --out '<run>'", "started": "then", "ended": None, "environment": environment()}
    run = RecordedRun(tmp_path, report.configuration, list(report.settings), [start], {}, 0)
    return page(report, report.to_json(), [run])


def test_the_page_is_self_contained(tmp_path):
    text = _page(_report(), tmp_path)
    assert re.findall(r"<(?:script|link|img|iframe)|@import|url\((?!#)|(?:src|href)=\"(?!#)", text) == []
    assert "<h1>&lt;toy&gt; &amp; more: 12 problems, 2 seeds</h1>" in text
    assert "--out &#39;&lt;run&gt;&#39;" in text
    assert "a sudden end" in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) == set(ids)
    assert INK not in text
    assert "currentColor" in text
    assert "prefers-color-scheme: dark" in text


def test_warnings_are_shown_only_where_needed(tmp_path):
    calm = _page(_report(), tmp_path)
    assert 'class="warn"' not in calm
    assert calm.count("Pareto front") == 2
    loud = _page(_report(interrupted=True, one_machine=False), tmp_path)
    assert "stopped early" in loud
    assert "different machines, so latencies are not compared" in loud
    assert "Pareto" not in loud


def test_every_figure_has_labels_units_and_intervals():
    report = _report()
    drawn = figures(report, report.to_json())
    assert [figure.title for figure in drawn] == [
        "Accuracy against latency",
        "Latency by phase",
        "Accuracy and latency against n",
        "Rewards and log-ratios of chosen steps",
        "Draft share over steps",
    ]
    units = [("latency of a solve, ms", "right, %"), ("mean of a solve, ms",), ("candidates n", "right, %"),
             ("nats", "steps, %"), ("accepted step", "written by the draft, %")]  # fmt: skip
    for figure, labels in zip(drawn, units, strict=True):
        assert "95% interval" in figure.caption
        for label in labels:
            assert label in figure.svg
    assert figures(report, report.to_json()) == drawn


def test_latency_against_the_number_of_concurrent_solves():
    """Twice the concurrent solves at the same latency is twice the throughput."""
    plain = _report(widths=(4,))
    settings, rows = [], []
    for concurrency in (1, 2, 8):
        for one in plain.settings:
            settings.append(replace(one, label=one.label + concurrency_suffix(concurrency), concurrency=concurrency))
            rows += [replace(row, method=settings[-1].label) for row in plain.rows if row.method == one.label]
    report = replace(plain, settings=tuple(settings), rows=tuple(rows))
    (figure,) = [one for one in figures(report, report.to_json()) if "at the same time" in one.title]
    for label in ("solves at the same time", "latency of a solve, ms", "solves a minute", "specs", "beam", "target"):
        assert label in figure.svg
    assert "1 at a time" not in figure.svg
    assert "95% interval" in figure.caption
    found = report.to_json()["methods"]
    assert found["specs, 8 at a time"]["reference"] == "beam, 8 at a time"


def test_figures_without_data_are_left_out():
    one_n = _report(widths=(4,))
    assert "Accuracy and latency against n" not in [f.title for f in figures(one_n, one_n.to_json())]
    few = _report(problems=4)
    assert "Draft share over steps" not in [f.title for f in figures(few, few.to_json())]
    beams = replace(one_n, settings=one_n.settings[1:], rows=tuple(r for r in one_n.rows if r.method != "specs"))
    assert [f.title for f in figures(beams, beams.to_json())] == ["Accuracy against latency", "Latency by phase"]
    nothing = replace(
        one_n, rows=tuple(replace(row, correct=None, error="broke", finish_reason="error") for row in one_n.rows)
    )
    assert figures(nothing, nothing.to_json()) == []


def test_a_page_of_failures_and_of_one_problem(tmp_path):
    one = _report()
    one = replace(one, rows=tuple(row for row in one.rows if row.problem_id == "p0"))
    assert "1 problem, 2 seeds" in _page(one, tmp_path)
    failed = replace(
        one, rows=tuple(replace(row, correct=None, error="it broke", finish_reason="error") for row in one.rows)
    )
    assert "it is unknown whether 2 of 2 solves" in _page(failed, tmp_path)
    undecided = replace(one, rows=tuple(replace(row, correct=None, error="too long") for row in one.rows))
    assert "(2 undecided; the first: too long)" in _page(undecided, tmp_path)


def test_the_pareto_front_holds_the_points_that_no_other_beats():
    assert pareto_front([(2, 50), (1, 40), (3, 50), (2, 45), (4, 60), (5, 55)]) == [1, 0, 4]


def test_shares_of_a_step_are_over_the_solves_that_reach_it():
    rows = [row for row in _report().rows if row.method == "specs"]
    problems = [row.problem_id for row in rows]
    assert _share_at(rows, 0) == (0, 0.0, clustered_mean_interval([0] * len(rows), problems))
    assert _share_at(rows, 2) == (2, 1.0, clustered_mean_interval([1] * len(rows), problems))
    assert _share_at(rows, 3) is None


def test_the_environment_describes_the_machine():
    found = environment()
    assert found["python"].count(".") == 2
    assert found["libraries"]["numpy"]
    assert found["cores"] >= 1
    assert found["cpu"]
    git = found["git"]
    assert git is None or (re.fullmatch(r"[0-9a-f]{40}", git["commit"]) and git["dirty"] in (True, False))
    assert machine(found) == machine(environment())
    assert machine(found) != machine({**found, "cpu": "another"})


def test_an_installed_package_has_no_commit(monkeypatch):
    monkeypatch.setattr("specs.eval.environment.__file__", "/nowhere/specs/eval/environment.py")
    assert environment()["git"] is None


@pytest.mark.parametrize("seen", [True, False])
def test_a_gpu_is_named_if_torch_finds_one(seen, monkeypatch):
    cuda = SimpleNamespace(is_available=lambda: seen, get_device_name=lambda: "a gpu")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert environment()["gpu"] == ("a gpu" if seen else None)
