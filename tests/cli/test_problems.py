"""`python -m research.benchmarks.quick` and `specs problems`, run as a person would."""

import json

import pytest
from commands import QUICK, run_command

from specs.bundled.problems import HELD_OUT_SEED, generate
from specs.cli import main

FIELDS = {
    "accuracy", "accuracy_interval", "latency_s", "latency_ratio_to_beam", "accuracy_minus_beam",
    "processed_over_minimum", "orchestration_share", "draft_share", "flops",
}  # fmt: skip


def test_bench_prints_a_table_and_json_last(capsys):
    command = ["--dataset", "bundled:easy", "--limit", "4", "--methods", "specs,beam,target", "--n", "4"]
    assert run_command(QUICK, command) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out.strip().splitlines()[-1])
    assert set(report["methods"]) == {"specs", "beam", "target"}
    for method in report["methods"].values():
        assert set(method) >= FIELDS
        assert set(method["latency_s"]) >= {"mean", "p50", "p95"}
        assert set(method["latency_ratio_to_beam"]) >= {"median", "low", "high"}
        assert set(method["accuracy_minus_beam"]) >= {"mean", "low", "high"}
        assert set(method["processed_over_minimum"].values()) <= {1.0, None}
        assert method["processed_over_minimum"]["target"] == 1.0
    assert (report["limit"], report["n"], report["seed"]) == (4, 4, 0)
    assert set(report["models"]) == {"draft", "target", "prm"}
    assert "beam" in printed.out.splitlines()[0] + printed.out


def test_problems_are_json_lines_and_can_be_read_back(capsys, tmp_path):
    assert main(["problems", "--dataset", "bundled:medium", "--limit", "3", "--problem-seed", "7"]) == 0
    lines = capsys.readouterr().out
    problems = [json.loads(line) for line in lines.splitlines()]
    assert [p["question"] for p in problems] == [generate("medium", seed).question for seed in (7, 8, 9)]
    assert all(set(p) >= {"question", "answer", "solution"} for p in problems)
    path = tmp_path / "mine.jsonl"
    path.write_text(lines)
    assert main(["problems", "--dataset", str(path)]) == 0
    assert [json.loads(line)["question"] for line in capsys.readouterr().out.splitlines()] == [
        p["question"] for p in problems
    ]


def test_problems_start_with_the_held_out_ones(capsys):
    assert main(["problems", "--limit", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["question"] == generate("medium", HELD_OUT_SEED).question


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "specs,spex"], "there is no method 'spex'; did you mean 'specs'?"),
        (["--methods", "beam,beam"], "name each method once"),
        (["--methods", "specs,beam", "--n", "4,8"], "'4,8' is not a whole number"),
        (["--question-column", "q"], "only a file has named columns"),
        (["--dataset", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--limit", "0"], "give at least 1"),
        (["--temperature", "0"], "makes all 8 candidates equal"),
    ],
)
def test_bad_input_is_one_line(options, message, capsys):
    assert run_command(QUICK, options) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize("name", ["bench", "study", "theory"])
def test_commands_that_have_moved_say_where_to(name, capsys):
    assert main([name, "--out", "x"]) == 2
    printed = capsys.readouterr()
    assert f"'specs {name}' is run from a clone of the repository now: python -m research." in printed.err
    assert printed.err.count("\n") == 1
