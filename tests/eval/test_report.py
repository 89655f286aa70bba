"""The numbers of the report, compared with values worked by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from specs.core.statistics import clustered_mean_interval, wilson
from specs.eval.grid import Setting
from specs.eval.report import Report
from specs.eval.rows import Row
from specs.eval.table import table

PHASES = ("draft", "target_generate", "target_score", "prm", "wall", "orchestration")


def _row(
    problem,
    method,
    right,
    latency,
    *,
    seed=0,
    n: int | None = 4,
    steps=4,
    draft=0,
    processed=10,
    minimum: int | None = 10,
):
    usage = {"processed": processed, "speculated": 0, "generated": 6, "discarded": 2, "minimum": minimum}
    return Row(
        problem_id=problem,
        method=method,
        n=n,
        seed=seed,
        correct=right,
        answer="1",
        reference="1",
        finish_reason="answer" if right is not None else "error",
        error=None if right is not None else "broke",
        latency_s=latency,
        time_to_first_step_s=latency / 2,
        steps=steps,
        draft_steps=draft,
        trail=[],
        seconds=dict.fromkeys(PHASES, 0.0) | {"wall": latency, "orchestration": latency / 10},
        usage={"target": usage, "prm": usage},
        flops=100.0 * latency,
    )


def _report(rows, *names, repeats=1, one_machine=True, **options):
    """A report on these methods with n = 4; `name=options` gives a method other options."""
    chosen = [(name, options.get(name, {"n": 4})) for name in names]
    settings = tuple(Setting(name, name, one.get("n"), one) for name, one in chosen)
    configuration = {"dataset": "toy", "models": {"target": "p"}, "law": {}, "limits": {}, "seed": 3}
    problems = len({row.problem_id for row in rows})
    return Report(configuration, settings, problems, repeats, tuple(rows), one_machine=one_machine)


ROWS = [
    _row("x", "beam", True, 1.0),
    _row("x", "specs", True, 0.5, draft=3),
    _row("y", "specs", False, 3.0, steps=2, draft=0, processed=14),
    _row("y", "beam", True, 2.0),
    _row("z", "beam", False, 4.0),
    _row("z", "specs", True, 2.0, draft=2),
]


def test_a_method_by_hand():
    found = _report(ROWS, "specs", "beam").to_json()["methods"]["specs"]
    assert (found["solves"], found["failed"], found["first_error"]) == (3, 0, None)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["accuracy_interval"] == pytest.approx(list(wilson(2, 3)))
    latency = found["latency_s"]
    low, high = latency.pop("interval")
    assert 0 < low < 5.5 / 3 < high
    assert latency == pytest.approx({"mean": 5.5 / 3, "p50": 2.0, "p95": 2.9, "per_step": 5.5 / 10})
    assert found["processed_over_minimum"] == pytest.approx({"draft": None, "target": 34 / 30, "prm": 34 / 30})
    assert found["orchestration_share"] == pytest.approx(0.1)
    assert found["draft_share"] == pytest.approx(5 / 10)
    assert found["steps_mean"] == pytest.approx(10 / 3)
    assert found["tokens"]["target"] == pytest.approx(
        {"processed": 34 / 3, "speculated": 0, "generated": 6, "discarded": 2}
    )
    assert set(found["tokens"]) == {"target", "prm"}
    assert found["flops"] == pytest.approx(550 / 3)
    assert found["seconds"]["wall"] == pytest.approx(5.5 / 3)
    assert set(found["seconds"]) == set(PHASES)


def test_against_beam_by_hand():
    found = _report(ROWS, "specs", "beam").to_json()["methods"]["specs"]
    # ratios 0.5, 1.5, 0.5 and differences 0, -1, 1
    ratio, difference = found["latency_ratio_to_beam"], found["accuracy_minus_beam"]
    assert (ratio["median"], ratio["low"], ratio["high"]) == pytest.approx((0.5, 0.5, 1.5))
    assert ratio["of_means"] == pytest.approx(5.5 / 7)
    assert difference["mean"] == 0
    assert difference["low"] < difference["lower_bound_one_sided"] < 0 < difference["high"]
    assert difference["discordant_problems"] == 2
    assert 0.5 < difference["p"] <= 1
    assert found["reference"] == "beam"


def test_repeats_of_a_problem_are_a_cluster_with_one_ratio():
    rows = [
        _row(problem, method, problem < "d", latency * (1 + seed), seed=seed)
        for problem in "abcdef"
        for method, latency in (("beam", 2.0), ("specs", 1.0 if problem < "e" else 3.0))
        for seed in range(3)
    ]
    found = _report(rows, "specs", "beam", repeats=3).to_json()["methods"]["specs"]
    low, high = found["accuracy_interval"]
    assert high - low > 1.4 * (wilson(9, 18).high - wilson(9, 18).low)
    assert [low, high] == pytest.approx(list(clustered_mean_interval([p < "d" for p in "aaabbbcccdddeeefff"],
                                                                     list("aaabbbcccdddeeefff"))))  # fmt: skip
    assert found["latency_ratio_to_beam"]["median"] == pytest.approx(0.5)


def test_without_beam_there_is_no_comparison():
    found = _report([row for row in ROWS if row.method == "specs"], "specs").to_json()["methods"]["specs"]
    assert found["latency_ratio_to_beam"] is None
    assert found["accuracy_minus_beam"] is None


def test_unknown_values_are_none_and_never_zero():
    rows = [_row("x", "beam", True, 1.0, minimum=None), _row("x", "specs", None, 9.0), _row("x", "target", True, 2.0)]
    text = json.dumps(_report(rows, "specs", "beam", "target").to_json(), allow_nan=False)
    found = json.loads(text)["methods"]
    assert found["beam"]["processed_over_minimum"]["target"] is None
    assert (found["specs"]["failed"], found["specs"]["first_error"]) == (1, "broke")
    assert all(found["specs"][key] is None for key in ("accuracy", "latency_s", "draft_share", "tokens", "flops"))
    assert found["specs"]["latency_ratio_to_beam"] is None
    # one problem has a ratio, but no interval
    assert found["target"]["latency_ratio_to_beam"] == {"median": 2.0, "low": None, "high": None, "of_means": 2.0}
    assert found["target"]["accuracy_minus_beam"]["lower_bound_one_sided"] is None
    assert found["target"]["accuracy_minus_beam"]["p"] is None
    assert found["target"]["latency_s"]["interval"] is None


def test_the_report_describes_the_run():
    found = _report(ROWS, "specs", "beam").to_json()
    assert (found["dataset"], found["limit"], found["n"], found["seed"], found["repeats"]) == ("toy", 3, 4, 3, 1)
    assert found["models"] == {"target": "p"}
    assert found["interrupted"] is False
    assert found["methods"]["beam"]["options"] == {"n": 4}
    assert _report(ROWS[:1], "specs", "beam", specs={"n": 8}).to_json()["n"] is None
    assert _report(ROWS[:1], "target", "beam", target={}).to_json()["n"] == 4


def test_the_columns_of_the_table_are_aligned():
    text = table(_report(ROWS, "specs", "beam").to_json())
    title, head, specs, beam, verdict = text.splitlines()
    assert title == "toy: 3 problems x 1, seed 3"
    assert len(head) == len(specs) == len(beam)
    low, high = wilson(2, 3)
    for cell in (f"66.7 [{100 * low:.1f}, {100 * high:.1f}]", "1833.3", "2900.0", "0.500 [0.500, 1.500]", " 50 "):
        assert cell in specs
    # right-aligned columns end where their headings end
    for column, cell in (("latency ms", "1833.3"), ("p95 ms", "2900.0"), ("latency / beam", "1.500]")):
        assert head.index(column) + len(column) == specs.rindex(cell) + len(cell)
    assert verdict == "specs: too few to tell whether it is worse than beam by 2 points: 2 problems differ, 30 must"


def test_not_worse_compares_the_one_sided_bound_with_the_margin():
    """15 problems favour each method. Of 60 problems the bound lies below -2 points, of 1,500 above."""
    for problems, verdict in ((60, False), (1500, True)):
        rows = [
            _row(str(k), method, k >= 30 or (k < 15) is (method == "beam"), 1.0)
            for k in range(problems)
            for method in ("beam", "specs")
        ]
        report = _report(rows, "specs", "beam")
        found = report.to_json()
        difference = found["methods"]["specs"]["accuracy_minus_beam"]
        assert difference["not_worse_by_2_points"] is verdict
        assert (difference["lower_bound_one_sided"] > -0.02) is verdict
        assert table(found).splitlines()[-1].startswith("specs: not worse" if verdict else "specs: not shown")


def test_methods_that_both_fail_four_problems_get_no_verdict():
    rows = [_row(str(k), method, False, 1.0) for k in range(4) for method in ("beam", "specs")]
    found = _report(rows, "specs", "beam").to_json()
    difference = found["methods"]["specs"]["accuracy_minus_beam"]
    assert difference["lower_bound_one_sided"] == 0
    assert (difference["verdict"], difference["not_worse_by_2_points"]) == ("too few to tell", False)
    assert "not worse than" not in table(found)


def test_methods_with_the_same_steps_need_no_minimum_of_problems():
    """Token-level speculation changes no token, and the report says so; with other options it is an ordinary method."""
    rows = [_row(str(k), method, k > 0, 1.0) for k in range(4) for method in ("beam", "beam+speculation")]
    options = {"beam": {"n": 4, "width": 1}, "beam+speculation": {"n": 4, "width": 1, "speculate": 8}}
    found = _report(rows, "beam+speculation", "beam", **options).to_json()
    difference = found["methods"]["beam+speculation"]["accuracy_minus_beam"]
    assert (difference["verdict"], difference["not_worse_by_2_points"]) == ("the same by construction", True)
    assert table(found).splitlines()[-1] == "beam+speculation: the same steps as beam by construction"
    options["beam+speculation"]["width"] = 2
    found = _report(rows, "beam+speculation", "beam", **options).to_json()
    assert found["methods"]["beam+speculation"]["accuracy_minus_beam"]["verdict"] == "too few to tell"


def test_unknown_outcomes_count_in_the_denominator_and_make_accuracy_a_range():
    """One solve right and one failed: between 1 of 2 and 2 of 2. The same if grading, not solving, ran out of time."""
    for failed in (True, False):
        unknown = _row("y", "specs", None, 9.0)
        unknown = unknown if failed else replace(unknown, finish_reason="answer", error="took too long")
        rows = [_row("x", "specs", True, 1.0), unknown, _row("x", "beam", True, 1.0), _row("y", "beam", False, 1.0)]
        report = _report(rows, "specs", "beam")
        found = report.to_json()["methods"]["specs"]
        assert (found["solves"], found["failed"], found["undecided"]) == (2, int(failed), int(not failed))
        assert (found["accuracy"], found["accuracy_at_most"]) == (0.5, 1.0)
        assert found["accuracy_interval"] == [wilson(1, 2).low, wilson(2, 2).high]
        difference = found["accuracy_minus_beam"]
        assert (difference["mean"], difference["mean_at_most"]) == (0.0, 0.5)
        assert difference["discordant_problems"] == 0
        # a failed solve has no latency; one that could not be graded has
        assert found["latency_s"]["mean"] == (1.0 if failed else 5.0)
        line = next(line for line in table(report.to_json()).splitlines() if line.startswith("specs "))
        assert "50.0 to 100.0 [" in line


def test_without_a_known_outcome_there_is_no_accuracy():
    rows = [_row("x", "specs", None, 1.0), _row("x", "beam", True, 1.0)]
    found = _report(rows, "specs", "beam").to_json()["methods"]["specs"]
    assert found["accuracy"] is found["accuracy_at_most"] is found["accuracy_interval"] is None
    assert found["accuracy_minus_beam"] is None


def _widths(*names):
    """Rows of methods at n = 4 and 8; the larger n is always right, and slower."""
    return [
        _row(problem, name, n == 8 or problem < "c", n / 10 + len(name) / 100, n=n)
        for problem in "abcd"
        for name in names
        for n in (4, 8)
    ]


def test_a_method_is_compared_with_beam_of_the_same_n():
    rows = [*_widths("specs", "beam"), *(_row(problem, "target", True, 1.0, n=None) for problem in "abcd")]
    settings = tuple(Setting(name, name, n, {"n": n}) for name in ("specs", "beam") for n in (4, 8))
    settings += (Setting("target", "target", None, {}),)
    found = Report({"dataset": "toy", "seed": 3}, settings, 4, 1, tuple(rows)).to_json()
    assert found["n"] is None
    assert {name: method["reference"] for name, method in found["methods"].items()} == {
        "specs n=4": "beam n=4",
        "specs n=8": "beam n=8",
        "beam n=4": "beam n=4",
        "beam n=8": "beam n=8",
        "target": None,
    }
    assert found["methods"]["target"]["accuracy_minus_beam"] is None
    assert found["methods"]["specs n=8"]["latency_ratio_to_beam"]["median"] == pytest.approx(0.85 / 0.84)
    # if beam has one n only, every method is compared with it
    alone = Report({"dataset": "toy", "seed": 3}, settings[:3] + settings[4:], 4, 1, tuple(rows[:0])).to_json()
    assert {method["reference"] for method in alone["methods"].values()} == {"beam n=4"}
    assert table(found).splitlines()[-1].startswith("specs n=8: too few to tell whether it is worse than beam n=8")


def test_a_reference_in_the_same_run_is_preferred():
    settings = tuple(
        Setting(f"{name} ({run})", name, 4, {}, context=run) for run in ("x", "y") for name in ("specs", "beam")
    )
    found = Report({"dataset": "toy", "seed": 3}, settings, 4, 1, ()).to_json()["methods"]
    assert [found[f"specs ({run})"]["reference"] for run in ("x", "y")] == ["beam (x)", "beam (y)"]


def test_latencies_of_different_machines_are_not_compared():
    found = _report(ROWS, "specs", "beam", one_machine=False).to_json()
    assert found["methods"]["specs"]["latency_ratio_to_beam"] is None
    assert found["methods"]["specs"]["latency_s"]["mean"] == pytest.approx(5.5 / 3)
    assert found["methods"]["specs"]["accuracy_minus_beam"]["mean"] == 0
    assert table(found).splitlines()[-1].startswith("the solves ran on different machines")


def test_failed_solves_are_not_the_same_by_construction():
    """Nor are methods under different laws, whatever their options."""
    options = {"beam": {"n": 4}, "beam+speculation": {"n": 4, "speculate": 8}}
    rows = [_row(str(k), name, True if k or name == "beam" else None, 1.0) for k in range(40) for name in options]
    report = _report(rows, *options, **options)
    assert report.to_json()["methods"]["beam+speculation"]["accuracy_minus_beam"]["verdict"] == "too few to tell"
    rows = [_row(str(k), name, True, 1.0) for k in range(40) for name in options]
    report = _report(rows, *options, **options)
    verdict = report.to_json()["methods"]["beam+speculation"]["accuracy_minus_beam"]["verdict"]
    assert verdict == "the same by construction"
    elsewhere = replace(report, settings=tuple(replace(one, context=one.method) for one in report.settings))
    verdict = elsewhere.to_json()["methods"]["beam+speculation"]["accuracy_minus_beam"]["verdict"]
    assert verdict == "too few to tell"


def test_differences_stay_possible_and_a_method_minus_itself_is_zero():
    rows = [_row(str(k), name, None if k else name == "beam", 1.0) for k in range(6) for name in ("specs", "beam")]
    found = _report(rows, "specs", "beam").to_json()["methods"]
    difference = found["specs"]["accuracy_minus_beam"]
    assert difference["low"] >= -1
    assert difference["high"] <= 1
    own = found["beam"]["accuracy_minus_beam"]
    assert (own["mean"], own["mean_at_most"], own["low"], own["high"]) == (0, 0, 0, 0)
