"""The programs in examples/ and in the how-tos run and print what their pages say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.chat_server import chat_server
from helpers.server_app import app_of, running_server
from specs import load

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
HOWTO = ROOT / "docs/howto"
SHOWN = {
    "01_solve.py": r"The answer is \\boxed\{20\}\.\n\nanswer: 20 \(answer, \d+ ms\)\nsteps by the draft: \d+%\n\Z",
    "02_stream.py": r"(?s)\w  \w.*answer: \S+, first step after \d+\.\d\d s\n.*target  .*answer: 22\n\Z",
    "03_many_questions.py": (r"(?m)\A(medium-\d: \S+ \((right|wrong, it is \d+)\)\n){8}[1-8] of 8 right, 0 failed\n\Z"),
    "04_own_models.py": r"(?s)(draft|target|prm) +\d+ tokens processed  \S+bundled/models/\w+\n.*answer: 40\n\Z",
    "05_new_method.py": r"(?s) draft  rejected  .*target  kept .*answer: \d+, \d+% of the steps by the draft\n\Z",
}
"""What each program prints, in part."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def run(*command: str | Path, program: str | None = None) -> subprocess.CompletedProcess[str]:
    variables = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, *command],
        input=program,
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def blocks(page: str) -> tuple[str, str]:
    """The program in a how-to, and the output that the page states."""
    found = BLOCK.findall((HOWTO / page).read_text())
    (program,) = (text for kind, text in found if kind == "python")
    (shown,) = (text for kind, text in found if kind == "text")
    return program, shown


def in_order(lines: list[str], text: str) -> bool:
    rest = iter(text.splitlines())
    return all(line in rest for line in lines)


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_runs_and_shows_its_answer(name: str) -> None:
    done = run(EXAMPLES / name)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(SHOWN[name], done.stdout), done.stdout


def test_a_missing_model_is_an_error_of_one_line() -> None:
    done = run(EXAMPLES / "04_own_models.py", "--draft", "./nowhere")
    assert done.returncode == 1
    assert re.fullmatch(r"draft \./nowhere: no such model folder; .*\n", done.stderr)


def test_the_client_talks_to_a_server_and_says_how_to_start_one() -> None:
    with running_server(app_of(models=load())) as address:
        done = run(EXAMPLES / "06_server_client.py", f"{address}/v1")
    assert (done.returncode, done.stderr) == (0, "")
    answer, stream = done.stdout.split("\nthe same as a stream:\n")
    assert re.search(r"\nanswer: 22 \(answer\), \d+% of the steps by the draft\n\Z", answer)
    assert "boxed{22}" in stream
    done = run(EXAMPLES / "06_server_client.py", f"{address}/v1")
    assert done.returncode == 1
    assert "start one with" in done.stderr
    assert "specs serve" in done.stderr


def test_a_server_without_log_probabilities_runs_methods_that_need_none() -> None:
    with chat_server(load(None, "bundled", None).target) as address:
        done = run(EXAMPLES / "07_own_classes.py", address)
    assert (done.returncode, done.stderr) == (0, "")
    *ran, specs, gsi = done.stdout.splitlines()
    assert ran == ["beam: 22", "best-of-n: 22", "majority: 22"]
    for name, refused in (("specs", specs), ("gsi", gsi)):
        assert refused.startswith(
            f"method {name} needs log-probabilities of steps: draft bundled:target is of class Chat"
        )
    done = run(EXAMPLES / "07_own_classes.py", address)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"no server at \S+ \(.*\); start one, or name its address\n", done.stderr)


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text()
    assert path.name in {*SHOWN, "06_server_client.py", "07_own_classes.py"}
    assert text.startswith('"""')
    assert f"python examples/{path.name}" in text
    assert len(text.splitlines()) < 60


def test_the_program_in_add_a_method_is_the_example_and_prints_what_the_page_says() -> None:
    program, shown = blocks("add-a-method.md")
    assert program == (EXAMPLES / "05_new_method.py").read_text()
    done = run(EXAMPLES / "05_new_method.py")
    assert done.stdout == shown


@pytest.mark.parametrize("page", ["add-an-engine.md", "add-a-prm-format.md", "own-models.md"])
def test_the_program_in_a_page_prints_what_the_page_says(page: str) -> None:
    program, shown = blocks(page)
    done = run("-", program=program)
    assert (done.returncode, done.stderr) == (0, "")
    assert in_order(shown.splitlines(), done.stdout), done.stdout


def test_every_page_named_add_has_a_test() -> None:
    pages = {path.name for path in HOWTO.glob("add-*")}
    assert pages == {"add-a-method.md", "add-an-engine.md", "add-a-prm-format.md"}
