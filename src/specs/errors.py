"""Everything that specs raises on purpose.

    SpecsError
    |- InputError     the caller can mend it: a name, a path, a value (exit code 2)
    |- ModelError     a model cannot do what is asked of it (exit code 2)
    |- EngineError    a model failed while it ran (exit code 1)
    |- NoRoom         models that the GPUs cannot hold (exit code 1)

Every message is one line that names the input and the mend.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


class SpecsError(Exception):
    """Base of all."""


class InputError(SpecsError):
    """A name, path or value that the caller can mend."""


class ModelError(SpecsError):
    """A model that cannot play its role."""


class EngineError(SpecsError):
    """A model that failed while it ran."""


class NoRoom(SpecsError):
    """Models that the GPUs cannot hold."""


def described(error: BaseException) -> str:
    """The type and the message of any error, on one line."""
    try:
        said = " ".join(str(error).split())
    except Exception:  # even this may fail
        said = ""
    return f"{type(error).__name__}: {said or 'no message'}"


def install_command(extra: str) -> str:
    """The command that adds an extra to this environment, for messages that say what is missing.

    A checkout is installed from its folder. For an installed package, pip reads the extra's requirements from its
    metadata.
    """
    checkout = Path(__file__).resolve().parents[2]
    source = ["-e", f"{checkout}[{extra}]"] if (checkout / "pyproject.toml").is_file() else [f"specs-llm[{extra}]"]
    return shlex.join([sys.executable, "-m", "pip", "install", *source])
