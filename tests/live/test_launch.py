"""`specs launch --start` with a real vLLM: the bundled trio starts, solves a question, and ends after SIGTERM."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from live.servers import ENVIRONMENT, START_S, VLLM


def groups():
    """Living processes, by process group."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found.setdefault(int(group), []).append(int(stat.parent.name))
    return found


def test_the_trio_is_started_solves_and_is_ended(vllm, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "specs", "launch", "--start", "--cpu", "--plugins", "--port", str(port)]
    environment = os.environ | ENVIRONMENT | {"PATH": f"{VLLM.parent}:{os.environ['PATH']}"}
    launch = subprocess.Popen(
        [*command, "--logs", str(tmp_path / "logs"), "--wait", str(START_S)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert launch.stdout is not None
        line = launch.stdout.readline()
        assert line, launch.communicate()[1]
        servers = Path(f"/proc/{launch.pid}/task/{launch.pid}/children").read_text().split()
        assert len(servers) == 3
        for at in range(3):
            with urlopen(f"http://127.0.0.1:{port + at}/health", timeout=30) as answer:
                assert answer.status == 200
        solve = [sys.executable, "-m", *shlex.split(line), "--seed", "1", "--json"]
        solved = subprocess.run(solve, capture_output=True, text=True, env=environment, timeout=300)
        assert solved.returncode == 0, solved.stderr
        result = json.loads(solved.stdout)
        assert result["finish_reason"] == "answer"
        assert not result["raw_scoring"]
    finally:
        launch.send_signal(signal.SIGTERM)
        _, said = launch.communicate(timeout=60)
    assert launch.returncode == 0
    assert said.splitlines()[-1] == "all servers have ended"
    assert "temperature 1" not in said
    assert not groups().keys() & {int(server) for server in servers}
