"""The command line, thin: a module a command."""

from specs.cli.main import main

__all__ = ["main"]
