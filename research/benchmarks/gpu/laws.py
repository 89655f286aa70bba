"""Checks that the torch engine is correct on this device: its tests, solves token for token, rounding in bf16."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from research.benchmarks import precision
from research.benchmarks.bundled import solve
from research.benchmarks.gpu.act import Act, Found, Point
from specs import load
from specs.methods.registry import make
from specs.types import Result

ROOT = Path(__file__).parents[3]
ENGINE = ("tests/engines/test_torch_recorded.py", "tests/engines/test_torch_backend.py", "tests/engines/test_logits.py")
LAWS = ("tests/laws", "tests/bundled", "tests/engines/test_tree.py")
METHODS = ("specs", "beam", "gsi", "rsd", "beam+speculation")
PLUGINS = ("-p", "xdist.plugin", "-p", "pytest_timeout", "-W", "default")
"""Load only these plugins and allow warnings, which are errors in these tests otherwise: on a foreign machine, other
plugins and libraries may warn."""
TIER, SEED = "hard", 2_470_000
"""Tuning problems, since no accuracy is reported."""
TOLERANCE = 1e-4
"""Largest difference of log-probabilities in nats, and of rewards."""


def points(act: Act) -> Iterator[Point]:
    engine, laws = (ENGINE[2:], ()) if act.dry else (ENGINE, LAWS)
    yield Point("tests of the engine", partial(tests, act, engine), 90)
    if laws:
        chosen = ("-m", "not slow and not live", "-k", "torch or both_engines", "--ignore=tests/laws/test_prms.py")
        yield Point("tests of the laws", partial(tests, act, laws, *chosen), 120)
    yield Point("solves in fp32", partial(solves, act, 1 if act.dry else 4), 60)
    yield Point("rounding in bf16", partial(rounding, act, 1 if act.dry else 15), 60)
    yield Point("speculation in bf16", partial(speculation, act, 1 if act.dry else 15), 45)


def tests(act: Act, files: tuple[str, ...], *options: str) -> Found:
    """Run the tests in `files` on the device, with pytest's `options`; returns their outcomes.

    Raises:
        AssertionError: a test fails, or none passes.
        RuntimeError: pytest writes no report.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *PLUGINS, "--device", act.device]
        command += ["-n", "4" if act.on_gpu else "1", f"--junitxml={report}", *options, *files]
        paths = [f"{ROOT}/src", str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        output = Path(folder) / "output"
        with output.open("w") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                code = process.wait(max(60.0, act.left_s - 10))
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # also its workers, which hold memory of the device
                print(output.read_text()[-6000:], flush=True)
        if not report.exists():
            raise RuntimeError(f"pytest ended with {code}: {output.read_text()[-1000:]}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    outcome = {kind: [name_of(case) for case in cases if case.find(kind) is not None] for kind in ("failure", "error")}
    failed = [*outcome["failure"], *outcome["error"]]
    skipped = sum(case.find("skipped") is not None for case in cases)
    found: Found = {"passed": len(cases) - len(failed) - skipped, "skipped": skipped, "failed": failed}
    if failed or not found["passed"]:
        raise AssertionError(f"{len(failed)} tests failed, {found['passed']} passed: {', '.join(failed)[:2000]}")
    return found


def name_of(case: Any) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def solves(act: Act, problems: int) -> Found:
    """Check that solves in fp32 equal those of the light engine, and that no position is computed twice."""
    light, torch = load(engine="light"), load(engine="torch", device=act.device, dtype="fp32")
    steps = 0
    for name in METHODS:
        for seed in range(SEED, SEED + problems):
            one, other = (solve(models, make(name), TIER, seed) for models in (light, torch))
            check_same(one, other)
            steps += len(one.steps)
            for role, use in other.usage.items():
                if use.processed - use.speculated != use.minimum:
                    raise AssertionError(f"{name}: {role} computed {use.processed} positions, not {use.minimum}")
    return {"methods": len(METHODS), "problems": problems, "steps": steps}


def check_same(one: Result, other: Result) -> None:
    """AssertionError if two results differ in a token, or in a score by more than rounding."""
    if one.text != other.text or len(one.steps) != len(other.steps):
        raise AssertionError(f"{one.method}: the texts differ: {one.text!r} and {other.text!r}")
    for a, b in zip(one.steps, other.steps, strict=True):
        for x, y in zip(a.candidates, b.candidates, strict=True):
            if x.token_ids != y.token_ids:
                raise AssertionError(f"{one.method}: candidates differ: {x.text!r} and {y.text!r}")
            for name in ("log_p", "log_q", "reward"):
                mine, its = getattr(x, name), getattr(y, name)
                if (mine is None) != (its is None) or abs((mine or 0.0) - (its or 0.0)) > TOLERANCE:
                    raise AssertionError(f"{one.method}: {name} differs: {mine} and {its}")


def rounding(act: Act, problems: int) -> Found:
    """Differences between scores on the tree and from scratch, and the steps they change (`benchmarks.precision`)."""
    found: Found = {"tier": TIER, "problems": problems, "problem_seed": SEED}
    for dtype in ("fp32", "bf16"):
        models = load(engine="torch", device=act.device, dtype=dtype)
        found[dtype] = precision.measured(models, TIER, range(SEED, SEED + problems))
    return found


def speculation(act: Act, problems: int) -> Found:
    """Number of solves of `beam` whose text speculation changes, in fp32 (where none may) and in bf16."""
    found: Found = {"tier": TIER, "problems": problems, "problem_seed": SEED}
    for dtype in ("fp32", "bf16"):
        models = load(engine="torch", device=act.device, dtype=dtype)
        differ = 0
        for seed in range(SEED, SEED + problems):
            one, other = (solve(models, make(name), TIER, seed) for name in ("beam", "beam+speculation"))
            differ += one.text != other.text
        found[dtype] = {"solves_that_differ": differ}
    if found["fp32"]["solves_that_differ"]:
        raise AssertionError(f"in fp32 speculation changed {found['fp32']['solves_that_differ']} solves")
    return found
