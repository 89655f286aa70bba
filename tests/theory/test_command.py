"""`python -m research.theory`, run as a command."""

import json

import pytest

from helpers.commands import THEORY, run_command
from research.theory import decoder
from specs.errors import install_command


@pytest.mark.slow
def test_theory_writes_a_record_and_a_figure(capsys, tmp_path):
    """A correct decoder fails one of three comparisons with probability 3e-6 (fixed seed)."""
    out = tmp_path / "new" / "theory"
    assert run_command(THEORY, ["--out", str(out), "--samples", "1000", "--seed", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "passed"
    found = json.loads((out / "theory.json").read_text())
    assert (found["passed"], found["samples"], found["seed"]) == (True, 1000, 1)
    for case in found["cases"]:
        assert len(case["n"]) == len(case["kl"]) == len(case["tv"]) == len(case["bound"])
        assert all(check["passed"] for check in case["checks"])
        assert case["slope_kl"] == pytest.approx(-2, abs=0.1)
        assert case["slope_tv"] == pytest.approx(-1, abs=0.1)
        assert case["n2kl_over_half_variance"] == pytest.approx(1, abs=0.02)
        assert case["name"] in printed
    assert [run["samples"] for run in found["decoder"]] == [1000, 250, 250]
    assert all(sum(run["counts"]) == run["samples"] for run in found["decoder"])
    assert (out / "theory.svg").read_text().startswith("<?xml")
    assert (out / "theory.png").read_bytes().startswith(b"\x89PNG")
    assert not list(out.glob(".*"))


@pytest.mark.slow
def test_a_failed_check_is_named_and_exits_with_1(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(decoder, "ODDS", 2.0)  # exceeds any p-value
    assert run_command(THEORY, ["--out", str(tmp_path), "--samples", "1000"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAILED switching: the decoder does not follow its law" in lines
    assert lines[-1] == "failed"
    assert json.loads((tmp_path / "theory.json").read_text())["passed"] is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--out"),
        (["--out", "{file}"], "is not a folder and cannot be created"),
        (["--out", "{folder}", "--samples", "999"], "give at least 1000"),
        (["--out", "{folder}", "--seed", "-1"], "'-1' is not a whole number of at least 0"),
    ],
)
def test_bad_input_is_one_line(options, message, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    options = [option.format(file=tmp_path / "file", folder=tmp_path / "folder") for option in options]
    assert run_command(THEORY, [*options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "folder").exists()


def test_without_matplotlib_the_extra_is_named_before_anything_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("specs.eval.plots.find_spec", lambda name: None)
    assert run_command(THEORY, ["--out", str(tmp_path / "out")]) == 2
    assert install_command("eval") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
