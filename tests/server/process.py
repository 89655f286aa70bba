"""`specs serve` as a process, for tests of sockets, signals, memory and files."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[2]
WAIT_S = 120.0
"""Longest wait for what has to happen; nothing is asserted about how much sooner it does."""
RUN = ["-m", "specs"]


class ServerProcess:
    """A server on a free port of this machine; its working folder is also its home and holds its temporary files.

    It ends when this process has ended, however that happened.

    Args:
        folder: an empty folder; the log is written beside it.
        flags: flags of `specs serve`.
        run: what Python runs, a module or script.
    """

    def __init__(self, folder: Path, *flags: str, run: list[str] = RUN) -> None:
        self.folder, self.log = folder, folder.with_name(f"{folder.name}.log")
        (folder / "tmp").mkdir(parents=True)
        command = [sys.executable, *run, "serve", "--port=0", *flags]
        if (setpriv := shutil.which("setpriv")) is not None:
            command = [setpriv, "--pdeathsig=KILL", *command]
        places = {"HOME": str(folder), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=os.environ | places | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            )
        try:
            self.until(lambda: any(line["event"] == "started" for line in self.lines()))
        except BaseException:
            self.kill()
            raise
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.log.read_text())
        assert found
        self.port = int(found[1])
        self.url = found[0]

    def until(self, holds: Any, seconds: float = WAIT_S) -> None:
        """Wait until `holds()` is true; fails if the server ends before."""
        end = time.monotonic() + seconds
        while not holds():
            said = f"\n{self.log.read_text(errors='replace')[-4000:]}"
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}{said}"
            assert time.monotonic() < end, f"not within {seconds:g} s{said}"
            time.sleep(0.02)

    def lines(self) -> list[dict[str, Any]]:
        """Lines of the log as JSON objects, except the one that states the server's address."""
        text = self.log.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1].splitlines()
        return [json.loads(line) for line in whole if not line.startswith("specs: http")]

    def connect(self, narrow: bool = False) -> socket.socket:
        """A raw connection; with `narrow` its buffers are small, so the server must wait until the client reads."""
        raw = socket.socket()
        if narrow:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        raw.settimeout(WAIT_S)
        try:
            raw.connect(("127.0.0.1", self.port))
        except OSError:
            raw.close()
            raise
        return raw

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=WAIT_S)

    def metric(self, name: str, **labels: str) -> float:
        """A metric's value, summed over all labels that are not given."""
        with self.client() as client:
            text = client.get("/metrics").text
        total = 0.0
        for found, of, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
            if found == name and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', of)).items():
                total += float(value)
        return total

    def memory_kb(self) -> int:
        """Resident memory, in kB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found
        return int(found[1])

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM; fails if the server does not exit with 0."""
        self.signal(signal.SIGTERM)
        try:
            assert self.process.wait(WAIT_S) == 0, self.log.read_text(errors="replace")[-4000:]
        finally:
            self.kill()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def chat_body(question: str, **more: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": "specs", "messages": [{"role": "user", "content": question}], "seed": 1, **more}


def post_bytes(path: str, body: dict[str, Any]) -> bytes:
    """A whole POST request as bytes."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return head.encode() + f"Content-Length: {len(data)}\r\n\r\n".encode() + data


def read_all(raw: socket.socket) -> bytes:
    """All bytes until the other side closes."""
    parts = []
    while part := raw.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)
