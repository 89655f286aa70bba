"""The GPU measurements as far as they run without a GPU: records, time limits and tables.

`scripts/gpu all --dry-run` runs all of it, as CI does.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from research.benchmarks.gpu import __main__ as command
from research.benchmarks.gpu.act import FORMAT, Act, Broken, Late, Point
from research.benchmarks.gpu.predictions import CLAIMS, GOALS, PARTS, RESULTS, TIMES, lines, measured_on, read
from research.benchmarks.gpu.steps import TINY, suite_of
from specs.cli.main import reported
from specs.errors import InputError

COMMITTED = sorted(RESULTS.glob("gpu-*.json"))


def check(record: dict[str, Any]) -> None:
    """Check the form of a record."""
    assert set(record) == {"format", "part", "dry_run", "points"}
    assert record["format"] == FORMAT
    assert record["part"] in PARTS
    assert isinstance(record["dry_run"], bool)
    for name, point in record["points"].items():
        assert ("found" in point) != ("failed" in point), name
        assert set(point) - {"found", "failed"} == {"on", "seconds"}
        assert isinstance(point.get("found", {}), dict)
        assert isinstance(point.get("failed", ""), str)
        assert point["seconds"] >= 0
        assert set(point["on"]) == {"gpu", "cpu", "torch", "transformers", "commit"}


def refused(number: str) -> float:
    raise AssertionError(f"{number} is no JSON")


def act(folder: Path, seconds: float = 60.0, *more: Path) -> Act:
    return Act((folder, *more), "cpu", True, time.monotonic() + seconds, say=lambda line: None)


def test_results_are_kept_and_failed_points_are_tried_again(tmp_path):
    calls: list[str] = []
    works = False

    def measure(name: str) -> dict[str, Any]:
        calls.append(name)
        if name == "two" and not works:
            raise RuntimeError("no kernel")
        return {"value": float("inf") if name == "one" else 2}

    points = [Point(name, lambda name=name: measure(name), 0) for name in ("one", "two", "three")]
    assert act(tmp_path / "a", 60, tmp_path / "b").run("facts", points) is False
    assert calls == ["one", "two", "three"]
    text = (tmp_path / "a/facts.json").read_text()
    assert text == (tmp_path / "b/facts.json").read_text()
    record = json.loads(text, parse_constant=refused)
    check(record)
    assert record["points"]["two"]["failed"] == "RuntimeError: no kernel"
    assert record["points"]["one"]["found"] == {"value": "inf"}
    works = True
    more = [points[0], points[1], Point("four", lambda: measure("four"), 0)]
    assert act(tmp_path / "a").run("facts", more) is True
    assert calls[3:] == ["four", "two"], "points that were never begun should come first"
    assert set(read(tmp_path / "a")["facts"]) == {"one", "two", "three", "four"}


def test_a_point_that_ends_the_process_is_not_tried_first_again(tmp_path):
    """As after a hang or a fault in a kernel."""

    def dies() -> dict[str, Any]:
        raise KeyboardInterrupt  # stands for a process that was killed

    points = [Point("one", dies, 0), Point("two", dict, 0)]
    with pytest.raises(KeyboardInterrupt):
        act(tmp_path).run("facts", points)
    record = json.loads((tmp_path / "facts.json").read_text())
    check(record)
    assert record["points"]["one"]["failed"] == "begun"
    with pytest.raises(KeyboardInterrupt):
        act(tmp_path).run("facts", points)
    assert list(read(tmp_path)["facts"]) == ["two"]


def test_a_solve_that_exits_fails_its_point_only(tmp_path):
    def ends() -> dict[str, Any]:
        raise SystemExit("a solve failed: no support")

    assert act(tmp_path).run("laws", [Point("one", ends, 0), Point("two", dict, 0)]) is False
    record = json.loads((tmp_path / "laws.json").read_text())
    assert record["points"]["one"]["failed"] == "SystemExit: a solve failed: no support"
    assert "found" in record["points"]["two"]


def test_nothing_is_measured_after_a_cuda_error(tmp_path):
    def breaks() -> dict[str, Any]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    points = [Point("one", breaks, 0), Point("two", dict, 0)]
    with pytest.raises(Broken, match="one: RuntimeError: CUDA error"):
        act(tmp_path).run("facts", points)
    assert read(tmp_path)["facts"] == {}
    with pytest.raises(Broken):
        act(tmp_path).run("facts", points)
    assert list(read(tmp_path)["facts"]) == ["two"]


def test_a_point_that_may_exceed_the_time_is_not_begun(tmp_path):
    begun = []
    points = [Point("short", lambda: begun.append("short") or {}, 1), Point("long", lambda: begun.append("long"), 100)]
    with pytest.raises(Late, match="long takes about 100 s"):
        act(tmp_path, 60).run("facts", points)
    assert begun == ["short"]
    assert list(read(tmp_path)["facts"]) == ["short"]


def test_an_interrupted_point_keeps_the_points_before_it(tmp_path):
    def stop() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        act(tmp_path).run("facts", [Point("one", dict, 0), Point("two", stop, 0)])
    assert list(read(tmp_path)["facts"]) == ["one"]


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1, "part": "laws", "dry_run": true, "points": {}}'])
def test_records_of_another_form_are_refused(tmp_path, text):
    (tmp_path / "facts.json").write_text(text)
    with pytest.raises(InputError, match=r"facts\.json is not a record of this part"):
        act(tmp_path).run("facts", [])


def test_a_dry_run_writes_records_and_prints_the_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu", "facts", "torch", "--dry-run", "--out", str(tmp_path)])
    assert command.main() == 0
    shown = capsys.readouterr().out
    assert "the numbers below mean nothing" in shown
    assert "| a token of 8 candidates, draft | 0.93 |" in shown
    for part in ("facts", "torch"):
        record = json.loads((tmp_path / f"{part}.json").read_text(), parse_constant=refused)
        check(record)
        assert record["dry_run"]
        assert all("found" in point for point in record["points"].values())


def test_without_a_gpu_only_a_dry_run_is_possible(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu", "all", "--device", "cpu"])
    with pytest.raises(SystemExit):
        command.main()
    assert "a CPU takes --dry-run" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["gpu", "all", "--device", "cuda:99"])
    assert reported(command.main) == 2
    assert "device 'cuda:99'" in capsys.readouterr().err


def whole() -> dict[str, dict[str, Any]]:
    """Records in which every point was measured."""
    took = {"device_ms": [2.0, 1.9, 2.1], "wall_ms": [2.0, 1.9, 2.1], "first_ms": 30.0}
    passes: dict[str, Any] = {
        f"{role} behind 1024": {
            tokens: {"floor_ms": 1.0, "called": took, "recorded": took} for tokens in ("1", "8", "480")
        }
        for role in ("draft", "target", "prm")
    }
    passes["profile"] = {"8 tokens": {"kernels": 1168}, "480 tokens": {"kernels": 1205}}
    passes["memory"] = {"bytes": 2**35, "peak": 2**36}
    wrong = {"fp32": {"solves_that_differ": 0}, "bf16": {"solves_that_differ": 3}}
    return {
        "facts": {"attention": {"cudnn, 8 tokens": took, "cudnn, 64 tokens": {"refused": "no"}}},
        "laws": {
            "tests of the engine": {"passed": 7}, "tests of the laws": {"passed": 8}, "speculation in bf16": wrong,
            "rounding in bf16": {"bf16": {"steps": 100, "chosen_differently": 2}},
        },
        "passes": passes,
        "suite": {"steps": {"ways": {"specs": {"ms": 90.0}, "beam": {"ms": 200.0}}}},
        "torch": {},
    }  # fmt: skip


def test_every_measured_value_appears_in_the_tables():
    shown = [line for line in lines(whole()) if line.startswith("| ") and "---" not in line]
    assert len(shown) == len(TIMES) + len(CLAIMS) + len(GOALS) + 3
    assert all(not line.endswith("| |") for line in shown)
    assert "| `D / B` | 0.26 | 0.65 | 0.38 | 0.43 | 0.45 |" in shown
    assert "| a token of 8 candidates of the target over its floor | 1.5 | 2.00 |" in shown
    assert "| a plan of cuDNN's attention for a new shape | 23 to 37 ms | 28.0 to 28.0 ms |" in shown


def test_without_records_every_measured_cell_is_empty(tmp_path):
    assert measured_on(tmp_path) == "Not run on a GPU yet."
    empty = [line for line in lines(read(tmp_path)) if line.endswith("| |")]
    assert len(empty) == len(TIMES) + len(CLAIMS) + len(GOALS)


@pytest.mark.parametrize("path", [None, *COMMITTED], ids=lambda path: path.name if path else "none")
def test_committed_records_have_this_form(path):
    if path is None:
        assert {one.stem.removeprefix("gpu-") for one in COMMITTED} <= set(PARTS)
        return
    record = json.loads(path.read_text(), parse_constant=refused)
    check(record)
    assert not record["dry_run"]
    assert f"gpu-{record['part']}.json" == path.name


def test_points_of_the_suite_are_those_of_its_record():
    record = {"points": {"scale": {"found": {"n": 2}}, "steps": {"found": {"ways": {}}}, "shares": {"failed": "no"}}}
    assert suite_of(record) == {"scale": {"n": 2}, "points": {"steps": {"ways": {}}}}
    assert TINY.engine == "torch"
