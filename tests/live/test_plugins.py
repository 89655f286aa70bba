"""The plugin class for Qwen2.5-Math-PRM equals the torch engine, on random weights."""

import json

import numpy as np
import pytest

from helpers.rows import outputs_of
from helpers.tiny import write_tokenizer
from live.servers import PRM_FLAGS, V2
from specs.engines.local.torch.loading import load_hf

LAST_STEP = '--hf-overrides={"architectures": ["Qwen2ForLastStepReward"]}'


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    """A tiny checkpoint as published: tensors of a causal model and of the reward head under their original names."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    safetensors = pytest.importorskip("safetensors.torch")
    folder = tmp_path_factory.mktemp("models") / "qwen"
    vocabulary = write_tokenizer(folder)
    torch.manual_seed(0)
    sizes = dict(hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    config = transformers.Qwen2Config(
        vocab_size=vocabulary, num_key_value_heads=1, max_position_embeddings=4096, initializer_range=0.3, **sizes
    )
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder)
    tensors = safetensors.load_file(folder / "model.safetensors")
    for layer, width in (("0", 64), ("2", 2)):
        tensors[f"score.{layer}.weight"] = torch.randn(width, 64) / 8
        tensors[f"score.{layer}.bias"] = torch.randn(width)
    safetensors.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(written | {"architectures": ["Qwen2ForProcessRewardModel"]}))
    return folder


@pytest.mark.parametrize("runner", [{}, V2], ids=["v1", "v2"])
def test_last_step_rewards_are_the_torch_engines_and_read_the_cache(qwen, start, runner):
    server = start(str(qwen), *PRM_FLAGS, LAST_STEP, **runner)
    backend = load_hf(str(qwen), "prm", device="cpu")
    ids = np.random.default_rng(0).integers(6, 60, 200)
    lengths = [40, 96, 97, 200]
    outputs = outputs_of(backend, backend.cache(), ids, np.arange(len(ids)), None, np.array(lengths) - 1)
    want = 1 / (1 + np.exp(outputs[:, 0] - outputs[:, 1]))
    assert np.diff(np.sort(want)).min() > 1e-3  # reading a wrong row would be noticed
    before = server.metrics()
    for length, reward in zip(lengths, want, strict=True):
        reply = server.post("/classify", {"model": "qwen", "input": [ids[:length].tolist()]})
        assert reply.body["data"][0]["probs"][1] == pytest.approx(reward, abs=1e-4)
    spent = server.metrics() - before
    assert spent["prefix_cache_hits_total"] == 0 + 32 + 96 + 96
