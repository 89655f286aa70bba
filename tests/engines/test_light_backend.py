"""Laws of the light backend: cached evaluation equals evaluation from scratch and agrees with transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from specs.engines.local.onnx.backend import SPARE_CAPACITY, LightBackend, load_light
from specs.errors import EngineError, ModelError

VOCAB, CONTEXT = 37, 300
SMALL: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": VOCAB,
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
}


def tensors(config: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights, large enough that outputs depend on every cached entry."""
    rng = np.random.default_rng(seed)
    hidden, mlp, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    wide, narrow = config["num_attention_heads"] * head, config["num_key_value_heads"] * head

    def draw(*dims: int) -> np.ndarray:
        return rng.normal(0, 2.5 / np.sqrt(dims[-1]), dims).astype(np.float32)

    found = {"model.embed_tokens.weight": draw(VOCAB, hidden), "model.norm.weight": 1 + draw(hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name, rows, columns in (
            ("self_attn.q_proj", wide, hidden),
            ("self_attn.k_proj", narrow, hidden),
            ("self_attn.v_proj", narrow, hidden),
            ("self_attn.o_proj", hidden, wide),
            ("mlp.gate_proj", mlp, hidden),
            ("mlp.up_proj", mlp, hidden),
            ("mlp.down_proj", hidden, mlp),
        ):
            found[f"{prefix}{name}.weight"] = draw(rows, columns)
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{prefix}{name}.weight"] = 1 + draw(hidden)
    return found


def write(path: Path, config: dict[str, Any] = SMALL, weights: dict[str, np.ndarray] | None = None) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    save_file(tensors(config) if weights is None else weights, path / "model.safetensors")
    return path


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> LightBackend:
    return load_light(write(tmp_path_factory.mktemp("light")))


def whole(backend: LightBackend, ids: np.ndarray) -> np.ndarray:
    """Outputs [len(ids), width] of one causal call on an empty cache."""
    rows = np.arange(len(ids))
    return backend.forward(backend.cache(), ids, rows, None, rows)


def near(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


@dataclass
class RandomTree:
    """A prompt and `nodes` tokens below it, each with an earlier node or the prompt as its random parent."""

    rng: np.random.Generator
    prompt: int
    nodes: int

    def __post_init__(self) -> None:
        size = self.prompt + self.nodes
        self.ids = self.rng.integers(0, VOCAB, size)
        self.sees = np.tri(size, dtype=bool)
        self.paths = [np.arange(entry + 1) for entry in range(self.prompt)]
        for entry in range(self.prompt, size):
            parent = int(self.rng.integers(max(self.prompt - 1, -1), entry))
            above = self.paths[parent] if parent >= 0 else np.arange(0)
            self.paths.append(np.append(above, entry))
            self.sees[entry] = False
            self.sees[entry, self.paths[entry]] = True
        self.positions = np.array([len(path) - 1 for path in self.paths])

    def feed(self, backend: LightBackend, cache: Any, start: int, stop: int) -> np.ndarray:
        return backend.forward(
            cache,
            self.ids[start:stop],
            self.positions[start:stop],
            self.sees[start:stop, :stop],
            np.arange(stop - start),
        )


trees = st.builds(
    RandomTree,
    st.integers(0, 2**32 - 1).map(np.random.default_rng),
    prompt=st.integers(0, 20),
    nodes=st.integers(1, 24),
)


@settings(deadline=None, max_examples=40)
@given(tree=trees, cuts=st.lists(st.integers(1, 43), max_size=4))
def test_every_path_of_a_tree_equals_its_evaluation_from_scratch(backend, tree, cuts):
    size = len(tree.ids)
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    cache = backend.cache()
    rows = np.concatenate([tree.feed(backend, cache, *edge) for edge in pairwise(edges)])
    for entry, path in enumerate(tree.paths):
        near(rows[entry], whole(backend, tree.ids[path])[-1])


@settings(deadline=None, max_examples=40)
@given(tree=trees, data=st.data())
def test_a_kept_path_continues_as_if_no_other_had_been_computed(backend, tree, data):
    cache = backend.cache()
    tree.feed(backend, cache, 0, len(tree.ids))
    path = tree.paths[data.draw(st.integers(0, len(tree.ids) - 1))]
    length = min(tree.prompt, len(path))
    backend.keep(cache, length, path[length:])
    tail = tree.rng.integers(0, VOCAB, 5)
    rows = backend.forward(cache, tail, len(path) + np.arange(5), None, np.arange(5))
    near(rows, whole(backend, np.concatenate([tree.ids[path], tail]))[-5:])


def test_growing_past_the_first_buffer_and_the_context_changes_nothing(backend):
    # 700 entries with a context of 300 positions: many short branches
    tree = RandomTree(np.random.default_rng(5), prompt=240, nodes=0)
    cache = backend.cache()
    tree.feed(backend, cache, 0, 240)
    rng, entries, branches = np.random.default_rng(6), 240, []
    for _ in range(23):
        branch = rng.integers(0, VOCAB, 20)
        sees = np.zeros((20, entries + 20), bool)
        sees[:, :240] = True
        sees[:, entries:] = np.tri(20, dtype=bool)
        rows = backend.forward(cache, branch, 240 + np.arange(20), sees, np.arange(20))
        near(rows, whole(backend, np.concatenate([tree.ids, branch]))[-20:])
        branches.append((entries, branch))
        entries += 20
    first, branch = branches[-1]
    backend.keep(cache, 240, np.arange(first, first + 20))
    rows = backend.forward(cache, branch[:1], np.array([260]), None, np.array([0]))
    near(rows, whole(backend, np.concatenate([tree.ids, branch, branch[:1]]))[-1:])


@settings(deadline=None, max_examples=20)
@given(size=st.integers(2, 40), cut=st.integers(1, 39), seed=st.integers(0, 2**32 - 1))
def test_chunks_equal_one_pass_and_unwanted_rows_are_left_out(backend, size, cut, seed):
    ids = np.random.default_rng(seed).integers(0, VOCAB, size)
    cut = min(cut, size - 1)
    expected, cache = whole(backend, ids), backend.cache()
    assert backend.forward(cache, ids[:cut], np.arange(cut), None, np.arange(0)).shape == (0, backend.width)
    want = np.array([size - cut - 1, 0])
    near(backend.forward(cache, ids[cut:], np.arange(cut, size), None, want), expected[cut:][want])


def test_a_pass_without_tokens_returns_no_rows_and_keeps_the_cache(backend):
    ids, cache = np.arange(8), backend.cache()
    backend.forward(cache, ids[:4], np.arange(4), None, np.arange(4))
    assert backend.forward(cache, ids[:0], ids[:0], None, ids[:0]).shape == (0, backend.width)
    near(backend.forward(cache, ids[4:], ids[4:], None, np.arange(4)), whole(backend, ids)[4:])


def test_caches_are_independent_even_in_two_threads(backend):
    def solve(seed: int) -> list[np.ndarray]:
        tree, cache = RandomTree(np.random.default_rng(seed), prompt=30, nodes=270), backend.cache()
        return [tree.feed(backend, cache, entry, entry + 10) for entry in range(0, 300, 10)]

    alone = [solve(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(solve, range(4)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_tied_matrix_counts_once_among_the_parameters(tmp_path):
    weights = tensors(SMALL)
    tied = sum(array.size for array in weights.values())
    assert load_light(write(tmp_path / "tied")).parameters == tied
    weights["lm_head.weight"] = np.ones((VOCAB, 32), np.float32)
    untied = load_light(write(tmp_path / "untied", SMALL | {"tie_word_embeddings": False}, weights))
    assert untied.parameters == tied + VOCAB * 32


@pytest.mark.parametrize("tied", [True, False])
def test_only_the_output_rows_of_labels_are_computed(tmp_path, tied):
    weights = tensors(SMALL)
    trunk = sum(array.size for array in weights.values())
    if not tied:
        weights["lm_head.weight"] = np.random.default_rng(1).normal(size=(VOCAB, 32)).astype(np.float32)
        weights["lm_head.bias"] = np.arange(VOCAB, dtype=np.float32)
    folder, ids = write(tmp_path, SMALL | {"tie_word_embeddings": tied}, weights), np.arange(20)
    rows = load_light(folder, labels=(31, 4))
    near(whole(rows, ids), whole(load_light(folder), ids)[:, [31, 4]])
    assert rows.parameters == trunk + 2 * 32 + (0 if tied else 2)


def test_both_spellings_of_the_rotary_base_are_read(tmp_path, backend):
    ids = np.arange(20)
    new = SMALL | {"rope_parameters": {"rope_theta": 50.0, "rope_type": "default"}}
    old = {key: value for key, value in SMALL.items() if key != "rope_parameters"}
    old |= {"rope_theta": 50.0, "rope_scaling": None}
    one, other = (whole(load_light(write(tmp_path / n, c)), ids) for n, c in (("new", new), ("old", old)))
    np.testing.assert_array_equal(one, other)
    assert np.abs(one - whole(backend, ids)).max() > 0.01


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"architectures": ["MistralForCausalLM"]}, "MistralForCausalLM"),
        ({"architectures": None}, "no architecture"),
        ({"rope_parameters": {"rope_theta": 1e4, "rope_type": "llama3", "factor": 8.0}}, "llama3"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial rotary"),
        ({"use_sliding_window": True}, "sliding-window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding-window"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"head_dim": 24}, "head_dim 24"),
        ({"num_key_value_heads": 3}, "3 key-value heads"),
        ({"intermediate_size": 48}, "gate_proj.weight"),
        ({"num_hidden_layers": 3}, "model.layers.2"),
        ({"num_hidden_layers": 1}, "model.layers.1"),
        ({"tie_word_embeddings": False}, "lm_head.weight"),
        ({"architectures": ["LlamaForTokenClassification"]}, "score.weight"),
    ],
)
def test_a_model_that_would_be_computed_wrongly_is_refused(tmp_path, change, named):
    path = write(tmp_path, SMALL | change, tensors(SMALL))
    with pytest.raises(ModelError, match=named) as error:
        load_light(path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("extra", "change", "named"),
    [
        ({"model.layers.0.self_attn.o_proj.bias": np.zeros(32, np.float32)}, {}, "o_proj.bias"),
        ({"model.norm.weight": np.zeros(32, np.int8)}, {}, "I8"),
        (
            {"score.weight": np.zeros((3, 32), np.float32)},
            {"architectures": ["Qwen2ForTokenClassification"]},
            "3 labels",
        ),
    ],
)
def test_weights_of_a_wrong_shape_are_refused(tmp_path, extra, change, named):
    with pytest.raises(ModelError, match=named):
        load_light(write(tmp_path, SMALL | change, tensors(SMALL) | extra))


def test_missing_and_broken_files_are_reported(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json"):
        load_light(tmp_path / "nowhere")
    path = write(tmp_path / "model")
    (path / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_light(path)
    (path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_light(path)
    (path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        load_light(path)
    (path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    with pytest.raises(ModelError, match="lacks num_hidden_layers"):
        load_light(path)


def test_calls_that_the_kernels_would_misread_are_refused_and_keep_the_cache(backend):
    cache, two = backend.cache(), np.array([0, 1])
    backend.forward(cache, two, two, None, two)
    for ids, positions, visible, want, named in (
        (np.array([0, VOCAB]), two, None, two, "vocabulary"),
        (np.array([0, -1]), two, None, two, "vocabulary"),
        (two, np.array([2, CONTEXT]), None, two, "context"),
        (two, np.array([2, -1]), None, two, "context"),
        (two, np.array([2]), None, two, "positions"),
        (two, two + 2, None, np.array([2]), "wanted row"),
        (two, two + 2, np.ones((2, 3), bool), two, "mask is"),
    ):
        with pytest.raises(EngineError, match=named):
            backend.forward(cache, ids, positions, visible, want)
    for length, moved in ((3, []), (-1, []), (1, [2]), (1, [0])):
        with pytest.raises(EngineError, match="cannot keep"):
            backend.keep(cache, length, np.array(moved, np.int64))
    near(backend.forward(cache, two + 2, two + 2, None, two), whole(backend, np.arange(4))[2:])


def test_later_caches_reuse_memory_one_at_a_time(backend):
    ids = np.arange(20) % VOCAB
    first, beside = backend.cache(), backend.cache()
    for cache in (first, beside):
        backend.forward(cache, ids[::-1], np.arange(20), None, np.array([19]))
    assert first.buffer is not beside.buffer
    buffer = first.buffer
    del first
    later = backend.cache()
    assert later.buffer is buffer
    near(backend.forward(later, ids, np.arange(20), None, np.arange(20)), whole(backend, ids))


def test_the_memory_of_a_long_solve_is_released(backend):
    long, count = backend.cache(), SPARE_CAPACITY // 16
    for _ in range(17):
        backend.forward(long, np.zeros(count, np.int64), np.arange(count), None, np.array([], np.int64))
    assert long.buffer.capacity > SPARE_CAPACITY
    del long
    assert backend.cache().buffer.capacity <= SPARE_CAPACITY


def test_importing_the_module_imports_no_engine():
    code = (
        "import sys, specs.engines.local.onnx.backend; "
        "sys.exit(bool({'onnx', 'onnxruntime', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("LlamaForCausalLM", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
        ("LlamaForCausalLM", {"rms_norm_eps": 1e-3, "rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}}),
        ("Qwen2ForCausalLM", {"hidden_size": 64}),
        ("LlamaForTokenClassification", {"num_labels": 2}),
        ("Qwen2ForTokenClassification", {"num_labels": 1, "hidden_size": 64}),
    ],
)
def test_outputs_are_those_of_transformers(tmp_path, kind, change, dtype):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model_class = getattr(transformers, kind)
    sizes = {key: value for key, value in SMALL.items() if key not in ("architectures", "tie_word_embeddings")}
    if kind.startswith("Qwen2"):
        del sizes["head_dim"]  # transformers then uses hidden_size / heads
    torch.manual_seed(1)
    model = model_class(model_class.config_class(**(sizes | {"tie_word_embeddings": False} | change)))
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(1.0 if weight.ndim == 1 else 0.0, 0.3)
    model.to(getattr(torch, dtype)).save_pretrained(tmp_path)
    exact = model_class.from_pretrained(tmp_path, dtype=torch.float32).eval()
    light = load_light(tmp_path)
    ids = np.random.default_rng(2).integers(0, VOCAB, 60)
    with torch.no_grad():
        expected = exact(torch.from_numpy(ids)[None]).logits[0].numpy()
    assert expected.std() > 0.1
    near(whole(light, ids), expected)
    assert light.parameters == sum(weight.numel() for weight in exact.parameters())
