"""scripts/environment: what it installs, when, with which Python, and after an interrupted installation.

Python is a stand-in that records what pip is asked for.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_IN = """#!/bin/sh
case "$1 $2" in
  "-c import ensurepip"*) exit {unsuited} ;;
  "-c import sys; print(sys.version)") echo "{name}" ;;
  "-c import fcntl"*) exec {real} "$@" ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip")
    [ "$3" = --version ] || {{ echo "$PIP_CONSTRAINT $PIP_BUILD_CONSTRAINT $*" >>{log}; exit {fails}; }} ;;
esac
"""
USE = '#!/usr/bin/env bash\nset -euo pipefail\ncd "$(dirname "$0")/.."\n. scripts/environment "$1"\necho "$env"\n'
ALL = "[dev,eval,serve,torch]"


class Checkout:
    """A copy of the files that the script reads, in a folder with a space in its name, and stand-ins on a PATH."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.log = folder / "a clone", folder / "bin", folder / "log"
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        (self.root / "src/specs").mkdir(parents=True)
        for name in ("pyproject.toml", "constraints.txt", "src/specs/__init__.py"):
            shutil.copy(ROOT / name, self.root / name)
        use = self.root / "scripts/use"
        use.write_text(USE)
        use.chmod(0o755)
        self.bin.mkdir()
        for tool in ("bash", "cat", "cksum", "cp", "dirname", "env", "mkdir", "rm", "sh", "sleep", "touch"):
            (self.bin / tool).symlink_to(shutil.which(tool) or pytest.skip(f"no {tool} here"))

    def python(self, name: str, *, unsuited: int = 0, fails: int = 0) -> Path:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(STAND_IN.format(name=name, log=self.log, unsuited=unsuited, fails=fails, real=sys.executable))
        path.chmod(0o755)
        return path

    def use(self, extras: str = ALL, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), **variables}
        command = [str(self.root / "scripts/use"), extras]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    def installed(self, extras: str = ALL, **variables: str) -> list[str]:
        """The calls of pip, in order."""
        self.log.write_text("")
        done = self.use(extras, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        return self.log.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    if sys.platform == "win32":
        pytest.skip("the scripts are for bash")
    made = Checkout(tmp_path)
    made.python("python3")
    return made


def test_it_installs_from_the_lock_once(checkout: Checkout) -> None:
    (asked,) = checkout.installed()
    assert asked.startswith("constraints.txt constraints.txt -m pip install -qq ")
    assert asked.endswith(f" --editable .{ALL}")
    assert checkout.installed() == []
    assert len(checkout.installed("")) == 1
    assert checkout.installed("") == checkout.installed() == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "src/specs/__init__.py"])
def test_it_installs_again_when_a_file_that_it_reads_has_changed(checkout: Checkout, name: str) -> None:
    """It compares contents, so an older file that comes back counts too."""
    checkout.installed()
    path = checkout.root / name
    path.write_text(path.read_text() + "\n# changed\n")
    os.utime(path, (0, 0))
    (checkout.root / ".venv/kept").touch()
    assert len(checkout.installed()) == 1
    assert (checkout.root / ".venv/kept").exists()
    assert checkout.installed() == []


def test_an_interrupted_installation_starts_over(checkout: Checkout) -> None:
    checkout.python("python3", fails=1)
    assert checkout.use().returncode == 1
    (checkout.root / ".venv/half").touch()
    checkout.python("python3")
    assert len(checkout.installed()) == 1
    assert not (checkout.root / ".venv/half").exists()
    assert checkout.installed() == []


def test_an_interrupted_upgrade_starts_over(checkout: Checkout) -> None:
    checkout.installed()
    (checkout.root / ".venv/installing").touch()
    assert len(checkout.installed()) == 1
    assert checkout.installed() == []


def test_an_environment_without_its_python_is_made_again(checkout: Checkout) -> None:
    checkout.installed()
    python = checkout.root / ".venv/bin/python"
    python.unlink()
    python.symlink_to("nowhere")
    (checkout.root / "constraints.txt").write_text("# other versions\n")
    assert len(checkout.installed()) == 1
    assert python.exists()


def test_a_copied_checkout_does_not_use_the_environment_of_the_original(checkout: Checkout) -> None:
    checkout.installed()
    shutil.copytree(checkout.root, checkout.root.parent / "copy")
    checkout.root = checkout.root.parent / "copy"
    (checkout.root / ".venv/old").touch()
    assert len(checkout.installed()) == 1
    assert not (checkout.root / ".venv/old").exists()
    assert checkout.installed() == []


def test_a_running_installation_is_waited_for(checkout: Checkout) -> None:
    """If it has installed everything, nothing is left to do."""
    command, environment = [str(checkout.root / "scripts/use"), ALL], {"PATH": str(checkout.bin)}
    with (checkout.root / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        waiting = [subprocess.Popen(command, env=environment, **pipes) for _ in range(3)]
        assert [one.stderr.readline() for one in waiting] == ["waiting for another installation into .venv ...\n"] * 3
        assert not checkout.log.exists(), "something was installed while the other installation ran"
    for one in waiting:
        _, errors = one.communicate(timeout=60)
        assert (one.returncode, errors) == (0, "")
    assert len(checkout.log.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("unsuited", "chosen"),
    [
        ((), "python3"),
        (("python3",), "python3.13"),
        (("python3", "python3.13"), "python3.12"),
        (("python3", "python3.13", "python3.12"), "python3.11"),
    ],
)
def test_the_first_suitable_python_is_used(checkout: Checkout, unsuited: tuple[str, ...], chosen: str) -> None:
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        checkout.python(name, unsuited=int(name in unsuited))
    checkout.installed()
    assert f'echo "{chosen}"' in (checkout.root / ".venv/bin/python").read_text()


def test_another_python_makes_another_environment(checkout: Checkout) -> None:
    checkout.installed()
    other = checkout.python("python3.12")
    assert len(checkout.installed(PYTHON=str(other))) == 1
    assert checkout.installed(PYTHON="python3.12") == checkout.installed() == []
    assert len(checkout.installed(PYTHON="python3")) == 1


@pytest.mark.parametrize("named", [None, "python3", "no/such/python"])
def test_without_a_suitable_python_one_line_says_what_to_do(checkout: Checkout, named: str | None) -> None:
    checkout.installed()
    before = (checkout.root / ".venv/bin/python").read_text()
    checkout.python("python3", unsuited=1)
    (checkout.root / "constraints.txt").write_text("# other versions\n")
    done = checkout.use(**({"PYTHON": named} if named else {}))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    for words in (named or "python3", "Python 3.11 to 3.13", "python3-venv", "PYTHON=/path/to/python3"):
        assert words in done.stderr
    assert (checkout.root / ".venv/bin/python").read_text() == before


def test_newest_has_its_own_environment_without_the_lock(checkout: Checkout) -> None:
    checkout.installed()
    (asked,) = checkout.installed(SPECS_NEWEST="1")
    assert asked.startswith("  -m pip install -qq ")  # no constraints
    assert "--upgrade --upgrade-strategy eager" in asked
    assert checkout.use(SPECS_NEWEST="1").stdout == ".venv-newest\n"
    assert checkout.installed() == []


def test_another_folder_can_be_named_and_uses_the_lock(checkout: Checkout) -> None:
    """scripts/docs does so."""
    checkout.installed()
    (asked,) = checkout.installed("[docs]", SPECS_ENV=".venv-docs")
    assert asked.startswith("constraints.txt constraints.txt -m pip install -qq ")
    assert checkout.use("[docs]", SPECS_ENV=".venv-docs").stdout == ".venv-docs\n"
    assert checkout.installed() == []
