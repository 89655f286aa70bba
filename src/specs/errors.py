"""Everything that specs raises on purpose.

    SpecsError
    |- InputError     the caller can correct it: a name, a path, a value (exit code 2)
    |- ModelError     a model cannot play its role (exit code 2)
    |- EngineError    a model failed while it ran (exit code 1)
    |- NoRoom         the GPUs cannot hold the models (exit code 1)

Every message is one line that names the wrong input and how to correct it.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


class SpecsError(Exception):
    """Base class of the errors that specs raises on purpose."""


class InputError(SpecsError):
    """A name, path or value is wrong; the caller can correct it."""


class ModelError(SpecsError):
    """A model cannot play its role."""


class EngineError(SpecsError):
    """A model failed while it ran."""


class NoRoom(SpecsError):
    """The GPUs cannot hold the models."""


def described(error: BaseException) -> str:
    """The type and the message of any error, on one line."""
    try:
        said = " ".join(str(error).split())
    except Exception:  # another library's __str__ may raise
        said = ""
    return f"{type(error).__name__}: {said or 'no message'}"


def install_command(extra: str) -> str:
    """The command that adds an extra to this environment, for messages that say what is missing.

    A checkout is installed from its folder. Otherwise pip finds the package installed, and reads the extra's
    requirements from its metadata.
    """
    checkout = Path(__file__).resolve().parents[2]
    source = ["-e", f"{checkout}[{extra}]"] if (checkout / "pyproject.toml").is_file() else [f"specs-llm[{extra}]"]
    return shlex.join([sys.executable, "-m", "pip", "install", *source])
