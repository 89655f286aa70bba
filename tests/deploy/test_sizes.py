"""Model sizes read from safetensors headers, and GPU sizes from nvidia-smi."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.checkpoints import QWEN_1_5B, QWEN_7B, QWEN_PRM, qwen_shapes, write_checkpoint
from specs.deploy.memory_plan import GB, Gpu
from specs.deploy.sizes import parse_gpus, read_model
from specs.engines.folders import BUNDLED
from specs.errors import InputError, ModelError
from specs.types import Role


def test_published_sizes(tmp_path):
    """Parameters as on the model cards (1.54 and 7.62 billion) at two bytes each; KV bytes a token by hand."""
    small = write_checkpoint(tmp_path / "small", QWEN_1_5B, qwen_shapes(QWEN_1_5B))
    large = write_checkpoint(tmp_path / "large", QWEN_7B, qwen_shapes(QWEN_7B), files=4)
    draft, target = read_model(small, Role.DRAFT), read_model(large, Role.TARGET)
    assert draft.weights == 2 * 1_543_714_304
    assert target.weights == 2 * 7_615_616_512
    assert draft.kv_per_token() == 28_672
    assert target.kv_per_token() == 57_344
    assert (target.heads, target.context, target.vocabulary) == (28, 32_768, 152_064)
    assert not target.windowed


def test_bundled_weights_have_the_size_of_their_files(tmp_path):
    for role in Role:
        model = read_model("bundled", role)
        file = BUNDLED / role / "model.safetensors"
        assert 0 < file.stat().st_size - model.weights < 20_000  # the header of the file
        assert model == read_model(str(BUNDLED / role), role) or model.name == "bundled"


def test_weights_have_the_size_that_they_have_in_vllm(tmp_path):
    """float32 counts 16 bits, quantised weights as stored; a tied output matrix and a PRM's unused one do not count."""
    shapes = {"model.a.weight": (1000, 10), "lm_head.weight": (1000, 10)}

    def weights(name, config, kind="BF16", role=Role.TARGET):
        return read_model(write_checkpoint(tmp_path / name, config, shapes, kind), role).weights

    assert weights("plain", QWEN_7B) == 40_000
    assert weights("wide", QWEN_7B, "F32") == 40_000
    assert weights("tied", QWEN_1_5B) == 20_000
    assert weights("prm", QWEN_PRM, role=Role.PRM) == 20_000
    packed = QWEN_7B | {"quantization_config": {"quant_method": "gptq"}}
    assert weights("packed", packed, "I32") == 80_000
    assert weights("scaled", packed, "F32") == 80_000
    assert weights("fp8", packed, "F8_E4M3") == 20_000


def test_sliding_windows_give_an_upper_bound(tmp_path):
    def windowed(name, **more):
        return read_model(write_checkpoint(tmp_path / name, QWEN_7B | more, {}), Role.TARGET).windowed

    assert windowed("mistral", use_sliding_window=True)
    assert windowed("gemma", layer_types=["sliding_attention", "full_attention"])
    assert not windowed("qwen", layer_types=["full_attention"] * 28)


BAD = {
    "hybrid": ({"layer_types": ["linear_attention", "full_attention"], "model_type": "qwen3_next"}, "recurrent"),
    "mamba": ({"state_size": 16, "model_type": "mamba"}, "(mamba) has recurrent layers"),
    "MLA": ({"kv_lora_rank": 512, "model_type": "deepseek_v3"}, "(deepseek_v3) compresses its KV (MLA)"),
    "reward model": ({"architectures": ["Qwen2ForProcessRewardModel"]}, "give a causal language model"),
    "no architecture": ({"architectures": None}, "is no architecture; give a causal language model"),
    "nested": ({"num_hidden_layers": None}, "its config.json does not say num_hidden_layers"),
}


@pytest.mark.parametrize("case", BAD)
def test_models_that_cannot_be_planned_are_refused_by_name(case, tmp_path):
    changes, message = BAD[case]
    config = {key: value for key, value in (QWEN_7B | changes).items() if value is not None}
    name = write_checkpoint(tmp_path / "model", config, {})
    with pytest.raises(ModelError) as refusal:
        read_model(name, Role.TARGET)
    assert message in str(refusal.value)
    assert f"target {name}" in str(refusal.value)


def test_broken_folders_are_refused_by_name(tmp_path):
    name = write_checkpoint(tmp_path / "model", QWEN_7B, {})
    weights = tmp_path / "model/model.safetensors"
    for text, message in ((b"short", "not a safetensors file"), (b"\xff" * 30, "not a safetensors file")):
        weights.write_bytes(text)
        with pytest.raises(ModelError, match=message):
            read_model(name, Role.TARGET)
    weights.unlink()
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        read_model(name, Role.TARGET)
    (tmp_path / "model/config.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        read_model(name, Role.TARGET)


def test_hub_models_are_read_from_the_local_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--someone--small"
    write_checkpoint(cached / "snapshots/abc", QWEN_1_5B, qwen_shapes(QWEN_1_5B), files=2)
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text("abc")
    assert read_model("someone/small", Role.DRAFT).weights == 2 * 1_543_714_304
    (cached / "snapshots/abc/model-1.safetensors").unlink()  # only part of the model is cached
    with pytest.raises(ModelError, match="draft someone/small: neither a folder nor reachable on the hub"):
        read_model("someone/small", Role.DRAFT)


def test_names_of_no_model_are_refused():
    for name, message in (
        ("model.gguf", "a GGUF file runs in process"),
        ("./nowhere", "no such model folder"),
        ("http://127.0.0.1:8000", "no such model folder"),
        ("no spaces/in ids", "neither a folder nor reachable on the hub"),
    ):
        with pytest.raises(ModelError, match=message):
            read_model(name, Role.DRAFT)


class _Hub(SimpleHTTPRequestHandler):
    """Files as on the hub: /OWNER/NAME/resolve/main/FILE, in ranges, with a commit and an etag."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.partition("?")[0].replace("/resolve/main/", "/"))

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = path.read_bytes()
        first, last = 0, len(body) - 1
        if asked := self.headers.get("Range"):
            first, last = (int(part) for part in asked.removeprefix("bytes=").split("-"))
            last = min(last, len(body) - 1)
        self.send_response(206 if asked else 200)
        for name, value in {
            "X-Repo-Commit": "0" * 40,
            "ETag": f'"{path.parent.name}-{path.name}"',
            "Content-Length": str(last - first + 1),
            "Content-Range": f"bytes {first}-{last}/{len(body)}",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[first : last + 1])

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


def test_only_headers_are_fetched_of_models_on_the_hub(tmp_path):
    """The real client, and a server with the hub's protocol that does not even have the weights."""
    write_checkpoint(tmp_path / "hub/someone/small", QWEN_1_5B, qwen_shapes(QWEN_1_5B), files=2)
    write_checkpoint(tmp_path / "hub/someone/bare", QWEN_1_5B, {})
    (tmp_path / "hub/someone/bare/model.safetensors").unlink()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, directory=str(tmp_path / "hub"))) as hub:
        Thread(target=hub.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{hub.server_address[1]}"
        environment = os.environ | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-m", "specs", "launch", "--dry-run", "--gpus", "80", "--json"]

        def planned(draft):
            words = [*command, "--draft", draft, "--target", str(BUNDLED / "target"), "--prm", str(BUNDLED / "prm")]
            return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)

        found, bare = planned("someone/small"), planned("someone/bare")
        hub.shutdown()
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["servers"][0]["weights_bytes"] == 2 * 1_543_714_304
    assert bare.returncode == 2
    assert bare.stderr.startswith("specs: draft someone/bare has no safetensors weights on the hub")


def nvidia_smi(folder, text):
    folder.mkdir()
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\n")
    script.chmod(0o755)


def test_gpus_are_read_from_nvidia_smi_except_hidden_ones(tmp_path, monkeypatch):
    """The output of `nvidia-smi --query-gpu=index,uuid,memory.total --format=csv,noheader,nounits`."""
    nvidia_smi(tmp_path / "bin", "0, GPU-aa, 81559\n1, GPU-bb, 81559\n2, GPU-cc, 24564\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert parse_gpus("auto") == [Gpu("0", 81559 << 20), Gpu("1", 81559 << 20), Gpu("2", 24564 << 20)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-cc,1")
    assert [gpu.name for gpu in parse_gpus("auto")] == ["1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match="CUDA_VISIBLE_DEVICES hides all GPUs"):
        parse_gpus("auto")


def test_without_gpus_their_sizes_must_be_given(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="reports no GPU"):
        parse_gpus("auto")
    assert parse_gpus("80,23.5") == [Gpu("0", 80 * GB), Gpu("1", 23_500_000_000)]
    for text in ("", "80,", "0", "none", "-3", "nan", "1e9"):
        with pytest.raises(InputError, match="is not the size of a GPU"):
            parse_gpus(text)
