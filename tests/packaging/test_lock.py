"""constraints.txt has exactly one version of each requirement in pyproject.toml, on every platform."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.markers import Environment, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
PINS = [Requirement(line) for line in LINES]
MACHINES = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "linux-arm": {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "aarch64",
    },
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
}


def place(machine: str, python: str) -> Environment:
    numbers: Environment = {"python_version": python, "python_full_version": f"{python}.1"}  # type: ignore[typeddict-item]
    return default_environment() | MACHINES[machine] | numbers  # type: ignore[return-value]


def asked() -> list[Requirement]:
    """Requirements for building the package, for the package, and for its extras."""
    project = PROJECT["project"]
    lists = [PROJECT["build-system"]["requires"], project["dependencies"], *EXTRAS.values()]
    found = [Requirement(text) for texts in lists for text in texts]
    return [requirement for requirement in found if canonicalize_name(requirement.name) != project["name"]]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", MACHINES)
def test_every_requirement_has_one_version_within_its_range(machine: str, python: str) -> None:
    here = place(machine, python)
    pins = [pin for pin in PINS if pin.marker is None or pin.marker.evaluate(here)]
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(names) == len(set(names)), "a package has two versions"
    pinned = dict(zip(names, pins, strict=True))
    assert len(asked()) > 30
    for requirement in asked():
        pin = pinned.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} is not in constraints.txt: run scripts/lock"
        (version,) = pin.specifier
        assert requirement.specifier.contains(version.version), f"{pin} is not {requirement}: run scripts/lock"


def test_the_lock_has_only_names_and_versions() -> None:
    """An address or a hash would bind it to one index, and pip refuses extras in a constraints file."""
    for line, pin in zip(LINES, PINS, strict=True):
        assert "://" not in line
        assert not pin.extras
        assert [specifier.operator for specifier in pin.specifier] == ["=="], line
