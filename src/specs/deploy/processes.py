"""Runs servers as child processes: starts them in order, waits until they answer, and ends all when one ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from specs.deploy.commands import Command
from specs.errors import EngineError, InputError
from specs.types import Role

POLL_S = 0.5
"""Seconds between two checks of the servers."""
REPORT_S = 30.0
"""Seconds between two reports of which servers are not up yet."""
GRACE_S = 20.0
"""Seconds that a server has to end before it is killed."""
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end the servers."""
Report = Callable[[str], None]


class ServerProcesses:
    """The processes of some server commands; leaving the context ends them.

    Each server leads its own process group. So Ctrl-C reaches only this process, which then ends the servers in
    order, and child processes that a server leaves behind are found.
    """

    def __init__(self, commands: Sequence[Command], logs: Path, report: Report) -> None:
        """Raise InputError if a port is in use, vLLM is not installed, or the log folder cannot be created."""
        if shutil.which("vllm") is None:
            raise InputError("the command vllm was not found; pip install vllm, or put its environment's bin on PATH")
        import httpx2

        for command in commands:
            _check_free(command)
        try:
            logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot create the folder {logs} for logs ({error.strerror}); give another") from None
        self._commands = commands
        self._logs = logs
        self._report = report
        self._processes: dict[Role, subprocess.Popen[bytes]] = {}
        self._http = httpx2.Client(timeout=5.0, trust_env=False)  # no proxy for local addresses

    def start(self, wait_s: float, environment: Mapping[str, str]) -> None:
        """Start each server once the servers in its `Command.after` answer; return when all answer.

        Raises:
            EngineError: a server ended, or not all answered within `wait_s` seconds.
        """
        began = reported = time.monotonic()
        up: list[Role] = []
        while len(up) < len(self._commands):
            for command in self._commands:
                if command.role not in self._processes and set(command.after) <= set(up):
                    self._start(command, environment)
            self._check_alive()
            for command in self._commands:
                if command.role in self._processes and command.role not in up and self._is_healthy(command):
                    up.append(command.role)
                    self._report(f"{command.role} answers after {time.monotonic() - began:.0f} s")
            waiting = ", ".join(command.role for command in self._commands if command.role not in up)
            now = time.monotonic()
            if waiting and now - began > wait_s:
                raise EngineError(f"no answer from {waiting} after {wait_s:g} s; wait longer, or see {self._logs}")
            if waiting and now - reported > REPORT_S:
                self._report(f"waiting for {waiting} ({now - began:.0f} s)")
                reported = now
            time.sleep(POLL_S)

    def watch(self) -> None:
        """Block until a server ends, then raise EngineError."""
        while True:
            self._check_alive()
            time.sleep(POLL_S)

    def _start(self, command: Command, environment: Mapping[str, str]) -> None:
        log = self._log(command.role)
        self._report(f"{command.role} starts at {command.url}, log in {log}")
        with log.open("wb") as output:
            self._processes[command.role] = subprocess.Popen(
                command.words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(command.environment) | dict(environment),
                process_group=0,
            )

    def _check_alive(self) -> None:
        for role, process in self._processes.items():
            if process.poll() is not None:
                log = self._log(role)
                for line in log.read_text(errors="replace").splitlines()[-20:]:
                    self._report(f"{role}: {line}")
                raise EngineError(f"the {role} server ended ({process.returncode}); the end of its log {log} is above")

    def _is_healthy(self, command: Command) -> bool:
        import httpx2

        try:
            return self._http.get(f"{command.url}/health").is_success
        except httpx2.HTTPError:
            return False

    def _log(self, role: Role) -> Path:
        return self._logs / f"{role}.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        before = [
            signal.signal(signal_number, signal.SIG_IGN) for signal_number in SIGNALS
        ]  # nothing may interrupt the cleanup
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + GRACE_S
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            with suppress(ProcessLookupError):  # the group outlives its leader if child processes remain
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._http.close()
        for signal_number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(signal_number, handler)


def _check_free(command: Command) -> None:
    """Raise InputError if the port is in use, since another process there would be mistaken for the server."""
    try:
        with socket.create_server((command.host, command.port)):
            pass
    except OSError as error:
        raise InputError(
            f"{command.role} cannot listen at {command.host}:{command.port} ({error.strerror}); give another port "
            "(three in a row are needed) or host"
        ) from None
