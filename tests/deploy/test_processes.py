"""`specs launch --start` starts and ends servers, which here are processes of a stand-in for the command `vllm`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from specs.cli import main
from specs.deploy import processes as running

pytestmark = pytest.mark.slow

FAKE = Path(__file__).parent / "vllm.py"


def free_ports():
    """The first of three consecutive ports that are free."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        try:
            for more in (1, 2):
                socket.create_server(("127.0.0.1", port + more)).close()
        except (OSError, OverflowError):
            continue
        return port


@pytest.fixture
def launch(tmp_path):
    """`launch(*options, **environment)`: `specs launch --start` as a process, which ends with the test."""
    binary = tmp_path / "bin/vllm"
    binary.parent.mkdir()
    binary.symlink_to(FAKE)
    started = []

    def of(*options, **environment):
        port = free_ports()
        command = [sys.executable, "-m", "specs", "launch", "--start", "--port", str(port)]
        process = subprocess.Popen(
            [*command, "--logs", str(tmp_path / "logs"), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PATH": f"{binary.parent}:{os.environ['PATH']}", "FAKE_VLLM_PIDS": str(tmp_path / "pids")}
            | {name: value.format(draft=port, target=port + 1, prm=port + 2) for name, value in environment.items()},
            # A shell starts background jobs with SIGINT ignored.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield of
    for process in started:
        process.kill()
        process.communicate()
    for pid in pids(tmp_path):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def pids(folder):
    """Process ids of all servers and of their children."""
    return [int(pid) for pid in (folder / "pids").read_text().split()] if (folder / "pids").exists() else []


def alive(pid):
    """Whether the process runs, zombies excluded."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(found):
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in found) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(alive(pid) for pid in found)


@pytest.mark.parametrize(
    "ending", [signal.SIGINT, *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGTERM, signal.SIGHUP))]
)
def test_a_signal_ends_all_servers_and_their_children(ending, launch, tmp_path):
    process = launch("--gpus", "80")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("specs solve --example --draft http://127.0.0.1:")
    assert line.endswith(" --temperature 1\n")  # the stand-in has no plugin
    found = pids(tmp_path)
    assert len(found) == 6
    assert all(alive(pid) for pid in found)
    process.send_signal(ending)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.splitlines()[-1] == "all servers have ended"
    assert "The target scores at temperature 1" in said
    assert "Traceback" not in said
    assert gone(found)


def test_servers_of_one_gpu_start_one_after_another(launch, tmp_path):
    """vLLM measures the free memory of its GPU when it starts."""
    process = launch("--gpus", "80")
    assert process.stdout is not None
    process.stdout.readline()
    logs = [(tmp_path / f"logs/{role}.log").read_text() for role in ("draft", "target", "prm")]
    draft, target, prm = (
        [float(re.search(rf"{what} at (\S+)", log)[1]) for what in ("started", "answers")] for log in logs
    )
    assert draft[1] < target[0]
    assert target[1] < prm[0]


def test_servers_on_gpus_of_their_own_do_not_wait_for_each_other(launch):
    process = launch("--gpus", "80,80,80", FAKE_VLLM="never:{draft}")
    assert process.stderr is not None
    answered = set()
    while len(answered) < 2:
        answered |= set(re.findall(r"^(\w+) answers", process.stderr.readline()))
    assert answered == {"target", "prm"}


def test_when_a_server_dies_the_others_end_and_its_log_is_shown(launch, tmp_path):
    process = launch("--cpu", FAKE_VLLM="die:{target}")
    out, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert "target: CUDA out of memory" in said
    assert said.splitlines()[-1].startswith("specs: the target server ended (1); the end of its log ")
    assert gone(pids(tmp_path))


def test_a_server_that_dies_later_ends_the_others_too(launch, tmp_path):
    process = launch("--cpu")
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(pids(tmp_path)[0], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "server ended (-9)" in said
    assert gone(pids(tmp_path))


@pytest.mark.slow
def test_after_the_waiting_time_all_servers_end(launch, tmp_path):
    process = launch("--cpu", "--wait", "3", FAKE_VLLM="never:{prm}")
    out, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert "specs: no answer from prm after 3 s; wait longer, or see " in said
    assert gone(pids(tmp_path))


def test_ctrl_c_during_the_start_ends_all_servers(launch, tmp_path):
    process = launch("--cpu", FAKE_VLLM="never:{draft}")
    deadline = time.monotonic() + 30
    while len(pids(tmp_path)) < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1] == "specs: interrupted"
    assert gone(pids(tmp_path))


@pytest.mark.slow
def test_a_server_that_ignores_sigterm_is_killed(launch, tmp_path):
    process = launch("--cpu", FAKE_VLLM="stubborn")
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    process.communicate(timeout=running.GRACE_S + 30)
    assert process.returncode == 0
    assert gone(pids(tmp_path))


def test_servers_get_the_api_key_through_the_environment_only(launch, tmp_path):
    process = launch("--cpu", SPECS_API_KEY="hunter2")
    assert process.stdout is not None
    assert "hunter2" not in process.stdout.readline()
    arguments = [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids(tmp_path)]
    process.terminate()
    process.communicate(timeout=30)
    assert "hunter2" not in "".join(arguments)
    assert "key hunter2" in (tmp_path / "logs/prm.log").read_text()


def test_bad_input_is_one_line_before_anything_starts(tmp_path, capsys, monkeypatch):
    binary = tmp_path / "bin/vllm"
    binary.parent.mkdir()
    monkeypatch.setenv("PATH", str(binary.parent))
    port = free_ports()
    start = ["launch", "--start", "--cpu", "--port", str(port), "--logs"]
    assert main([*start, str(tmp_path / "logs")]) == 2
    assert "the command vllm was not found" in capsys.readouterr().err
    binary.symlink_to(FAKE)
    (tmp_path / "file").write_text("")
    assert main([*start, str(tmp_path / "file/logs")]) == 2
    assert "cannot create the folder" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", port + 1)):
        assert main([*start, str(tmp_path / "logs")]) == 2
        assert f"target cannot listen at 127.0.0.1:{port + 1}" in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()
