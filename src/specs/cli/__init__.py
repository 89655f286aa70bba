"""The command line, thin: `specs solve | problems | bench | eval | report | calibrate | replay | grade | theory`."""

from specs.cli.main import main

__all__ = ["main"]
