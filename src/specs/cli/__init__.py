"""The command line: one thin module for each command."""

from specs.cli.main import main

__all__ = ["main"]
