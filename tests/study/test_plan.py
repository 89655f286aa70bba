"""The plan of the study: which methods are compared on which problems, and which are tuned how."""

from __future__ import annotations

from dataclasses import replace

import pytest

from research.study.cost import SECONDS, Board, units
from research.study.plan import (
    DEFAULTS,
    GRIDS,
    LIMITS,
    STAGES,
    TEST_SEED,
    TITLES,
    TUNING_SEED,
    WIDTHS,
    Known,
    stage,
    tuning,
)
from research.study.settings import choose, without_speculated
from specs.bundled.problems import HELD_OUT_SEED, TIERS
from specs.eval.datasets import load_problems
from specs.eval.rows import Row
from specs.eval.runner import Plan
from specs.methods.gsi import Gsi
from specs.methods.rsd import Rsd
from specs.methods.specs import Specs
from specs.types import Role

OTHER = Known({"specs": Specs(8, 16.0, 0.9), "gsi": Gsi(8, 10.0, 0.9), "rsd": Rsd(0.95)}, dict.fromkeys(TIERS, 0.4))
"""Tuning that chose nothing published."""


def _runs(known, scale=1.0, parts="abcdefgh"):
    return [run for makers in STAGES for run in stage(makers, known, parts, scale)]


@pytest.mark.parametrize("known", [Known(), OTHER])
def test_every_run_is_a_valid_plan_with_a_folder_of_its_own(known):
    runs = _runs(known)
    assert len({run.path for run in runs}) == len(runs)
    assert {run.part for run in runs} == {"tuning", *TITLES}
    for run in runs:
        Plan(load_problems("bundled:easy", limit=2), run.points, run.law, LIMITS)  # refuses equal configurations
        assert all(point.method.name in SECONDS for point in run.points)


@pytest.mark.parametrize("known", [Known(), OTHER])
def test_a_label_means_the_same_in_every_run_of_a_law_and_tier(known):
    """Otherwise rows of two parts could not go into one table."""
    seen: dict = {}
    for run in _runs(known):
        for point in run.points:
            if run.part != "tuning":
                key = run.tier, run.law, point.setting.key
                assert seen.setdefault(key, point.setting.options) == point.setting.options


def test_the_main_table_has_every_method_n_and_tier():
    for tier in TIERS:
        for timed in (False, True):
            found = {
                point.setting.key for run in _runs(Known()) for point in run.points
                if (run.part, run.tier, run.alone) == ("a", tier, timed)
            }  # fmt: skip
            wide = ("majority", "best-of-n", "beam-draft", "beam", "gsi", "specs")
            assert found == {("draft", None), ("target", None), ("rsd", None)} | {(m, n) for m in wide for n in WIDTHS}


def test_defaults_are_compared_where_tuning_chose_something_else():
    labels = {point.label for run in _runs(OTHER) for point in run.points if run.part == "a"}
    assert labels >= {"specs default", "gsi default", "rsd default"}
    assert not any("default" in point.label for run in _runs(Known()) for point in run.points)


def test_tuning_and_test_problems_are_disjoint():
    runs = _runs(Known())
    seeds = {
        name: {(run.tier, k) for run in runs if (run.part == "tuning") == tuned
               for k in range(run.first, run.first + 2 * run.problems)}
        for name, tuned in (("tuning", True), ("test", False))
    }  # fmt: skip
    assert not seeds["tuning"] & seeds["test"]
    tested = sorted(seed for _, seed in seeds["test"])
    assert HELD_OUT_SEED <= TEST_SEED == tested[0]
    assert tested[-1] < HELD_OUT_SEED + 20_000  # training left these seeds out (research/training/corpus.py)
    assert min(seed for _, seed in seeds["tuning"]) == TUNING_SEED
    tune = {one.question for one in load_problems("bundled:medium", TUNING_SEED, 100)}
    assert not tune & {one.question for one in load_problems("bundled:medium", TEST_SEED, 1100)}


def test_every_method_has_the_same_tuning_budget_and_may_keep_its_default():
    assert {len(grid) for grid in GRIDS.values()} == {8}
    assert all(DEFAULTS[label] in grid for label, grid in GRIDS.items())
    by_label = {label: [(run.tier, run.problems) for run in tuning(Known()) if run.name.endswith(label)]
                for label in GRIDS}  # fmt: skip
    assert by_label["rsd"] == by_label["gsi"] == by_label["specs"]


def test_only_runs_that_measure_time_are_alone_and_they_come_last():
    assert [run.alone for run in _runs(Known())] == sorted(run.alone for run in _runs(Known()))


def test_scale_shrinks_all_runs_alike_to_at_least_two_problems():
    small = _runs(Known(), 0.1)
    assert [run.problems for run in small] == [max(2, round(run.problems / 10)) for run in _runs(Known())]
    assert {run.problems for run in _runs(Known(), 1e-9)} == {2}
    assert {run.part for run in _runs(Known(), parts="dh")} == {"tuning", "d", "h"}


def _rows(right, flops):
    made = {}
    for k, one in enumerate(right):
        made[f"p{k}"] = Row(
            f"p{k}", "m", None, 0, bool(one), "1", "1", "answer", None, 1.0, 1.0, 1, 0, [], {}, {}, float(flops)
        )
    return made


def test_the_cheapest_configuration_that_is_not_clearly_worse_is_chosen():
    best = [1] * 90 + [0] * 10
    close = [1] * 89 + [0] * 10 + [1]  # two discordant problems, equal accuracy
    far = [1] * 70 + [0] * 30
    assert choose([_rows(best, 9), _rows(close, 5), _rows(far, 1)]) == 1
    assert choose([_rows(best, 5), _rows(close, 9), _rows(far, 1)]) == 0
    assert choose([_rows(far, 1), _rows(best, 9)]) == 1
    one_behind = [1] * 87 + [0] * 3 + [1] * 2 + [0] * 8  # one point worse, standard error 2.2 points
    assert choose([_rows(best, 9), _rows(one_behind, 1)]) == 1


def test_prefetched_positions_do_not_affect_the_choice():
    def row(speculated):
        usage = {"draft": {"processed": 40 + speculated, "speculated": speculated},
                 "target": {"processed": 30, "speculated": 0}}  # fmt: skip
        flops = 2.0 * (5 * (40 + speculated) + 7 * 30)
        return replace(_rows([1], flops)["p0"], usage=usage)

    parameters = {Role.DRAFT: 5, Role.TARGET: 7, Role.PRM: 3}
    assert without_speculated(row(9), parameters).flops == without_speculated(row(0), parameters).flops == row(0).flops


def test_the_estimate_of_time_left_falls_to_zero():
    runs = _runs(Known(), 0.1)
    board = Board(jobs=2, unit_s=0.5)
    left = {run.path: run.problems * len(run.points) for run in runs}
    board.know(runs, left)
    assert board.cpu_seconds() == pytest.approx(sum(0.5 * units(run) * left[run.path] for run in runs))
    alone = sum(board.seconds(run) for run in runs if run.alone)
    assert board.seconds_left() == pytest.approx((board.cpu_seconds() - alone) / 2 + alone)
    for run in runs:
        board.left[run.path] = 0
    standing = board.standing([runs[0]])
    assert (standing.done, standing.seconds_left, standing.title) == (standing.total, 0.0, "tuning/medium-rsd")


def test_more_candidates_and_harder_tiers_cost_more():
    one = _runs(Known())[0]
    points = {n: (Known().at("specs", n),) for n in (4, 8)}
    assert units(replace(one, tier="medium", points=points[8])) == 1
    assert units(replace(one, tier="medium", points=points[4])) < 1 < units(replace(one, tier="hard", points=points[8]))
