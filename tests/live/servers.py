"""Real servers for tests: `vllm serve` with the bundled models, as child processes of the test run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from specs.engines.folders import BUNDLED

ROOT = Path(__file__).parents[2]
VLLM = ROOT / os.environ.get("SPECS_VLLM_ENV", ".venv-vllm") / "bin/vllm"
START_S = 600.0

# small: a server takes about 1 GB, most of it code
FLAGS = (
    "--dtype=float32 --max-model-len=4096 --max-num-seqs=16 --block-size=32 --kv-cache-memory-bytes=128M "
    "--enforce-eager --distributed-executor-backend=uni --enable-prompt-tokens-details --enable-scale-out"
).split()
PROCESSED = "--logprobs-mode=processed_logprobs"  # log-probabilities under temperature and top-p
PRM_FLAGS = ["--runner=pooling", '--pooler-config={"task": "classify"}']  # the reward is read at the last token
ENVIRONMENT = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # on a CPU: the engine computes in the server's process
    "VLLM_NO_USAGE_STATS": "1",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": str(ROOT / "src"),  # this checkout's plugins, whichever version is installed
}
V2 = {  # model runner V2, with Triton's kernels interpreted because there is no GPU
    "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests/live/v2'}",
    "TRITON_INTERPRET": "1",
}


@contextmanager
def serving_trio(logs: Path, **environment: dict[str, str]) -> Iterator[dict[str, Server]]:
    """Serve the bundled trio, one server for each role; `environment` sets variables by role."""
    with ExitStack() as running:
        trio = {}
        for role in ("draft", "target", "prm"):
            flags = [] if role == "prm" else [PROCESSED]
            trio[role] = Server(role, logs / f"{role}.log", *flags, **environment.get(role, {}))
            running.callback(trio[role].stop)
        yield {role: server.wait() for role, server in trio.items()}


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and body of an answer; the body is parsed if it is JSON."""

    status: int
    body: Any


class Server:
    """One `vllm serve` on a free port of this machine, which logs to `log`.

    Its processes form one group. It ends when this process has ended, however that happened.

    Args:
        model: a role of the bundled models, or a folder; the name it is served under is the last part of either.
    """

    def __init__(self, model: str, log: Path, *flags: str, **environment: str) -> None:
        folder = BUNDLED / model
        self.name = folder.name
        self.log = log
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        command = [str(VLLM), "serve", str(folder), f"--served-model-name={self.name}", *FLAGS]
        command += [f"--{part}={value}" for part, value in zip(("host", "port"), self.url[7:].split(":"), strict=True)]
        if (setpriv := shutil.which("setpriv")) is not None:
            command = [setpriv, "--pdeathsig=TERM", *command]
        self._command = [*command, *(PRM_FLAGS if model == "prm" else []), *flags]
        self._environment = os.environ | ENVIRONMENT | environment
        self.start()

    def start(self) -> None:
        """Start it, or start it again at the same address after it has ended."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                process_group=0,
            )

    def wait(self, seconds: float = START_S) -> Server:
        """Wait until it answers; raises RuntimeError with the end of its log if it does not."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.healthy():
                return self
            time.sleep(0.2)
        self.kill()
        raise RuntimeError(f"the {self.name} server did not start:\n{self.log.read_text(errors='replace')[-4000:]}")

    def healthy(self) -> bool:
        try:
            return self.get("/health", timeout=5).status == 200
        except (URLError, OSError):
            return False

    def get(self, path: str, timeout: float = 60) -> Reply:
        return _send(Request(self.url + path), timeout)

    def post(self, path: str, body: dict[str, Any] | bytes, timeout: float = 60) -> Reply:
        """Send an object as JSON, or raw bytes labelled as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return _send(Request(self.url + path, data, {"Content-Type": "application/json"}), timeout)

    def metrics(self) -> Counter[str]:
        """Metrics by name without `vllm:`, such as `prefix_cache_hits_total`, summed over labels."""
        totals: Counter[str] = Counter()
        for name, value in re.findall(r"^vllm:(\w+)(?:\{.*\})? (\S+)$", self.get("/metrics").body, re.MULTILINE):
            totals[name] += float(value)
        return totals

    def terminate(self) -> None:
        """SIGTERM, as a supervisor stops a server."""
        self.process.terminate()

    def kill(self) -> None:
        """SIGKILL to all its processes at once; does nothing if they are gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL if it has not ended within 20 seconds."""
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.kill()


def _send(request: Request, timeout: float) -> Reply:
    try:
        with urlopen(request, timeout=timeout) as response:
            status, text = response.status, response.read().decode()
    except HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    try:
        return Reply(status, json.loads(text))
    except ValueError:
        return Reply(status, text)
