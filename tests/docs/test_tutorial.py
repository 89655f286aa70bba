"""The tutorial: its commands run in sequence in one folder and print what the page quotes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from specs import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/tutorial.md").read_text()
COMMANDS = re.findall(r"^specs (.+)$", PAGE, re.MULTILINE)
SHOWN = {
    "--candidates": "      > r 0.998",
    "--method beam": "0 by the draft (0%)",
    "--trace": "traces.jsonl",
    "view": "page.html",
    "eval": "report   runs/first/report.html",
}
"""Words of a command, and what it prints, in part."""


def test_the_commands_run_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) >= 7
    seen = set()
    for command in COMMANDS:
        assert cli.main(shlex.split(command)) == 0, command
        screen = capsys.readouterr().out
        for words, shown in SHOWN.items():
            if words in command:
                seen.add(words)
                assert shown in screen, command
    assert seen == set(SHOWN)
    assert (tmp_path / "runs/first/report.html").is_file()
    assert (tmp_path / "page.html").is_file()


def test_the_shell_commands_name_scripts_that_exist() -> None:
    scripts = re.findall(r"^(scripts/[\w-]+)", PAGE, re.MULTILINE)
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)
