"""The command line, thin: `specs solve | problems | bench | replay | grade`."""

from specs.cli.main import main

__all__ = ["main"]
