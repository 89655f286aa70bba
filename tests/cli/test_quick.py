"""`python -m research.benchmarks.quick`, run as a command."""

import json

import pytest

from helpers.commands import QUICK, run_command

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
