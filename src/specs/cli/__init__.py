"""The command line, thin: `specs solve | problems | bench`."""

from specs.cli.main import main

__all__ = ["main"]
