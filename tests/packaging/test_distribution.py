"""What is built from this checkout: a wheel that works alone, and a source archive with all that the README runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import specs
from specs.errors import install_command

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/specs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = set(PROJECT["optional-dependencies"])
TOLD = [
    *sorted(ROOT.glob("*.md")),
    *(
        path
        for folder in (".ci", ".github", "docs", "recipes", "scripts", "src")
        for path in ROOT.glob(f"{folder}/**/*")
    ),
]


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "hatchling", "build", "-d", folder)
    assert done.returncode == 0, done.stderr
    return {path.suffix: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def installed(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pip would copy into site-packages."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(built[".whl"]) as wheel:
        wheel.extractall(folder)
    return folder


def test_the_wheel_holds_the_package_its_types_and_its_version(installed: Path) -> None:
    def files(folder: Path) -> set[Path]:
        return {
            path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        }

    assert files(installed / "specs") == files(PACKAGE)
    assert (installed / "specs/py.typed").is_file()
    (about,) = installed.glob("*.dist-info/METADATA")
    assert f"\nVersion: {specs.__version__}\n" in about.read_text()


def test_the_wheel_is_small_and_has_no_research(built: dict[str, Path]) -> None:
    assert built[".whl"].stat().st_size <= 22e6
    with zipfile.ZipFile(built[".whl"]) as wheel:
        assert {name.partition("/")[0] for name in wheel.namelist()} == {
            "specs",
            f"specs_llm-{specs.__version__}.dist-info",
        }


def test_the_package_imports_no_research() -> None:
    using = [
        path for path in PACKAGE.rglob("*.py") if re.search(r"^\s*(from|import) research\b", path.read_text(), re.M)
    ]
    assert using == []


def test_the_version_is_written_once() -> None:
    assert "version" not in PROJECT
    written = [path for path in PACKAGE.rglob("*.py") if f'"{specs.__version__}"' in path.read_text()]
    assert written == [PACKAGE / "__init__.py"]


def test_the_package_solves_without_its_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import sys; from specs.cli import main; sys.exit(main(sys.argv[1:]))"
    done = run(sys.executable, "-c", code, "solve", "--example", cwd=tmp_path, PYTHONPATH=str(installed))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^answer +\d+$", done.stdout, re.MULTILINE)
    code = "import specs.errors as errors; print(errors.__file__, errors.install_command('torch'))"
    done = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.stdout.split(maxsplit=1) == [
        str(installed / "specs/errors.py"),
        f"{shlex.quote(sys.executable)} -m pip install 'specs-llm[torch]'\n",
    ]


def test_the_source_archive_holds_every_file_of_the_repository(built: dict[str, Path]) -> None:
    with tarfile.open(built[".gz"]) as archive:
        held = {name.partition("/")[2]: archive.getmember(name).mode for name in archive.getnames()}
    tracked = run("git", "ls-files").stdout.splitlines() if shutil.which("git") else []
    # Without git, check at least the files that the README's commands and CI run.
    for name in tracked or ["scripts/demo", "scripts/test", "scripts/environment", "constraints.txt", ".ci/run"]:
        if (ROOT / name).exists():
            assert name in held, f"{name} is not in the source archive: see pyproject.toml"
            assert bool(held[name] & 0o100) == os.access(ROOT / name, os.X_OK), name


def test_messages_and_pages_name_existing_extras() -> None:
    named: dict[str, set[str]] = {}
    for path in TOLD:
        if path.is_file() and (path.suffix in {".py", ".md", ".sh", ".yml"} or "." not in path.name):
            text = path.read_text()
            found = re.findall(r'install_command\("(\w+)"\)|install_command\(\'(\w+)\'\)', text)
            listed = re.findall(r'(?:specs-llm|["\' ]\.|environment ")\[([a-z,]+)\]', text)
            named[str(path)] = {
                name for names in (*found, listed) for part in names for name in part.split(",") if name
            }
    assert set().union(*named.values()) >= {"torch", "llama", "serve", "eval", "dev", "train"}
    for path, names in named.items():
        assert names <= EXTRAS, path


def test_messages_use_install_command() -> None:
    spelled = re.compile(r"pip install (?!vllm\b)")
    found = [path.name for path in PACKAGE.rglob("*.py") if spelled.search(path.read_text())]
    assert found == []


def test_pip_accepts_the_command_that_messages_name() -> None:
    extras = ",".join(sorted(EXTRAS))
    command = shlex.split(install_command(extras))
    assert command == [sys.executable, "-m", "pip", "install", "-e", f"{ROOT}[{extras}]"]
    if run(*command[:3], "--version").returncode:
        pytest.skip("this environment has no pip")
    done = run(*command, "--dry-run", "--no-deps", "--no-index", "--no-build-isolation")
    assert done.returncode == 0, done.stderr
    assert "does not provide the extra" not in done.stderr
