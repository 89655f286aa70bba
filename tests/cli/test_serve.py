"""`specs serve` reports errors in its configuration before a model loads, answers requests, and stops cleanly."""

import re
import signal
import socket
import sys

import numpy as np
import pytest

from helpers import tiny
from server.process import ServerProcess, chat_body
from specs.cli import main
from specs.config.presets import Preset
from specs.engines.folders import BUNDLED
from specs.errors import install_command

LAW = {"temperature": 0.7, "top_p": 1.0, "max_step_tokens": 64}


def words_of(tmp_path):
    (tmp_path / "empty").write_text("# nobody\n")
    Preset("beam", {"n": 8}, LAW, {}).write(tmp_path / "beam.json")
    Preset("specs", {"n": 8}, LAW, {}).write(tmp_path / "mine.json")
    return {
        "--port 70000": "is not a port",
        "--port x": "is not a port",
        "--queue -1": "expected one argument|whole number",
        "--concurrency 0": "at least 1",
        "--rate 0": "above 0",
        "--temperature -1": "at least 0",
        "--host nowhere.invalid": "cannot listen on nowhere.invalid",
        f"--api-key-file {tmp_path}/none": "none cannot be read",
        f"--api-key-file {tmp_path}/empty": "holds no key",
        f"--preset {tmp_path}/none.json": "none.json cannot be read",
        f"--preset {tmp_path}/beam.json --port 0": "conflicts with model 'beam'",
        f"--preset {tmp_path}/mine.json --draft bundled --port 0": "needs a prm model",
        "--max-n 4 --port 0": "--max-n 4 is less than specs needs",
        "--prm bundled --port 0": "no method can be served",
    }


def test_errors_in_the_configuration_are_reported_in_one_line(tmp_path, capsys):
    for words, said in words_of(tmp_path).items():
        assert main(["serve", *words.split()]) == 2, words
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert re.search(said, err), (words, err)


def test_a_port_in_use_is_refused(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1 port {port} (Address already in use)" in capsys.readouterr().err


def test_without_the_extra_the_error_names_it(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("specs.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve"]) == 2
    assert f"needs fastapi: {install_command('serve')}" in capsys.readouterr().err


def test_it_starts_with_a_failing_draft_and_logs_that(tmp_path):
    """The draft's logits are NaN: methods with a draft answer 502, those without it answer as usual."""
    folder = tiny.changed(
        BUNDLED / "draft", tmp_path / "draft", lambda tensors: tensors["model.norm.weight"].fill(np.nan)
    )
    flags = ["--engine=light", f"--draft={folder}", f"--target={BUNDLED / 'target'}", f"--prm={BUNDLED / 'prm'}"]
    with ServerProcess(tmp_path / "home", *flags) as server, server.client() as client:
        said = [line for line in server.lines() if line["event"] == "trial failed"]
        assert [(line["level"], line["error"].startswith(f"{folder}: logits are not finite")) for line in said] == [
            ("warning", True)
        ]
        for model, status in (("specs", 502), ("beam", 200), ("specs", 502)):
            body = chat_body("Tom has 4 nuts.", max_tokens=20) | {"model": model}
            assert client.post("/v1/chat/completions", json=body).status_code == status
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_answers_clients_with_a_key_and_stops_cleanly(number, tmp_path, monkeypatch):
    monkeypatch.setenv("SPECS_SERVER_KEYS", "one,two")
    body = chat_body("Tom has 4 nuts.", max_tokens=20)
    with ServerProcess(tmp_path / "home") as server, server.client() as client:
        assert client.get("/").text.startswith("<!doctype html>")
        assert client.post("/v1/chat/completions", json=body).status_code == 401
        for key in ("one", "two"):
            answer = client.post("/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200
        server.signal(number)
        assert server.process.wait(30) == 0
        events = [line["event"] for line in server.lines()]
    assert [event for event in events if event != "request"] == ["started", "stopping", "stopped"]
