"""`specs eval` and `specs report`, run as commands; also killed, stopped and continued."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest

from helpers.commands import QUICK, run_command
from helpers.rows import check_same, lasting
from specs.bundled.problems import HELD_OUT_SEED, generate
from specs.cli import main
from specs.cli.progress import Shown, line
from specs.config.presets import Preset
from specs.errors import install_command
from specs.eval.runner import RunProgress
from specs.methods.specs import Specs

KILLED_PROBLEMS = int(os.environ.get("SPECS_KILLED_PROBLEMS", "12"))
"""SPECS_KILLED_PROBLEMS=200 pytest tests/cli/test_eval.py -m slow --timeout 0     the long form"""


def _rows(folder: Path) -> dict:
    """Rows of a run by key, without measured values; fails if two rows have the same key."""
    rows = {}
    for text in (folder / "results.jsonl").read_text().splitlines():
        row = json.loads(text)
        key = row["problem_id"], row["method"], row["n"], row["seed"]
        assert key not in rows
        rows[key] = lasting(row)
    return rows


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small finished run."""
    folder = tmp_path_factory.mktemp("eval") / "run"
    words = "eval --dataset bundled:easy --limit 5 --methods specs,specs:tau=0.5:start=draft,beam,target --n 2,4"
    assert main([*words.split(), "--seeds", "2", "--out", str(folder)]) == 0
    return folder


def test_one_row_a_problem_method_n_and_seed(made):
    rows = _rows(made)
    assert len(rows) == 5 * 2 * (3 * 2 + 1)
    assert {(method, n, seed) for _, method, n, seed in rows} == {
        *((method, n, seed) for method in ("specs", "specs tau=0.5 start=draft", "beam")
          for n in (2, 4) for seed in (0, 1)),
        ("target", None, 0), ("target", None, 1),
    }  # fmt: skip
    with gzip.open(made / "traces.jsonl.gz", "rt") as file:
        traces = [json.loads(text) for text in file]
    assert len(traces) == len(rows)
    assert all(trace["steps"][0]["candidates"] for trace in traces)
    run = json.loads((made / "run.json").read_text())
    (start,) = run["starts"]
    assert start["command"].startswith("specs eval --dataset bundled:easy --limit 5")
    assert start["options"]["seeds"] == 2
    assert set(start["environment"]) >= {"specs", "python", "libraries", "cpu", "cores", "os", "gpu", "git"}
    assert start["started"] <= start["ended"]
    assert start["started"].endswith("+00:00")


def test_summary_and_page(made):
    found = json.loads((made / "summary.json").read_text())
    assert list(found["methods"])[:2] == ["specs n=2", "specs n=4"]
    method = found["methods"]["specs n=4"]
    assert set(method["latency_s"]) == {"mean", "interval", "p50", "p95", "per_step"}
    assert method["reference"] == "beam n=4"
    assert 0 < method["accuracy_minus_beam"]["p"] <= 1
    assert method["options"]["tau"] == 0.8
    assert found["methods"]["specs tau=0.5 start=draft n=2"]["options"]["tau"] == 0.5
    page = (made / "report.html").read_text()
    assert page.count("<svg") == page.count("<figcaption>") == 5
    for text in ("specs tau=0.5 start=draft n=4", "Pareto front", "How to read this", "specs eval --dataset"):
        assert text in page


def test_the_same_command_solves_nothing_again_and_a_different_one_is_refused(made, capsys, tmp_path):
    preset = tmp_path / "preset.json"
    law = {"temperature": 0.7, "top_p": 1.0, "max_step_tokens": 64}
    Preset("specs", asdict(Specs(n=4, tau=0.6)), law, {}).write(preset)
    before = (made / "results.jsonl").read_bytes()
    words = ["eval", "--dataset", "bundled:easy", "--limit", "5", "--methods", "beam,target", "--out", str(made)]
    assert main([*words, "--n", "2,4", "--seeds", "2"]) == 0
    assert (made / "results.jsonl").read_bytes() == before
    for change, fault in (
        (["--temperature", "0.5"], "its law differ"),
        (["--dataset", "bundled:medium"], "its dataset differ"),
        (["--problem-seed", "5"], "its problem_seed differ"),
        (["--engine", "torch"], "its loading differ"),
        (["--preset", str(preset), "--methods", "specs"], "holds specs with tau=0.8, not 0.6; add it as specs:tau=0.6"),
    ):
        capsys.readouterr()
        assert main([*words, "--n", "4", *change]) == 2
        printed = capsys.readouterr()
        assert fault in printed.err
        assert printed.err.count("\n") == 1
    assert (made / "results.jsonl").read_bytes() == before


@pytest.mark.slow
def test_runs_at_several_concurrencies_are_compared_in_one_report(tmp_path, capsys):
    folders = [tmp_path / f"at-{concurrency}" for concurrency in (1, 2)]
    for folder in folders:
        command = ["eval", "--dataset", "bundled:easy", "--limit", "2", "--methods", "specs,target", "--n", "2"]
        assert main([*command, "--concurrency", folder.name[3:], "--out", str(folder)]) == 0
    assert main(["report", *map(str, folders), "--out", str(tmp_path / "both")]) == 0
    found = json.loads((tmp_path / "both/summary.json").read_text())
    assert list(found["methods"]) == [f"{name}, {k} at a time" for k in (1, 2) for name in ("specs", "target")]
    assert {one["solves"] for one in found["methods"].values()} == {2}
    assert "against the number of solves at the same time" in (tmp_path / "both/report.html").read_text()


def test_report_rebuilds_and_merges(made, tmp_path, capsys):
    summary = (made / "summary.json").read_text()
    (made / "summary.json").unlink()
    assert main(["report", str(made)]) == 0
    assert (made / "summary.json").read_text() == summary
    other = tmp_path / "other"
    words = ["eval", "--dataset", "bundled:easy", "--limit", "5", "--methods", "draft,target", "--seeds", "2"]
    assert main([*words, "--out", str(other)]) == 0
    both = tmp_path / "both"
    assert main(["report", str(made), str(other), "--out", str(both)]) == 0
    merged = json.loads((both / "summary.json").read_text())
    assert list(merged["methods"]) == [*json.loads(summary)["methods"], "draft"]
    assert (both / "report.html").read_text().count("$ specs eval") == 3
    capsys.readouterr()
    for words, fault in (
        (["report", str(made), str(other)], "give --out DIR"),
        (["report", str(made), "--out", str(other)], "is a run with a report of its own"),
        (["report", str(both)], "is not a folder of 'specs eval'"),
        (["report", str(made), "--out", str(made / "run.json" / "x")], "cannot hold a report"),
    ):
        assert main(words) == 2
        printed = capsys.readouterr()
        assert fault in printed.err
        assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "specs:tua=0.7"], "method specs has no option 'tua'; did you mean 'tau'?"),
        (["--methods", "specs:tau"], "'tau' gives no value; write NAME=VALUE"),
        (["--methods", "specs:tau=7"], "tau is 7.0; give a number from 0 to 1"),
        (["--methods", "specs:start=prm"], "start is 'prm'; give 'target' or 'draft'"),
        (["--methods", "beam:tau=0.7"], "method beam has no option 'tau'; choose from answer, n, width"),
        (["--methods", "spex:tau=0.7"], "there is no method 'spex'; did you mean 'specs'?"),
        (["--methods", "specs,beam,specs"], "name each method once; specs is there twice"),
        (["--methods", "specs:n=4,specs", "--n", "4,8"], "name each method once; specs is there twice"),
        (["--n", "4,"], "argument --n: '' is not a whole number"),
        (["--n", "4,0"], "argument --n: 0 is too small"),
        (["--seeds", "0"], "argument --seeds: 0 is too small"),
        (["--draft", "x"], "also needs --target and --prm"),
    ],
)
def test_bad_input_is_one_line(options, message, capsys, tmp_path):
    assert main(["eval", "--limit", "2", "--out", str(tmp_path / "run"), *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_option_out_is_required(capsys):
    assert main(["eval"]) == 2
    assert "give --out DIR" in capsys.readouterr().err


def test_problems_are_listed_as_json_lines_and_can_be_read_back(capsys, tmp_path):
    assert main(["eval", "--list", "--dataset", "bundled:medium", "--limit", "3", "--problem-seed", "7"]) == 0
    lines = capsys.readouterr().out
    problems = [json.loads(line) for line in lines.splitlines()]
    assert [p["question"] for p in problems] == [generate("medium", seed).question for seed in (7, 8, 9)]
    assert all(set(p) >= {"question", "answer", "solution"} for p in problems)
    path = tmp_path / "mine.jsonl"
    path.write_text(lines)
    assert main(["eval", "--list", "--dataset", str(path)]) == 0
    assert [json.loads(line)["question"] for line in capsys.readouterr().out.splitlines()] == [
        p["question"] for p in problems
    ]


def test_the_list_of_problems_starts_with_the_first_held_out_one(capsys):
    assert main(["eval", "--list", "--limit", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["question"] == generate("medium", HELD_OUT_SEED).question


@pytest.mark.parametrize("command", ["eval", "quick"])
def test_a_run_in_which_every_solve_failed_exits_with_1(command, capsys, tmp_path):
    """The questions are longer than the models' contexts; the table is still printed."""
    data = tmp_path / "long.jsonl"
    data.write_text("".join(json.dumps({"question": f"{k} " * 5000, "answer": "1"}) + "\n" for k in range(2)))
    words = ["--dataset", str(data), "--methods", "beam,target", "--n", "2"]
    found = run_command(QUICK, words) if command == "quick" else main(["eval", *words, "--out", str(tmp_path / "run")])
    assert found == 1
    printed = capsys.readouterr()
    assert "solves are right (2 failed; the first: the question takes" in printed.out
    assert "specs: every solve of beam, target failed; the first: the question takes" in printed.err


def test_a_run_in_which_some_solves_succeeded_exits_with_0(capsys, tmp_path):
    data = tmp_path / "mixed.jsonl"
    rows = [{"question": "1 " * 5000, "answer": "1"}, {"question": "Tom has 2 nuts. How many?", "answer": "2"}]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run_command(QUICK, ["--dataset", str(data), "--methods", "target"]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed.splitlines()[-1])["methods"]["target"]
    assert (found["solves"], found["failed"]) == (2, 1)
    assert found["accuracy_at_most"] == found["accuracy"] + 0.5


def test_without_matplotlib_the_error_names_the_extra(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("specs.eval.plots.find_spec", lambda name: None)
    assert main(["eval", "--out", str(tmp_path / "run")]) == 2
    assert install_command("eval") in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def _start(folder: Path, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "specs", "eval", "--dataset", "bundled:easy", "--out", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with SIGINT ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def _lines(folder: Path) -> int:
    path = folder / "results.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _wait_for(folder: Path, lines: int, process: subprocess.Popen) -> None:
    while _lines(folder) < lines and process.poll() is None:
        time.sleep(0.005)


def test_ctrl_c_reports_the_finished_solves(tmp_path):
    folder = tmp_path / "run"
    process = _start(folder, "--limit", "500", "--methods", "draft,target")
    _wait_for(folder, 7, process)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.endswith("specs: interrupted; the same command continues from there\n")
    assert "stopped early" in out
    assert json.loads((folder / "summary.json").read_text())["interrupted"]
    assert "stopped early" in (folder / "report.html").read_text()
    assert len(_rows(folder)) >= 7


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_with_the_same_rows(tmp_path):
    """Six methods; SIGKILL during start-up and during solving, at moments drawn from a seed."""
    methods = "specs,rsd,beam,beam-draft,target,draft"
    options = ["--limit", str(KILLED_PROBLEMS), "--methods", methods, "--n", "2"]
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    process = _start(undisturbed, *options)
    process.communicate(timeout=900)
    assert process.returncode == 0
    moments, kills = random.Random(8), 0
    for _ in range(6):
        before = _lines(killed)
        process = _start(killed, *options)
        _wait_for(killed, before + moments.randrange(KILLED_PROBLEMS), process)
        time.sleep(0.2 * moments.random())
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        assert _lines(killed) >= before
    assert kills >= 4
    assert 0 < _lines(killed) < 6 * KILLED_PROBLEMS
    process = _start(killed, *options)
    process.communicate(timeout=900)
    assert process.returncode == 0
    wanted = _rows(undisturbed)
    assert len(wanted) == 6 * KILLED_PROBLEMS
    check_same(_rows(killed), wanted)
    with gzip.open(killed / "traces.jsonl.gz", "rt") as file:
        keys = [
            (trace["problem_id"], trace["label"], trace["settings"]["method"].get("n"), trace["seed"])
            for trace in map(json.loads, file)
        ]
    assert sorted(keys, key=repr) == sorted(wanted, key=repr)
    starts = json.loads((killed / "run.json").read_text())["starts"]
    assert starts[-1]["interrupted"] is False


def test_the_line_of_progress_fits_on_a_terminal():
    standing = RunProgress(30, 120, 3723.0, {"specs n=4": (9, 10), "beam n=4": (8, 10)})
    assert line(standing) == "30/120 solves, 25%, 1 h 02 min left  specs n=4 90%  beam n=4 80%"
    assert line(standing, 60) == "30/120 solves, 25%, 1 h 02 min left  specs n=4 90%"
    assert line(RunProgress(0, 120)) == "0/120 solves, 0%"
    assert line(RunProgress(1, 2, 75.0)) == "1/2 solves, 50%, 1 min 15 s left"
    assert line(RunProgress(1, 2, 7.4)) == "1/2 solves, 50%, 7 s left"


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_one_line_on_a_terminal_and_rare_lines_elsewhere(terminal, monkeypatch, capsys):
    clock = iter([0.0, *(k * 10.0 for k in range(1, 11))])
    monkeypatch.setattr("specs.cli.progress.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    if terminal:
        next(clock)
    shown = Shown()
    for done in range(1, 11):
        shown(RunProgress(done, 10))
    printed = capsys.readouterr().err
    assert printed.count("\r") == (10 if terminal else 0)
    assert printed.count("\n") == (1 if terminal else 3)
