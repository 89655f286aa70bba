"""The docs agree with the code: help texts, names, links, files and figures.

python tests/docs/test_docs.py     rewrites the help texts in docs/cli.md
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
from contextlib import redirect_stdout, suppress
from math import prod
from pathlib import Path
from unittest.mock import patch

import pytest

import specs
from specs import cli
from specs.engines.folders import BUNDLED
from specs.methods.registry import NAMES
from specs.traces.schema import result_json
from specs.types import Finish, Role

ROOT = Path(__file__).parents[2]
CLI = ROOT / "docs/cli.md"
DOCS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (*sorted(ROOT.glob("*.md")), *ROOT.glob("docs/**/*.md"), *ROOT.glob("research/**/*.md"))
}

PROGRAMS = [
    "README.md",
    "docs/tutorial.md",
    *(f"docs/howto/{name}.md" for name in ("stream-steps", "many-questions", "meet-a-deadline", "read-a-trace")),
]
"""Pages whose Python runs here; how-tos with a whole program are in test_examples.py."""

HELP = re.compile(r"(<!-- help(?:: ([\w-]+))? -->\n```text\n)(.*?)(```\n<!-- end -->)", re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:src|tests|research|docs|scripts|recipes)/[\w./-]+)`")


def help_of(command: str) -> str:
    """What `specs [command] --help` prints, 100 columns wide."""
    screen = io.StringIO()
    with patch.dict(os.environ, COLUMNS="100", NO_COLOR="1"), redirect_stdout(screen), suppress(SystemExit):
        cli.main([command, "--help"] if command else ["--help"])
    return screen.getvalue()


def prose(text: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", text)


def slugs(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_docs_hold_the_help_of_every_command_word_for_word():
    embedded = {command: text for _, command, text, _ in HELP.findall(CLI.read_text())}
    commands = re.findall(r"^    ([\w-]+)(?:  |$)", help_of(""), re.MULTILINE)
    assert set(embedded) == {"", *commands}
    for command, text in embedded.items():
        # Python 3.13 aligns columns and breaks lines differently.
        assert text.split() == help_of(command).split(), "run python tests/docs/test_docs.py"


def test_every_public_name_is_explained():
    code = " ".join(re.findall(r"`[^`\n]+`", " ".join(prose(text) for text in DOCS.values())))
    assert [name for name in specs.__all__ if not re.search(rf"\b{name}\b", code)] == []


def test_every_method_and_finish_reason_is_defined():
    page = DOCS["docs/method.md"]
    for name in (*NAMES, *Finish):
        assert re.search(rf"^\|.*`{name}`.*\|", page, re.MULTILINE), name


@pytest.mark.parametrize("page", DOCS)
def test_links_and_files_exist(page):
    for target in LINK.findall(prose(DOCS[page])):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        assert not anchor or anchor in slugs(path.read_text()), f"{page} links to {target}"
    for name in FILE.findall(DOCS[page]):
        assert (ROOT / name).exists(), f"{page} speaks of {name}"


def test_tests_that_the_docs_name_exist():
    defined = {
        name for path in ROOT.glob("tests/**/*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    named = {name for text in DOCS.values() for name in re.findall(r"`(test_\w+)`", text)}
    assert named
    assert named <= defined


@pytest.mark.parametrize("page", DOCS)
def test_no_placeholder_is_left(page):
    assert re.findall(r"\{\{.*?\}\}", DOCS[page]) == []


def test_the_changelog_has_this_version():
    assert f"## [{specs.__version__}]" in DOCS["CHANGELOG.md"]


@pytest.mark.parametrize("role", list(Role))
def test_the_docs_state_the_parameters_of_the_bundled_models(role):
    with (BUNDLED / role / "model.safetensors").open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        tensors = json.loads(file.read(size))
    parameters = sum(prod(entry["shape"]) for name, entry in tensors.items() if name != "__metadata__")
    rows = [line for line in DOCS["docs/bundled-models.md"].splitlines() if f"| {parameters:,} |" in line]
    assert [row for row in rows if row.lower().startswith(f"| {role} ")]


@pytest.mark.parametrize(
    ("page", "block"),
    [(page, code) for page in PROGRAMS for language, code in FENCE.findall(DOCS[page]) if language == "python"],
)
def test_python_code_in_the_pages_runs(page, block, monkeypatch, capsys, tmp_path):
    """`load` returns exact models; the code runs in a folder that holds a trace."""
    from helpers import toy

    monkeypatch.setattr(specs, "load", lambda *names, **options: toy.models())
    monkeypatch.chdir(tmp_path)
    if "traces.jsonl" in block:
        result = specs.solve("a question", toy.models())
        (tmp_path / "traces.jsonl").write_text(json.dumps(result_json(result, candidates=True)) + "\n")
    names: dict[str, object] = {}
    exec(compile(block, page, "exec"), names)
    assert capsys.readouterr().out


def write_help() -> None:
    """Put the current help texts into docs/cli.md."""
    CLI.write_text(HELP.sub(lambda found: found[1] + help_of(found[2] or "") + found[4], CLI.read_text()))


if __name__ == "__main__":
    write_help()


def untimed(shown: str) -> list[str]:
    """Printed lines of a solve with times masked, and what depends on how far background work came."""
    lines = [re.sub(r"\d+ reused", "t reused", line.rstrip()) for line in shown.splitlines()]
    lines = [re.sub(r"\d+ tokens processed( \(\d+ for guesses\))?", "t tokens processed", line) for line in lines]
    lines = [re.sub(r"\d+", "t", line) if line.startswith(("latency", "phases")) else line for line in lines]
    return [re.sub(r"^( +\d+ +\w+ +\S+ +\S+) +\d+", r"\1 t", line) for line in lines]


def test_the_run_in_the_readme_shows_the_output_of_its_command(capsys):
    (shown,) = (text for kind, text in FENCE.findall(DOCS["README.md"]) if text.startswith("$ specs solve"))
    command, _, screen = shown.partition("\n")
    assert cli.main(command.split()[2:]) == 0
    assert untimed(capsys.readouterr().out) == untimed(screen)
