"""`specs calibrate` and --preset, run as commands."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from helpers.commands import QUICK, run_command
from specs.cli import main
from specs.cli.calibration_table import verdict
from specs.config.presets import Preset
from specs.eval.calibration import Estimate, Evidence, Goal
from specs.eval.calibration_run import checked
from specs.methods.specs import Specs

pytestmark = pytest.mark.slow

SMALL = ["calibrate", "--dataset", "bundled:easy", "--limit", "20", "--n", "2", "--set", "max_steps=6"]
FILES = ["calibration.json", "check", "design", "front.png", "front.svg", "pilot"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished calibration with a goal that every configuration meets."""
    folder = tmp_path_factory.mktemp("calibrate") / "run"
    assert main([*SMALL, "--latency-p95", "1000", "--out", str(folder)]) == 0
    return folder


def test_it_writes_its_record_and_a_preset(made):
    assert sorted(path.name for path in made.iterdir()) == sorted([*FILES, "preset.json"])
    found = json.loads((made / "calibration.json").read_text())
    assert found["problems"] == 20
    assert found["reference"] == "beam"
    assert [one["method"] for one in found["configurations"]] == ["beam"] + ["specs"] * 8
    assert all(one["meets_goal"] for one in found["configurations"])
    picked = next(one for one in found["configurations"] if one["name"] == found["picked"])
    assert found["prediction"]["p95_s"]["value"] == picked["p95_s"]["value"]
    assert found["prediction"]["p95_s"]["high"] > picked["p95_s"]["high"]
    assert found["check"]["problems"] == 20
    assert set(found["check"]["held"]) == set(found["check"]["found"]) == {"accuracy", "latency_ratio", "p95_s"}
    assert found["check"]["goal_met"]
    preset = Preset.of(made / "preset.json")
    assert preset.options == picked["options"]
    assert preset.law == {"temperature": 0.7, "top_p": 1.0, "max_step_tokens": 64}
    assert preset.provenance["models"] == dict.fromkeys(("draft", "target", "prm"), "bundled")
    assert {"dataset", "goal", "prediction", "check", "specs", "date"} <= preset.provenance.keys()
    assert "goal: p95 latency of at most 1000 s" in (made / "front.svg").read_text()
    assert (made / "front.png").read_bytes().startswith(b"\x89PNG")


def test_the_check_uses_other_problems(made):
    ids = [
        {json.loads(line)["problem_id"] for line in (made / name / "results.jsonl").read_text().splitlines()}
        for name in ("pilot", "design", "check")
    ]
    assert ids[0] == ids[1]
    assert not ids[1] & ids[2]
    assert all(int(name.rpartition(":")[2]) >= 2_000_000 for name in ids[1] | ids[2])


def test_another_goal_reuses_the_solves_and_an_unmet_goal_leaves_no_preset(made, tmp_path, capsys):
    rows = (made / "design" / "results.jsonl").read_bytes()
    preset = (made / "preset.json").read_bytes()
    assert main([*SMALL, "--max-latency-ratio", "0.001", "--out", str(made)]) == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith(
        "specs: nothing meets the goal (latency ratio of at most 0.001) by its whole interval; nearest is specs tau="
    )
    assert printed.err.endswith("; nor does its estimate\n")
    found = json.loads((made / "calibration.json").read_text())
    assert found["picked"] is found["prediction"] is found["check"] is None
    assert not (made / "preset.json").exists()
    assert main([*SMALL, "--latency-p95", "1000", "--out", str(made)]) == 0
    assert (made / "design" / "results.jsonl").read_bytes() == rows
    assert Preset.of(made / "preset.json").options == json.loads(preset)["options"]


def test_the_verdict_distinguishes_a_changed_machine_from_a_wrong_prediction():
    """`beam`, the reference, is first three times as fast as predicted, then exactly as fast."""
    seconds = np.array([[0.3] * 20, [0.2] * 20])
    check = Evidence(np.ones((2, 20)), seconds, seconds[0])
    prediction = {name: Estimate(0.6, 0.5, 1.0) for name in ("accuracy", "latency_ratio", "p95_s")}
    predicted = {name: estimate._asdict() for name, estimate in prediction.items()}
    record = {"prediction": predicted, "reference": "beam", "goal": {"text": "a goal"},
              "configurations": [{"p95_s": {"value": 0.9}}]}  # fmt: skip
    goal = Goal("latency_ratio", 0.7)
    record["check"] = checked(check, prediction, goal, Estimate(0.9, 0.8, 1.0))
    assert record["check"]["held"] == {"accuracy": True, "latency_ratio": True, "p95_s": False}
    assert verdict(record).endswith(
        "beam itself had a p95 of 0.900 s before and of 0.300 s now: the machine or its load changed, so latencies do "
        "not compare"
    )
    record["check"] = checked(check, prediction, goal, Estimate(0.3, 0.2, 0.4))
    assert verdict(record).endswith("a goal: met")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "one of the arguments --max-latency-ratio --latency-p95 --min-accuracy is required"),
        (["--min-accuracy", "0.5", "--latency-p95", "1"], "not allowed with argument"),
        (["--min-accuracy", "90"], "90 is out of range; give a number from 0 to 1"),
        (["--min-accuracy", "0.5", "--limit", "19"], "--limit 19 would tell nothing; give at least 20"),
        (["--min-accuracy", "0.5", "--check", "5"], "--check 5 would tell nothing; give at least 20"),
        (["--min-accuracy", "0.5", "--n", "4,4"], "--n names 4 twice"),
        (["--min-accuracy", "0.5", "--temperature", "0"], "--temperature 0 makes all candidates equal"),
        (["--min-accuracy", "0.5", "--dataset", "{file}"], "has 1 problems, not the 40 of --limit and --check"),
    ],
)
def test_bad_input_is_one_line(options, message, capsys, tmp_path):
    (tmp_path / "file.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    options = [option.format(file=tmp_path / "file.jsonl") for option in options]
    assert main([*SMALL, "--out", str(tmp_path / "run"), *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.fixture
def preset(tmp_path):
    made = Preset(
        "specs",
        asdict(Specs(n=2, tau=0.3, start="draft")),
        {"temperature": 0.5, "top_p": 0.9, "max_step_tokens": 32},
        {"models": {"draft": "bundled", "target": "bundled", "prm": "elsewhere"}},
    )
    made.write(tmp_path / "preset.json")
    return str(tmp_path / "preset.json")


def test_flags_override_the_preset(preset, capsys):
    given = ["--method", "specs:tau=0.6", "--temperature", "0.8"]
    assert main(["solve", "--example", "--json", "--preset", preset, *given]) == 0
    printed = capsys.readouterr()
    assert printed.err == "specs: the preset was made with other models (prm is bundled, not elsewhere)\n"
    settings = json.loads(printed.out)["settings"]
    assert {"n": 2, "tau": 0.6, "start": "draft"}.items() <= settings["method"].items()
    assert (settings["sampling"], settings["steps"]["max_tokens"]) == ({"temperature": 0.8, "top_p": 0.9}, 32)
    assert main(["solve", "--example", "--json", "--preset", preset, "--set", "top_k=20", "--set", "min_p=0.05"]) == 0
    law = {"temperature": 0.5, "top_p": 0.9, "top_k": 20, "min_p": 0.05}
    assert json.loads(capsys.readouterr().out)["settings"]["sampling"] == law


def test_a_preset_applies_only_to_the_method_that_it_names(preset, capsys, tmp_path):
    words = ["--dataset", "bundled:easy", "--limit", "1", "--methods", "specs,specs:tau=0.7,beam", "--preset", preset]
    assert run_command(QUICK, words) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["law"]["temperature"] == 0.5
    methods = found["methods"]
    assert (methods["specs n=2"]["options"]["tau"], methods["specs tau=0.7 n=2"]["options"]["tau"]) == (0.3, 0.7)
    assert methods["beam n=8"]["options"]["n"] == 8
    assert main(["eval", *words, "--n", "3", "--out", str(tmp_path / "run")]) == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [(one["label"], one["n"]) for one in run["methods"]] == [("specs", 3), ("specs tau=0.7", 3), ("beam", 3)]
    assert run["starts"][0]["options"]["preset"]["options"]["tau"] == 0.3
    capsys.readouterr()
    for words, fault in (
        (["solve", "--example", "--method", "beam"], "the preset is for specs, not for beam; leave one of them out"),
        (
            ["eval", "--out", "run", "--methods", "beam,target"],
            "the preset is for specs, which --methods beam,target does not name",
        ),
    ):
        assert main([*words, "--preset", preset]) == 2
        printed = capsys.readouterr()
        assert fault in printed.err
        assert printed.err.count("\n") == 1
