"""Runs commands of research in this process, as `python -m MODULE` does."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from research.command import main

QUICK, SUITE, THEORY = (f"research.{name}" for name in ("benchmarks.quick", "cost_suite", "theory"))


def run_command(module: str, words: Sequence[str]) -> int:
    found = import_module(module if module == QUICK else f"{module}.__main__")
    return main(module, found.__doc__, found.add, found.run, words)
