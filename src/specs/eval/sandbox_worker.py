"""A process that runs one answer's code and its tests: `python -s -P sandbox_worker.py`, one JSON object as input.

`specs.eval.sandbox` starts it anew for every answer, in an empty folder and with an empty environment. It prints
`started`, and at the end its verdict as JSON: `{"correct": ..., "reason": ...}`, null if the sandbox failed.

The code runs in a child process, under limits, without standard input and output, in a session of its own. The tests
are set up before the code runs, in a name space that the code does not share. The child then reports a random token:
code that merely ends the process early, or prints something, does not pass. When the child ends, or is late, all that
it started is killed.

This file uses the standard library only and imports nothing of this package, so that it starts quickly.
"""

from __future__ import annotations

import ast
import builtins
import ctypes
import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from textwrap import dedent, indent
from types import FrameType, ModuleType
from typing import Any

STARTED, READY, PASSED, FAILED, BROKEN = "started", "ready", "passed", "failed", "broken"
_LONGEST = 200
"""Most characters of a reason."""
_REPORT = 60_000
"""Most bytes that are read of a report; a pipe holds more."""
_SUBREAPER, _DEATH_SIGNAL = 36, 1
"""Linux's prctl: orphans below this process become its children; this process gets a signal when its parent ends."""


def main() -> None:
    request: dict[str, Any] = json.load(sys.stdin)
    namespaced = os.getpid() == 1  # then the kernel kills all other processes when this one ends
    if not namespaced and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1)
    token = os.urandom(16).hex()
    reading, writing = os.pipe()
    print(STARTED, flush=True)  # from here on, only the code can keep this process from a verdict
    try:
        child = os.fork()  # safe: this process has one thread
    except OSError as error:
        _print(None, f"the process for the code did not start ({error})")
        return
    if child == 0:
        _work(request, writing, token)
    os.close(writing)
    status, late = _wait(child, request["seconds"])
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses to signal a group of zombies
        os.killpg(child, signal.SIGKILL)
    if not namespaced:
        _end_orphans()
    os.set_blocking(reading, False)
    try:
        report = os.read(reading, _REPORT).decode("utf-8", "replace")
    except BlockingIOError:  # another process still has the pipe open, and nothing is in it
        report = ""
    _print(*verdict(report, token, status, request["seconds"] if late else None))


def verdict(report: str, token: str, status: int, late_s: float | None) -> tuple[bool | None, str | None]:
    """Whether the code passed, and if not, why; None if the sandbox failed before the code ran.

    Args:
        report: what the child wrote: `ready`, then `passed TOKEN` or `failed REASON`; or `broken REASON`.
        status: as from `os.waitpid`.
        late_s: the time limit, if the child did not end within it.
    """
    first, _, rest = report.partition("\n")
    if first != READY:
        unready = "it was not ready" if late_s is None else f"it was not ready after {late_s:g} s"
        return None, f"the sandbox failed: {first.removeprefix(BROKEN).strip() or unready}"
    if rest.startswith(f"{PASSED} {token}"):
        return True, None
    if late_s is not None:
        return False, f"timed out: not done after {late_s:g} s"
    if rest.startswith(FAILED):
        return False, rest.removeprefix(FAILED).strip()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return False, "timed out: too much processor time"
        return False, f"the process was killed by {signal.Signals(number).name}"
    return False, f"the process ended before its tests had passed (exit status {os.WEXITSTATUS(status)})"


def _print(correct: bool | None, reason: str | None) -> None:
    print(json.dumps({"correct": correct, "reason": reason}), flush=True)


def _wait(child: int, seconds: float) -> tuple[int, bool]:
    """Wait for the child, and kill it after `seconds`; its status, and whether it was late."""
    late = False

    def kill(number: int, frame: FrameType | None) -> None:
        nonlocal late
        late = True
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    _, status = os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return status, late


def _end_orphans() -> None:
    """Kill what the child started and left behind, even in other sessions, until nothing is left (Linux)."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        with suppress(OSError):  # the system does not list them
            for orphan in children.read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(orphan), signal.SIGKILL)
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:
            time.sleep(0.001)


def _work(request: dict[str, Any], report: int, token: str) -> None:
    """The child: run code and tests, and write to `report`; never returns."""
    # Bound here, so that code that replaces them in their modules does not change what follows.
    write, leave = os.write, os._exit
    try:
        try:
            os.setsid()
            if sys.platform == "linux":  # the code may kill the process that would end it
                ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            _limit(request["limits"])
            tests = _tests(request)
            random.seed(0)  # some tests draw their inputs; the same answer should get the same grade
        except BaseException as error:
            write(report, f"{BROKEN} {_described(error)}\n".encode())
            return
        write(report, f"{READY}\n".encode())
        try:
            function = tests[request["function"]] = _function(request)  # some tests also call it by its name
            tests["check"](function)
        except BaseException as error:  # SystemExit too: the tests had not passed
            write(report, f"{FAILED} {_described(error)}\n".encode("utf-8", "replace"))
        else:
            write(report, f"{PASSED} {token}\n".encode())
    finally:  # whatever the code did to this process, it does not go on as its parent
        leave(0)


def _limit(limits: dict[str, list[int]]) -> None:
    """Set the resource limits of this process, [soft, hard] by name, but raise none."""
    import resource  # not on Windows, where this module can still be imported

    for name, wanted in limits.items():
        kind = getattr(resource, name)
        _, most = resource.getrlimit(kind)
        soft, hard = (value if most == resource.RLIM_INFINITY else min(value, most) for value in wanted)
        try:
            resource.setrlimit(kind, (soft, hard))
        except (OSError, ValueError):
            if sys.platform == "linux":  # macOS refuses some
                raise


def _tests(request: dict[str, Any]) -> dict[str, Any]:
    """The names of the tests: `check`, the helpers of the prompt, and builtins that the code cannot replace."""
    names: dict[str, Any] = {"__name__": "tests", "__builtins__": dict(vars(builtins))}
    exec(compile(request["prompt"], "<prompt>", "exec"), names)
    exec(compile(request["tests"], "<tests>", "exec"), names)
    if not callable(names.get("check")):
        raise ValueError("the tests define no function check")
    return names


def _function(request: dict[str, Any]) -> Any:
    """The function that the answer gives: the answer defines it, or it continues the prompt as its body."""
    module = sys.modules["answer"] = ModuleType("answer")
    prompt, name, answer = request["prompt"], request["function"], request["answer"]
    whole = dedent(answer)
    if _defines(whole, name):
        exec(compile(prompt, "<prompt>", "exec"), vars(module))  # for its imports and helpers
        exec(compile(whole, "<answer>", "exec"), vars(module))
    else:
        exec(_completed(prompt, answer), vars(module))
    return getattr(module, name)


def _defines(code: str, name: str) -> bool:
    """Whether the code defines a function called `name`, or assigns it, at its top."""
    try:
        statements = ast.parse(code).body
    except SyntaxError:
        return False
    for statement in statements:
        if isinstance(statement, ast.FunctionDef) and statement.name == name:
            return True
        if isinstance(statement, ast.Assign) and any(getattr(target, "id", "") == name for target in statement.targets):
            return True
    return False


def _completed(prompt: str, body: str) -> Any:
    """The code of a prompt with a body: indented, indented from its second line on, or not indented."""
    bodies = body, f"    {body}", indent(dedent(body), "    ")
    first: SyntaxError | None = None
    for one in bodies:
        try:
            return compile(f"{prompt}\n{one}\n", "<answer>", "exec")
        except SyntaxError as error:
            first = first or error
    ast.parse(dedent(body), "<answer>")  # if this fails too, its error says where in the answer
    assert first is not None
    raise first


def _described(error: BaseException) -> str:
    """Type and message of an error on one line; the message may come from hostile code."""
    said = " ".join(str(error).split())
    return (f"{type(error).__name__}: {said}" if said else type(error).__name__)[:_LONGEST]


if __name__ == "__main__":
    main()
