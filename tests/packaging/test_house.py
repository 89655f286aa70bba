"""The shape of the package: small modules and classes, few top-level modules, and no old names."""

import ast
from pathlib import Path

import pytest

import specs

PACKAGE = Path(specs.__file__).parent
MODULES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
MOST_LINES, MOST_LINES_OF_A_CLASS, MOST_LOOSE_MODULES = 350, 200, 5
OLD_NAMES = {
    "Law", "law", "settle", "Settle", "Ahead", "_Ahead", "Beside", "begun", "warm", "Drafted", "Checked", "Guesses",
    "guesses", "Asked", "Ask", "asks", "Closed", "Lent", "Room", "Outputs", "Pace", "pace", "told", "ALONE",
}  # fmt: skip
"""Names of version 0.1 that were riddles."""
OLD_MODULES = {
    "ahead", "beside", "guesses", "rooms", "outputs", "reading", "pacing", "pace", "whole", "timely", "line", "offers",
    "guard", "meters", "asking", "responding", "running", "logs", "serving", "cells", "gather", "front", "judge",
    "drawing", "machine", "drive", "models", "hf", "remote", "engine", "record",
}  # fmt: skip


def names_of(tree):
    """Every name that a module defines at its top or in a class, imports, or takes as a parameter."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name).rpartition(".")[2] for alias in node.names)
            case ast.arg():
                yield node.arg


def test_modules_and_classes_are_small():
    lines = {name: len((PACKAGE / name).read_text().splitlines()) for name in MODULES}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
    classes = {
        f"{name}:{node.name}": node.end_lineno - node.lineno + 1
        for name, tree in MODULES.items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }  # fmt: skip
    assert {name: count for name, count in classes.items() if count > MOST_LINES_OF_A_CLASS} == {}


def test_the_top_of_the_package_holds_few_modules():
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_LOOSE_MODULES


def test_every_folder_has_a_docstring():
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}
    assert [
        str(folder) for folder in folders if not ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    ] == []


def test_no_old_name_is_used():
    found = {(name, given) for name, tree in MODULES.items() for given in names_of(tree)}
    assert sorted((name, given) for name, given in found if given in OLD_NAMES) == []
    modules = {Path(name).stem for name in MODULES} | {part for name in MODULES for part in Path(name).parts[:-1]}
    assert sorted((modules & OLD_MODULES) - {"models"}) == []  # engines/local/models.py holds models in this process


@pytest.mark.parametrize(("old", "new"), [("Law", "SamplingParams"), ("presets", "config.presets")])
def test_using_an_old_name_tells_the_new_one(old, new):
    with pytest.raises(ImportError, match=rf"^specs\.{old} is called specs\.{new} now$"):
        getattr(specs, old)
    with pytest.raises(ImportError, match=f"specs.{new}"):
        exec(f"from specs import {old}")
    assert not hasattr(specs, "nothing_of_that_name")
