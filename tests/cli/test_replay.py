"""`specs report --replay`, run as a command on traces of the bundled models."""

import json
from pathlib import Path

import pytest

from specs.cli import main


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Three solves with specs and one with beam, one file each."""
    folder = tmp_path_factory.mktemp("traces")
    for method, seed in (("specs", 1), ("specs", 2), ("specs", 3), ("beam", 1)):
        trace = str(folder / f"{method}{seed}.json")
        assert main(["solve", "--example", "--method", method, "--seed", str(seed), "--json", "--trace", trace]) == 0
    return folder


@pytest.fixture
def files(traces):
    return [str(path) for path in sorted(traces.glob("*.json"))]


def test_the_recorded_settings_reproduce_every_solve(files, capsys):
    assert main(["report", "--replay", *files]) == 0
    shown = capsys.readouterr().out
    assert "complete                                           4   100.0%" in shown
    assert "steps come out as recorded (100.0%)" in shown


def test_target_share_sets_tau(files, capsys):
    assert main(["report", "--replay", *files, "--target-share", "0", "--json"]) == 0
    tau = json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]["options"]["tau"]
    assert main(["report", "--replay", *files, "--target-share", "0"]) == 0
    assert f"tau {tau:.6g}: 0.0% of the draft steps fell below it" in capsys.readouterr().out


def test_json_has_a_line_a_trace_and_a_summary(files, capsys):
    assert main(["report", "--replay", *files, "--set", "start=target", "--json"]) == 0
    *rows, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert [row["trace"] for row in rows] == [f"{file}, line 1" for file in files]
    assert [(row["method"], row["ended"]) for row in rows] == [("beam", "complete")] + [("specs", "another writer")] * 3
    beam = json.loads(Path(files[0]).read_text())
    assert (rows[0]["answer"], rows[0]["replayed"]) == (beam["answer"], len(beam["steps"]))
    assert (rows[1]["answer"], rows[1]["replayed"], rows[1]["seed"]) == (None, 0, 1)
    assert summary["summary"] == {
        "traces": 4,
        "complete": 1,
        "replayed": rows[0]["replayed"],
        "recorded": sum(row["recorded"] for row in rows),
        "ended": {"complete": 1, "another writer": 3},
        "options": {"start": "target"},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "threshold=0.4"], "--set threshold: none of the traces is of a method with this option"),
        (["--set", "colour=0.4"], "no method has an option 'colour'; choose from"),
        (["--set", "tua=0.4"], "no method has an option 'tua'; did you mean 'tau'?"),
        (["--temperature", "0.4"], "specs report has no option --temperature"),
        (["--set", "tau=2"], "tau is 2.0; give a number from 0 to 1"),
        (["--set", "tau=high"], "tau is 'high'; give a number from 0 to 1"),
        (["--set", "tau=0.5", "--target-share", "0.1"], "give --set tau=... or --target-share, not both"),
        (["--out", "x"], "--replay writes no files; leave out --out"),
        (["--target-share", "1"], "target_share must be in [0, 1), not 1.0"),
        (["nowhere.json"], "nowhere.json is not a file"),
    ],
)
def test_bad_input_is_one_line_that_names_it(options, message, files, capsys):
    assert main(["report", "--replay", *files, *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert printed.err.count("\n") == 1


def test_a_trace_that_cannot_be_replayed_is_refused_with_its_line(files, tmp_path, capsys):
    good = json.loads(Path(files[1]).read_text())
    bad = {**good, "settings": {**good["settings"], "method": {**good["settings"]["method"], "n": "eight"}}}
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in (good, bad)))
    assert main(["report", "--replay", str(tmp_path / "t.jsonl")]) == 2
    assert f"{tmp_path / 't.jsonl'}, line 2: settings: n is 'eight'" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--set", "tau=0.5"], ["--target-share", "0.1"], ["--json"]])
def test_options_of_a_replay_need_the_flag_replay(options, files, capsys):
    assert main(["report", *files, *options]) == 2
    assert capsys.readouterr().err == f"specs: {options[0]} is for --replay; give that too\n"
