"""Servers as child processes: started in order, waited for, watched, and all ended when one ends."""

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
"""How often servers are looked at."""
REPORT_S = 30.0
"""How often is said what is waited for."""
GRACE_S = 20.0
"""Time to end, before a server is killed."""
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""What ends the servers."""
Say = Callable[[str], None]


class Servers:
    """The servers of some commands; leaving the context ends them.

    Each is the leader of a process group, so that Ctrl-C reaches this process alone, which then ends them
    in order, and so that what a server leaves behind is found.
    """

    def __init__(self, commands: Sequence[Command], logs: Path, say: Say) -> None:
        """Raises InputError if a port is taken, vLLM is not there, or there can be no logs."""
        if shutil.which("vllm") is None:
            raise InputError("no command vllm here; pip install vllm, or put the bin of its environment on PATH")
        import httpx2

        for command in commands:
            _check_free(command)
        try:
            logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--logs {logs} is no folder and cannot be made: {error.strerror}") from None
        self._commands = commands
        self._logs = logs
        self._say = say
        self._processes: dict[Role, subprocess.Popen[bytes]] = {}
        self._http = httpx2.Client(timeout=5.0, trust_env=False)  # no proxy between this machine and itself

    def start(self, wait_s: float, environment: Mapping[str, str]) -> None:
        """Start each once those it waits for answer; returns when all do.

        Raises:
            EngineError: one ended, or not all answered within `wait_s` seconds.
        """
        began = said = time.monotonic()
        up: list[Role] = []
        while len(up) < len(self._commands):
            for command in self._commands:
                if command.role not in self._processes and set(command.after) <= set(up):
                    self._start(command, environment)
            self._check_alive()
            for command in self._commands:
                if command.role in self._processes and command.role not in up and self._answers(command):
                    up.append(command.role)
                    self._say(f"{command.role} answers after {time.monotonic() - began:.0f} s")
            waiting = ", ".join(command.role for command in self._commands if command.role not in up)
            now = time.monotonic()
            if waiting and now - began > wait_s:
                raise EngineError(f"no answer from {waiting} after {wait_s:g} s; raise --wait, or see {self._logs}")
            if waiting and now - said > REPORT_S:
                self._say(f"waiting for {waiting} ({now - began:.0f} s)")
                said = now
            time.sleep(POLL_S)

    def watch(self) -> None:
        """Stay until a server ends, which is an EngineError."""
        while True:
            self._check_alive()
            time.sleep(POLL_S)

    def _start(self, command: Command, environment: Mapping[str, str]) -> None:
        log = self._log(command.role)
        self._say(f"{command.role} starts at {command.url}, log in {log}")
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
                    self._say(f"{role}: {line}")
                raise EngineError(f"the {role} server ended ({process.returncode}); the end of its log {log} is above")

    def _answers(self, command: Command) -> bool:
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
        before = [signal.signal(one, signal.SIG_IGN) for one in SIGNALS]  # ending is not to be broken off
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + GRACE_S
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            with suppress(ProcessLookupError):  # the group outlives its leader if that left something behind
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._http.close()
        for one, handler in zip(SIGNALS, before, strict=True):
            signal.signal(one, handler)


def _check_free(command: Command) -> None:
    """Something else at a port would be taken for the server."""
    try:
        with socket.create_server((command.host, command.port)):
            pass
    except OSError as error:
        raise InputError(
            f"{command.role} cannot listen at {command.host}:{command.port} ({error.strerror}); give another --port "
            "(three in a row are needed) or --host"
        ) from None
