"""The study of all methods: its plan, its rows and the rule that tunes."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest

from research.benchmarks.bundled import t_interval
from research.study import rows
from research.study.figures import draw_front
from research.study.plan import (
    CLAIMS,
    CONTROLS,
    GROUPS,
    PER_DISCORDANCE,
    TEST_SEED,
    TIERS,
    TUNING,
    Part,
    at_n,
    parts,
)
from research.study.running import make, missing
from research.study.tables import points, summary, tables
from research.study.timing import FIRST_SEED, THREADS, searches_with_the_target, with_two_threads
from research.study.timing import settings as timing_settings
from research.study.tuning import choose, chosen, difference, pairs_needed
from specs.config.text import method_from_text
from specs.methods.registry import make as make_method

FIRST_OF_EACH = {group: settings[0] for group, settings in GROUPS.items()}


def method(text):
    name, options = method_from_text(text)
    return make_method(name, **options)


def row(problem, setting, right=1, mflops=100, tier="hard", seed=0, **more):
    return {
        "tier": tier, "problem": problem, "method": setting, "seed": seed, "right": right, "mflops": mflops,
        "steps": 4, "drafted": 3, "rewritten": 1, **more,
    }  # fmt: skip


def test_every_group_tries_as_many_settings_and_all_differ():
    assert {len(group) for group in GROUPS.values()} == {8}
    made = [repr(method(one)) for group in GROUPS.values() for one in group]
    assert len(set(made)) == len(made)


def test_tuning_shares_no_problem_with_what_is_compared():
    seeds = {turn[1] for turn in TUNING.turns()}
    for part in parts(FIRST_OF_EACH, 0.1, 40):
        assert not seeds & {turn[1] for turn in part.turns()}
        for one in part.methods:
            method(one)
    assert max(seeds) < TEST_SEED < FIRST_SEED


def test_the_main_part_holds_what_was_chosen_and_the_controls():
    main = parts(FIRST_OF_EACH, 0.1234, 40)[0].methods
    assert {*FIRST_OF_EACH.values(), *CONTROLS, "random-rewrite:n=4:rewrite_share=0.123"} <= set(main)
    assert len(set(main)) == len(main)


def test_target_side_searches_are_timed_with_and_without_speculation():
    timed = timing_settings(FIRST_OF_EACH)
    for group in ("beam", "soft-beam", "dvts", "best-of-n", "majority", "one-first"):
        name, *options = FIRST_OF_EACH[group].split(":")
        assert {FIRST_OF_EACH[group], ":".join([f"{name}+speculation", *options])} <= set(timed)
    for one in timed:
        method(one)


def test_on_two_cores_target_side_searches_may_use_two_threads():
    assert searches_with_the_target("beam:n=2")
    assert searches_with_the_target("soft-beam+speculation:n=2")
    assert not searches_with_the_target("specs:n=4")
    assert not searches_with_the_target("beam-draft:n=16")
    models = with_two_threads()
    options = models.target.backend._session.get_session_options()
    assert options.intra_op_num_threads == 2


def test_rows_survive_a_kill_and_are_compressed_to_the_same_bytes(tmp_path):
    made = [row(k, one) for k in range(3) for one in ("specs", "beam")]
    list(rows.append(tmp_path / "part.0.jsonl", made[:4]))
    with (tmp_path / "part.0.jsonl").open("a") as out:
        out.write('{"tier": "hard", "prob')
    assert rows.read("part", tmp_path) == made[:4]
    list(rows.append(tmp_path / "part.0.jsonl", made[4:5]))
    assert rows.read("part", tmp_path) == made[:5]
    list(rows.append(tmp_path / "part.1.jsonl", made[3:]))
    first = rows.compress("part", tmp_path).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["part.jsonl.gz"]
    assert sorted(map(rows.key, rows.read("part", tmp_path))) == sorted(map(rows.key, made))
    assert rows.compress("part", tmp_path).read_bytes() == first
    assert len(gzip.decompress(first).decode().splitlines()) == len(made)


def test_only_what_is_missing_or_failed_is_solved(tmp_path):
    part = Part("part", 7, {"hard": 2, "easy": 1}, ("specs", "beam"))
    assert len(missing(part, tmp_path)) == 6
    failed = {"tier": "hard", "problem": 8, "method": "beam", "seed": 0, "error": "out of memory"}
    list(rows.append(tmp_path / "part.0.jsonl", [row(7, "specs"), row(7, "beam"), failed, row(7, "beam", tier="easy")]))
    assert missing(part, tmp_path) == [("hard", 8, "specs"), ("hard", 8, "beam"), ("easy", 7, "specs")]


@pytest.mark.slow
def test_a_part_is_solved_by_several_processes_once(tmp_path):
    part = Part("part", 1_000_000, {"easy": 3}, ("draft", "specs:n=2"))
    assert make(part, tmp_path, 2) is False
    first = (tmp_path / "part.jsonl.gz").read_bytes()
    found = rows.read("part", tmp_path)
    assert sorted(rows.key(one)[:3] for one in found) == sorted(part.turns())
    assert all(one["right"] in (0, 1) and one["mflops"] > 0 and one["core_s"] > 0 for one in found)
    assert make(part, tmp_path, 2) is False
    assert (tmp_path / "part.jsonl.gz").read_bytes() == first


def cells(**settings):
    """Settings with the problems of 100 that they solve, a range, and their FLOPs."""
    return {
        name: {("hard", k): row(k, name, int(k in right), mflops) for k in range(100)}
        for name, (right, mflops) in settings.items()
    }


def test_the_cheapest_setting_within_a_standard_error_of_the_best_is_chosen():
    best, close, poor = range(80), range(5, 84), range(60)
    assert choose(cells(best=(best, 300), close=(close, 100), poor=(poor, 50))) == "close"
    assert choose(cells(best=(best, 300), poor=(poor, 50))) == "best"
    assert choose(cells(best=(best, 300), same=(best, 200))) == "same"
    assert choose(cells(best=(best, 100), close=(close, 300))) == "best"
    mean, error = difference(*cells(a=(range(80), 1), b=(range(70), 1)).values())
    assert mean == pytest.approx(0.1)
    assert error == pytest.approx(math.sqrt(0.1 * 0.9 / 99))


def test_the_number_of_pairs_follows_from_the_discordance_of_the_pilot():
    """Of 100 problems, 20 are solved by one setting only; 3,092 exclude a difference of 2 points."""
    made = cells(specs=(range(80), 1), beam=(range(10, 90), 1))
    found = [one for setting in made.values() for one in setting.values()]
    settings = {"specs": "specs", **dict.fromkeys(CLAIMS, "beam")}
    assert pairs_needed(found, settings) == dict.fromkeys(CLAIMS, 3_092)
    assert pytest.approx((1.645 + 0.842) ** 2 / 0.02**2, rel=1e-3) == PER_DISCORDANCE


def test_a_setting_with_another_n():
    assert at_n("beam:n=16:width=4:answer=vote", 8) == "beam:n=8:width=4:answer=vote"
    assert at_n("beam:n=16:width=4", 2) == "beam:n=2"
    assert at_n("specs", 32) == "specs:n=32"
    assert at_n("adaptive-majority:n=8:batch=4", 2) == "adaptive-majority:n=2"


def test_a_group_is_tuned_only_if_all_its_settings_were_tried():
    found = [row(k, one, mflops=100 + n) for k in range(3) for n, one in enumerate(GROUPS["beam"])]
    assert chosen(found) == {"beam": "beam:n=2"}
    assert chosen([*found, {**found[-1], "method": "x"}]) == {"beam": "beam:n=2"}
    assert chosen([one for one in found if one["method"] != "beam"]) == {}


def test_intervals():
    mid, low, high = t_interval(np.array([0.7, 0.8, 0.9]))
    assert (mid, high - mid) == pytest.approx((0.8, 4.302653 * 0.1 / math.sqrt(3)))
    assert mid - low == pytest.approx(high - mid)
    assert points(0.1, 0.02) == "+10.0 [+6.1, +13.9]"


def test_committed_rows_are_complete():
    """Every part that is committed holds each of its turns once, and no solve failed."""
    for path in sorted(rows.RECORDS.glob("*.jsonl.gz")):
        found = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
        assert [one for one in found if "error" in one] == []
        assert len(set(map(rows.key, found))) == len(found)
        methods = {one["method"] for one in found}
        assert len(found) % len(methods) == 0
    if (rows.RECORDS / "tuning.jsonl.gz").exists():
        committed = rows.read("tuning")
        assert sorted(rows.key(one)[:3] for one in committed) == sorted(TUNING.turns())
        assert chosen(committed).keys() == GROUPS.keys()


@pytest.fixture
def recorded(monkeypatch):
    """Rows of a made-up study: `specs` solves every problem, the others half of them in twice the time."""
    every = [one for group in GROUPS.values() for one in group]
    made = {"tuning": [row(k, one, int(one.startswith("specs:n=4")), len(one)) for k in range(4) for one in every]}
    settings = chosen(made["tuning"])
    known = {part.name: part for part in parts(settings, 0.1, 10)}

    def solved(method, k, seed=0):
        good = method.startswith("specs:n=") and "select" not in method
        took = {"latency_s": (1 if good else 2) * (1 + seed), "core_s": 0.5 + seed}
        busy = {"draft": 0.4 if "draft" in method or good else 0.0, "target_generate": 2.0}
        busy |= {"target_score": 0.1, "prm": 0.3, "orchestration": 0.05}
        drawn = {"draft": 100, "target": 100}
        return row(k, method, int(good or k % 2), 100 if good else 300, seed=seed, busy_s=busy, drawn=drawn, **took)

    made["main"] = [
        {**solved(one, k), "tier": tier} for one in known["main"].methods for k in range(10) for tier in TIERS
    ]
    made["front"] = [solved(one, k) for one in known["front"].methods for k in range(10)]
    made["time-front-1"] = [solved(one, k, run) for one in known["front"].methods for k in range(2) for run in (0, 1)]
    made["time-hard-1"] = [
        solved(one, k, run) for one in timing_settings(settings) for k in range(2) for run in range(3)
    ]
    faster = [
        {**one, "method": one["method"] + THREADS, "latency_s": one["latency_s"] / 2} for one in made["time-hard-1"]
    ]
    made["time-hard-2"] = made["time-hard-1"] + [
        one for one in faster if one["method"].startswith(settings["beam"] + ",")
    ]
    monkeypatch.setattr(rows, "read", lambda part, folder=None: made.get(part, []))
    return settings


def test_tables_show_what_the_rows_hold(recorded):
    specs, beam = recorded["specs"], recorded["beam"]
    lines = list(tables())
    assert f"| `{specs}` | specs | 100.0 [72.2, 100.0] |  | 0.1 | 0.33 | 75% |" in lines
    assert f"| `{beam}` | beam | 50.0 [23.7, 76.3] | -50.0 [-82.7, -17.3] | 0.3 | 1.00 | 75% |" in lines
    assert any(line.startswith(f"| specs | **`{specs}`** | 100 |") for line in lines)
    # Of 10 problems the lower accuracy is certain enough, and so is the latency.
    half = "-50.0 [-82.7, -17.3] | 0.50 [0.50, 0.50]"
    assert f"| `{beam}` | {half} | 1.00 [1.00, 1.00] | accuracy, latency (one core) |" in lines
    both = "0.50 [0.50, 0.50] | accuracy, latency (one core), latency (two cores)"
    assert f"| `{beam.replace('beam', 'beam+speculation')}` | {half} | {both} |" in lines
    # A draft token costs 0.2 of a target token; at 0.4, 0.4 s more of 1.5 s are for drafting, beside 3 s of `beam`.
    assert "| cost of a draft token / target token | 0.05 | 0.1 | 0.2 | 0.3 | 0.4 | 0.20, as measured |" in lines
    assert any("| 0.40 | 0.43 | 0.50 | 0.57 | 0.63 | 0.50 |" in line for line in lines)
    assert f"| `{specs}` | 2000 | 400 | 2000 | 100 | 300 | 50 |" in lines
    # latency 2, 4, 6 s against 1, 2, 3 s; core-seconds are the same
    assert f"| `{beam}` | 4000 | 1.50 | 0.50 [0.50, 0.50] | 1.00 [1.00, 1.00] |" in lines


def test_the_summary_shows_what_tuning_chose(recorded):
    lines = list(summary())
    options = ", ".join(recorded["specs"].split(":")[1:])
    assert f"| `specs` | {options} | 100.0 [72.2, 100.0] | 2000 | 2000 | 1.50 | 0.1 | 100.0 [72.2, 100.0] |" in lines
    assert len(lines) == 13


def test_the_front_is_drawn(recorded, tmp_path):
    draw_front(tmp_path)
    text = (tmp_path / "front.svg").read_text()
    assert (tmp_path / "front.png").stat().st_size > 10_000
    first = (tmp_path / "front.svg").read_bytes()
    draw_front(tmp_path)
    assert (tmp_path / "front.svg").read_bytes() == first
    assert "svg" in text
