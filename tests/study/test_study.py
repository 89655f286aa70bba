"""The whole study on exact models: run, stopped and continued; its tables agree with its rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers import world
from helpers.commands import STUDY, run_command
from helpers.rows import check_same, lasting
from research.study.plan import Known, N, Run
from research.study.special import RATIOS, _proposals, break_even, slowed
from research.study.study import Study
from specs.cli import main
from specs.core import statistics
from specs.eval.rows import Row
from specs.eval.store import read_run
from specs.types import Role

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All parts, with two or three problems a run."""
    out = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        world.put_in_place(patch)
        patch.setattr(statistics, "RESAMPLES", 100)
        assert run_command(STUDY, ["--out", str(out), "--scale", "0.004"]) == 0
    return out


@pytest.fixture
def _world(monkeypatch):
    world.put_in_place(monkeypatch)
    monkeypatch.setattr(statistics, "RESAMPLES", 100)


def _rows(out: Path) -> dict:
    """All rows of a study by run and key, without measured values; fails if a solve was made twice."""
    found = {}
    for path in sorted(out.rglob("results.jsonl")):
        for text in path.read_text().splitlines():
            row = json.loads(text)
            key = str(path.parent.relative_to(out)), row["problem_id"], row["method"], row["n"]
            assert key not in found
            found[key] = lasting(row)
    return found


def _study(out: Path) -> tuple[Study, list[Run]]:
    study = Study(out, scale=0.004)
    return study, study.runs(study.known())


def test_every_planned_solve_is_made_once(made):
    _, runs = _study(made)
    assert len(_rows(made)) == sum(run.problems * len(run.points) for run in runs)
    assert json.loads((made / "study.json").read_text())["solves_missing"] == 0
    for part in "abcdefgh":
        assert f"## {part}. " in (made / "study.md").read_text()
    for part in "abcdefg":
        assert (made / f"{part}.svg").read_text().startswith("<?xml")
        assert (made / f"{part}.png").read_bytes().startswith(b"\x89PNG")


def test_the_record_says_which_runs_measure_time(made):
    _, runs = _study(made)
    for run in runs:
        assert read_run(made / run.path).configuration["measures"] == ("latency" if run.alone else "accuracy")


@pytest.mark.usefixtures("_world")
def test_every_run_has_a_report_of_its_own(made, tmp_path, capsys):
    assert main(["report", str(made / "a/medium"), str(made / "b/medium"), "--out", str(tmp_path)]) == 0
    assert "specs start=draft" in capsys.readouterr().out


def test_the_tables_agree_with_the_rows(made):
    found = json.loads((made / "study.json").read_text())
    right: dict = {}
    seconds: dict = {}
    for path in made.rglob("results.jsonl"):
        part, name = path.parent.relative_to(made).parts
        timed = name.endswith("-timed")
        for text in path.read_text().splitlines():
            row = json.loads(text)
            tier = row["problem_id"].split(":")[1]
            if timed:
                seconds.setdefault((part, tier, row["method"], row["n"]), []).append(row["latency_s"])
            elif part != "g":
                right.setdefault((tier, row["method"], row["n"]), {})[row["problem_id"]] = row["correct"]
    shown = 0
    on_the_curve = {row.problem_id for row in read_run(made / "f/medium").rows.values()}
    assert {row["solves"] for row in found["parts"]["f"]["tiers"]["medium"]} == {len(on_the_curve)}
    assert [list(found["parts"][part]["tiers"]) for part in "af"] == [["easy", "medium", "hard"], ["medium"]]
    assert {row["n"] for row in found["parts"]["f"]["tiers"]["medium"] if row["latency_s"]} == {1, 2, 4, 8, 16, 32, 64}
    for part in "abcdef":
        for tier, rows in found["parts"][part]["tiers"].items():
            for row in rows:
                own = right[tier, row["label"], row["n"]]
                if part == "f":
                    own = {problem: correct for problem, correct in own.items() if problem in on_the_curve}
                assert row["accuracy"] == pytest.approx(np.mean(list(own.values())))
                assert row["solves"] == len(own)
                timed = seconds.get((part, tier, row["label"], row["n"]))
                assert (row["latency_s"] and row["latency_s"]["mean"]) == (timed and pytest.approx(np.mean(timed)))
                specs = right[tier, "specs", row["n"] or N]
                if (minus := row["accuracy_minus_specs"]) and len(own.keys() & specs.keys()) > 1:
                    pairs = [own[problem] - specs[problem] for problem in own if problem in specs]
                    assert minus["mean"] == pytest.approx(np.mean(pairs))
                    shown += 1
    assert shown > 50


def test_random_switch_drafts_as_often_as_specs_did(made):
    study, _ = _study(made)
    later_steps = {}
    for tier in ("medium", "hard"):
        rows = [row for name in (tier, f"{tier}-all") for row in read_run(made / f"a/{name}").rows.values()
                if (row.method, row.n) == ("specs", N)]  # fmt: skip
        later = sum(row.steps - 1 for row in rows)
        share = sum(row.draft_steps for row in rows) / later if later else Known().draft_share[tier]
        later_steps[tier] = later
        (setting,) = [one for one in read_run(made / f"c/{tier}").settings if one.label == "random-switch"]
        assert setting.options["draft_share"] == pytest.approx(share, abs=1e-4)
        assert study.known().draft_share[tier] == share
    assert max(later_steps.values()) > 0


def test_weights_and_lengths_agree_with_the_traces(made):
    steps = json.loads((made / "study.json").read_text())["parts"]["h"]["steps"]
    assert list(steps) == ["10 tokens", "20 tokens", "50 tokens", "100 tokens", "200 tokens", "a line"]
    recorded = read_run(made / "h/chunks-10")
    ess, lengths = [], []
    for row in recorded.rows.values():
        for step in recorded.trace(row)["steps"]:
            if step["writer"] == "draft" and step["chosen"] is not None:
                weights = [candidate["probability"] for candidate in step["candidates"]]
                ess.append(1 / np.square(weights).sum())
                lengths.append(len(step["candidates"][step["chosen"]]["token_ids"]))
    assert steps["10 tokens"]["proposals"] == len(ess)
    assert steps["10 tokens"]["ess"]["mean"] == pytest.approx(np.mean(ess))
    assert steps["10 tokens"]["chosen"]["mean"] == pytest.approx(np.mean(lengths))


def test_ratios_of_proposals_use_distinct_candidates_and_are_finite():
    def candidate(log_p, duplicates_of=None):
        return {"token_ids": [1, 2], "log_p": log_p, "log_q": -1.0, "duplicates_of": duplicates_of}

    drafts = {"writer": "draft", "chosen": 0, "ess": 2.0}
    steps = [
        {**drafts, "candidates": [candidate(-3.0), candidate(-3.0, 0), candidate("-inf"), candidate(-0.5)]},
        {**drafts, "candidates": [candidate("-inf")]},
        {**drafts, "chosen": None, "candidates": [candidate(-3.0)]},
        {**drafts, "writer": "target", "candidates": [candidate(-3.0)]},
    ]
    assert list(_proposals({"steps": steps})) == [{"ess": 2.0, "log_ratio": 1.25, "tokens": 2.0, "chosen": 2.0}]


def _solve(latency, drafting):
    return Row("p", "specs", 8, 0, True, "1", "1", "answer", None, latency, 0.1, 4, 3, [], {"draft": drafting}, {}, 1.0)


def test_a_slower_draft_adds_only_its_own_seconds():
    row = _solve(1.0, 0.2)
    assert slowed(row, 1.0) == 1.0
    assert slowed(row, 2.0) == pytest.approx(1.2)
    assert slowed(row, 0.5) == pytest.approx(0.9)
    # at a cost ratio of 0.1 drafting takes 0.2 s; latency is 1.5 s when it takes 0.7 s
    assert break_even([row], [1.5], 0.1) == pytest.approx(0.35)
    assert slowed(row, 0.35 / 0.1) == pytest.approx(1.5)
    assert break_even([_solve(1.0, 0.0)], [1.5], 0.1) is None
    assert break_even([row], [0.5], 0.1) is None, "too slow even with a draft that costs nothing"


def test_cost_ratios_agree_with_the_timed_rows(made):
    cost = json.loads((made / "study.json").read_text())["parts"]["g"]["cost_ratio"]["medium"]
    rows = read_run(made / "a/medium-timed").rows.values()
    specs, beam = ([row for row in rows if (row.method, row.n) == (label, N)] for label in ("specs", "beam"))
    at = cost["methods"]["specs"]["at"]
    assert [one["ratio"] for one in at] == list(RATIOS)
    for one in at:
        latency = sum(slowed(row, one["ratio"] / cost["measured"]) for row in specs)
        assert one["of_means"] == pytest.approx(latency / sum(row.latency_s for row in beam))
    per_token = [
        sum(row.seconds[phase] for row in rows if row.method == label and row.n == N)
        / sum(row.usage[role]["generated"] for row in rows if row.method == label and row.n == N)
        for label, phase, role in (("beam-draft", "draft", Role.DRAFT), ("beam", "target_generate", Role.TARGET))
    ]
    assert cost["measured"] == pytest.approx(per_token[0] / per_token[1])


@pytest.mark.usefixtures("_world")
def test_a_stopped_study_is_continued_and_ends_the_same(made, tmp_path):
    calls = 0

    def stop_after(limit):
        def show(standing):
            nonlocal calls
            calls += 1
            if calls == limit:
                raise KeyboardInterrupt

        return show

    def say(cpu, wall):
        assert 0 < wall <= cpu * 1.01

    study = Study(tmp_path, "d", 0.004)
    for limit in (30, 75):  # during tuning, and during part d
        calls = 0
        assert study.make("test", stop_after(limit), say)
    assert not study.make("test", lambda standing: None, say)
    whole = {key: row for key, row in _rows(made).items() if key[0].split("/")[0] in ("tuning", "d")}
    check_same(_rows(tmp_path), whole)
    before = {path: path.read_bytes() for path in tmp_path.rglob("run.json")}
    assert not study.make("test", lambda standing: None, lambda cpu, wall: None)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("run.json")}, "nothing was left to do"


@pytest.mark.timeout(1800)
def test_a_killed_study_is_continued_and_ends_the_same(tmp_path):
    """Two processes on the bundled trio are killed while both work."""
    words = [sys.executable, "-m", "research.study", "--scale", "1e-9", "--parts", "h", "--jobs", "2", "--out"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with subprocess.Popen([*words, str(killed)], stderr=subprocess.DEVNULL) as process:
        while len(list(killed.rglob("results.jsonl"))) < 2 or len(_rows(killed)) < 6:
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
    time.sleep(1)  # until its child processes have ended
    subprocess.run([*words, str(killed)], check=True, capture_output=True)
    subprocess.run([*words, str(whole)], check=True, capture_output=True)
    check_same(_rows(killed), _rows(whole))


@pytest.mark.usefixtures("_world")
def test_a_folder_keeps_its_scale_and_holds_only_a_study(made, tmp_path, capsys):
    assert run_command(STUDY, ["--out", str(made), "--scale", "0.5"]) == 2
    assert "holds a study of scale 0.004" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("")
    assert run_command(STUDY, ["--out", str(tmp_path)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert run_command(STUDY, ["--out", str(tmp_path / "mine.txt")]) == 2
    assert "cannot hold a study" in capsys.readouterr().err


@pytest.mark.usefixtures("_world")
def test_random_switch_needs_the_main_table(tmp_path, capsys):
    assert run_command(STUDY, ["--out", str(tmp_path), "--parts", "c"]) == 2
    assert "add a to --parts" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--parts", "a,z"], ["--scale", "0"], ["--jobs", "0"]])
def test_bad_input_is_an_error_of_one_line(words, tmp_path, capsys):
    assert run_command(STUDY, ["--out", str(tmp_path / "new"), *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_without_runs_nothing_is_known():
    assert Study(Path("nowhere")).known() == Known()
