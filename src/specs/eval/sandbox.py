"""Runs code that models wrote, with tests, in a process of its own with bounded time, memory and output.

Each run starts a fresh Python (`specs.eval.sandbox_worker`) in an empty temporary folder, without this process's
environment and open files. Where Linux lets users make namespaces, it runs in new ones: it has no network and sees no
other process, and all that it started ends with it.

This protects against mistakes, not against attackers: the code has the rights of the user, and reads files like them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from specs.errors import InputError, described
from specs.eval.files import Verdict
from specs.eval.sandbox_worker import STARTED

CPU_S, WALL_S = 5, 20.0
"""Seconds that code may run: of processor time, and by the clock. The second is larger, for machines that are busy."""
MEMORY = 1 << 30
"""Bytes of address space of each process; macOS does not enforce it."""
_FILE = 16 << 20
"""Bytes of a file that the code writes."""
_LIMITS = {
    "RLIMIT_CPU": [CPU_S, CPU_S + 1],
    "RLIMIT_AS": [MEMORY, MEMORY],
    "RLIMIT_FSIZE": [_FILE, _FILE],
    "RLIMIT_NOFILE": [64, 64],
    "RLIMIT_CORE": [0, 0],
    "RLIMIT_NPROC": [0, 0],  # no new processes or threads; root is exempt
}
_GRACE_S = 20.0
"""Seconds for the start, and for killing what the code started."""
_WORKER = Path(__file__).with_name("sandbox_worker.py")
_NAMESPACES = ("unshare", "--user", "--net", "--pid", "--fork", "--kill-child", "--")


def require_sandbox() -> None:
    """Raises `InputError` on a system without resource limits."""
    if find_spec("resource") is None or not hasattr(os, "fork"):
        raise InputError("running code under limits needs Linux or macOS; on Windows, use WSL or a container")


def run_tests(prompt: str, tests: str, function: str, answer: str) -> Verdict:
    """Whether the function that an answer gives passes its tests. Any number of threads may call this.

    Args:
        prompt: code that ends with the signature and docstring of the function.
        tests: code that defines `check`, which takes the function and raises an error if it is wrong.
        function: the function's name.
        answer: code: the whole function, or its body.

    Returns:
        False with a reason if the code is wrong, ends its process or exceeds a limit; None if the sandbox failed.
    """
    request: dict[str, Any] = dict(prompt=prompt, tests=tests, function=function, answer=answer)
    return _run(request, _namespaces())


@cache
def _namespaces() -> tuple[str, ...]:
    """The command that starts another one in new namespaces; empty where that does not work."""
    if sys.platform != "linux" or shutil.which(_NAMESPACES[0]) is None:
        return ()
    trial = dict(prompt="def f():\n    pass", tests="def check(f):\n    f()", function="f", answer="def f(): pass")
    return _NAMESPACES if _run(trial, _NAMESPACES).correct else ()


def _run(request: dict[str, Any], prefix: tuple[str, ...]) -> Verdict:
    try:
        folder = tempfile.mkdtemp(prefix="specs-sandbox-")
        try:
            return _run_in(folder, {**request, "limits": _LIMITS, "seconds": WALL_S}, prefix)
        finally:  # unlike shutil, these programs remove folders without rights and thousands of folders deep
            remove = 'chmod -R u+rwx "$0"; exec rm -rf "$0"'
            subprocess.run(["sh", "-c", remove, folder], stderr=subprocess.DEVNULL, check=False)
    except OSError as error:
        return Verdict(None, f"the sandbox did not start ({described(error)})")


def _run_in(folder: str, request: dict[str, Any], prefix: tuple[str, ...]) -> Verdict:
    environment = {
        "PATH": os.defpath,
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",  # sets have one order, so the same answer gets the same grade
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    # Not -I, which would ignore PYTHONHASHSEED; the environment has no other variable for Python.
    command = [*prefix, sys.executable, "-s", "-P", str(_WORKER)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    with process:
        try:
            output, _ = process.communicate(json.dumps(request).encode(), WALL_S + _GRACE_S)
        except subprocess.TimeoutExpired:
            _kill(process)
            output, _ = process.communicate()
        except BaseException:  # Ctrl-C
            _kill(process)
            raise
    first, _, last = output.decode().partition("\n")
    if last:
        found = json.loads(last)
        return Verdict(found["correct"], found["reason"])
    if first == STARTED:
        return Verdict(False, "the code killed the process that watched it")
    return Verdict(None, f"the sandbox did not start (exit status {process.returncode})")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
