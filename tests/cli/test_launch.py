"""`specs launch`, run as a command."""

import json
import shlex

import pytest

from deploy.checkpoints import QWEN_7B, QWEN_PRM, write_checkpoint
from specs.cli import main
from specs.cli.main import parser
from specs.deploy import sizes
from specs.engines.folders import BUNDLED

WRITER = "--enable-scale-out --enable-prompt-tokens-details --logprobs-mode processed_logprobs"


@pytest.fixture
def printed(capsys, monkeypatch):
    """`printed(*options)`: environment and words of each server's command, the solve command's words, and the notes."""
    monkeypatch.delenv("SPECS_API_KEY", raising=False)

    def of(*options):
        assert main(["launch", *options]) == 0
        text = capsys.readouterr().out
        commands = [shlex.split(line, comments=True) for line in text.splitlines() if not line.startswith("#")]
        *servers, solve = commands
        parted = [next(at for at, word in enumerate(words) if word == "vllm") for words in servers]
        environments = [
            dict(word.split("=", 1) for word in words[:at]) for words, at in zip(servers, parted, strict=True)
        ]
        return environments, [words[at:] for words, at in zip(servers, parted, strict=True)], solve, text

    return of


def value(words, flag):
    return words[words.index(flag) + 1]


def test_each_model_gets_a_command_for_its_gpu(printed):
    environments, servers, solve, text = printed("--gpus", "80,80", "--port", "9000", "--n", "16", "--context", "2048")
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0", "1", "0"]
    for at, (role, words) in enumerate(zip(("draft", "target", "prm"), servers, strict=True)):
        assert words[:3] == ["vllm", "serve", str(BUNDLED / role)]
        assert value(words, "--served-model-name") == role
        assert value(words, "--port") == str(9000 + at)
        assert value(words, "--host") == "127.0.0.1"
        assert value(words, "--max-model-len") == "2048"
        assert 0 < float(value(words, "--gpu-memory-utilization")) < 0.95
        assert "--tensor-parallel-size" not in words
        assert (WRITER in " ".join(words)) == (role != "prm")
        assert value(solve, f"--{role}") == f"http://127.0.0.1:{9000 + at}"
    assert solve[:3] == ["specs", "solve", "--example"]
    assert value(solve, "--n") == "16"
    assert value(solve, "--set") == "max_step_tokens=512"
    assert parser().parse_args(solve[1:]).settings == [("max_step_tokens", 512)]
    assert "# prm, once draft answers" in text
    assert "one server after another" in text
    assert value(solve, "--temperature") == "1"
    assert "scores at temperature 1" in text
    assert "--plugins" in text


def test_a_model_is_served_under_its_own_name_and_not_under_its_path(printed, tmp_path, monkeypatch):
    folder = write_checkpoint(tmp_path / "runs/my-target", QWEN_7B, {})
    config, tensors = QWEN_7B, [("model.weight", "BF16", 1_000_000)]
    monkeypatch.setattr(sizes, "_from_hub", lambda name, role: (config, tensors))
    names = ["--draft", "owner/name", "--target", f"{folder}/", "--prm", "bundled", "--gpus", "80"]
    _, servers, _, _ = printed(*names)
    assert [value(words, "--served-model-name") for words in servers] == ["owner/name", "my-target", "prm"]
    assert [words[2] for words in servers] == ["owner/name", folder, str(BUNDLED / "prm")]


def test_memory_shares_equal_those_of_the_dry_run(printed, capsys):
    _, servers, _, _ = printed("--gpus", "24")
    assert main(["launch", "--dry-run", "--gpus", "24", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["servers"]
    shares = [float(value(words, "--gpu-memory-utilization")) for words in servers]
    assert shares == [server["gpu_memory_utilization"] for server in planned]
    assert sum(shares) < 0.95


def test_a_target_that_needs_several_gpus_is_split(printed, tmp_path):
    large = QWEN_7B | {
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "hidden_size": 8192,
        "num_hidden_layers": 80,
    }
    target = write_checkpoint(tmp_path / "target", large, {"model.weight": (72_700, 1_000_000)})
    names = ["--draft", "bundled", "--target", target, "--prm", "bundled"]
    environments, servers, _, _ = printed(*names, "--gpus", "80,80,80,80")
    assert value(servers[1], "--tensor-parallel-size") == "4"
    assert environments[1]["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"


def test_plugins_change_the_commands_of_servers_that_they_support(printed, tmp_path):
    prm = write_checkpoint(tmp_path / "prm", QWEN_PRM, {})
    names = ["--draft", "bundled", "--target", "bundled", "--prm", prm, "--gpus", "80"]
    _, (*_, prm), _, _ = printed(*names)
    # vLLM's own class for this PRM rewards tokens, not sequences.
    assert json.loads(value(prm, "--pooler-config")) == {"task": "token_classify", "tok_pooling_type": "ALL"}
    _, (*_, prm), solve, text = printed(*names, "--plugins")
    assert json.loads(value(prm, "--pooler-config")) == {"task": "classify"}
    assert json.loads(value(prm, "--hf-overrides")) == {"architectures": ["Qwen2ForLastStepReward"]}
    assert "--temperature" not in solve
    assert "temperature" not in text


def test_classifiers_are_served_for_pooling_and_judges_for_generation(printed, tmp_path):
    _, (_, _, tokens), _, _ = printed("--gpus", "24")
    assert value(tokens, "--runner") == "pooling"
    assert json.loads(value(tokens, "--pooler-config")) == {"task": "classify"}
    written = ["--draft", "bundled", "--target", "bundled", "--prm", write_checkpoint(tmp_path / "lm", QWEN_7B, {})]
    _, (_, _, words), _, _ = printed("--gpus", "80", *written)
    assert "--runner" not in words
    assert "--enable-prompt-tokens-details" in words


def test_gpus_of_different_sizes_are_counted_as_nvidia_smi_does(printed):
    assert {environment.get("CUDA_DEVICE_ORDER") for environment in printed("--gpus", "80,24")[0]} == {"PCI_BUS_ID"}
    assert {environment.get("CUDA_DEVICE_ORDER") for environment in printed("--gpus", "80,80")[0]} == {None}


def test_on_a_cpu_the_memory_for_keys_and_values_is_given_in_bytes(printed):
    """4 solves of 248 blocks of 32 tokens; a token has 2 x 4 layers x 4 heads x 32 numbers of 4 bytes."""
    environments, servers, _, text = printed("--cpu")
    assert value(servers[0], "--kv-cache-memory-bytes") == str(4 * 248 * 32 * 2 * 4 * 4 * 32 * 4)
    for environment, words in zip(environments, servers, strict=True):
        assert "CUDA_VISIBLE_DEVICES" not in environment
        assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
        assert value(words, "--dtype") == "float32"
        assert "--gpu-memory-utilization" not in words
    assert "one server after another" not in text


def test_the_api_key_is_named_and_never_printed(printed, monkeypatch):
    *_, text = printed("--cpu", "--host", "0.0.0.0")
    assert "set SPECS_API_KEY" in text
    assert "http://127.0.0.1:8000" in text
    monkeypatch.setenv("SPECS_API_KEY", "hunter2")
    environments, *_, text = printed("--cpu", "--host", "0.0.0.0")
    assert [environment["VLLM_API_KEY"] for environment in environments] == ["$SPECS_API_KEY"] * 3
    assert "hunter2" not in text
    assert "set SPECS_API_KEY" not in text


BAD = {
    "JSON of what": (["--json"], "--json is for --dry-run"),
    "port": (["--port", "65534"], "'65534' is not a port"),
    "GPUs and none": (["--cpu", "--gpus", "80"], "leave out --gpus, or --cpu"),
    "no room": (["--gpus", "4"], "the models do not fit on 1 GPU of 4 GB"),
    "context": (["--cpu", "--context", "9999"], "reads at most 4096 tokens"),
    "steps": (["--cpu", "--max-step-tokens", "9999"], "leave no room in a context of 4096"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_it(case, capsys):
    options, message = BAD[case]
    assert main(["launch", *options]) == (1 if case == "no room" else 2)
    found = capsys.readouterr()
    assert found.out == ""
    assert message in found.err
    assert found.err.count("\n") == 1


def test_a_reward_model_that_vllm_does_not_serve_is_refused_by_name(tmp_path, capsys):
    name = write_checkpoint(tmp_path / "prm", QWEN_7B | {"architectures": ["Qwen2ForPrmModel"]}, {})
    assert main(["launch", "--draft", "bundled", "--target", "bundled", "--prm", name, "--gpus", "80"]) == 2
    assert f"prm {name} is Qwen2ForPrmModel, which vLLM does not serve" in capsys.readouterr().err
