"""The transformers backend: a tree in one cache equals each of its paths computed from scratch by the plain model."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors_torch = pytest.importorskip("safetensors.torch")

from helpers.rows import outputs_of  # noqa: E402
from helpers.traced import Traced  # noqa: E402
from specs.engines.local.torch.backend import HFBackend  # noqa: E402
from specs.engines.local.torch.loading import load_hf  # noqa: E402
from specs.errors import EngineError, InputError, ModelError, install_command  # noqa: E402

VOCABULARY = 97
CONTEXT = 128
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,  # sharp enough that a wrong mask or position is noticed
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}

Reference = Callable[[list[int]], np.ndarray]
"""Outputs [length, width] of the plain model, no cache, no mask."""


def tiny(architecture: str, **changes: Any) -> Callable[[], Any]:
    """Returns a function that makes a small random model."""
    model_class = getattr(transformers, architecture)
    return lambda: model_class(model_class.config_class(**SIZES | changes))


LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
HYBRID = ["conv", "full_attention", "conv"]
LM = {
    "llama": tiny("LlamaForCausalLM"),
    "qwen2": tiny("Qwen2ForCausalLM", tie_word_embeddings=True),
    "sliding": tiny("Gemma3ForCausalLM", head_dim=8, sliding_window=48, layer_types=LAYERS),
}
PRM = {
    "one_label": tiny("LlamaForTokenClassification", num_labels=1),
    "two_labels": tiny("Qwen2ForTokenClassification", num_labels=2),
}


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def save_qwen_prm(folder: Path) -> Path:
    """Save a PRM as published: tensors of a causal model and of the head, and a config that asks for remote code."""
    transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SIZES)).save_pretrained(folder)
    tensors = safetensors_torch.load_file(folder / "model.safetensors")
    width = SIZES["hidden_size"]
    for layer, rows in (("0", width), ("2", 2)):
        tensors[f"score.{layer}.weight"] = torch.randn(rows, width) / 4
        tensors[f"score.{layer}.bias"] = torch.randn(rows)
    safetensors_torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    edit_config(
        folder,
        architectures=["Qwen2ForProcessRewardModel"],
        auto_map={
            "AutoConfig": "configuration_qwen2_rm.Qwen2RMConfig",
            "AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel",
        },
        use_cache=False,
    )
    return folder


def save_skywork(folder: Path) -> Path:
    """Save a PRM as published: pickled tensors, including the language model's, and a config for remote code."""
    model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SIZES, tie_word_embeddings=True))
    model.config.save_pretrained(folder)
    tensors = model.state_dict()
    tensors["v_head.summary.weight"], tensors["v_head.summary.bias"] = (
        torch.randn(1, SIZES["hidden_size"]) / 4,
        torch.randn(1),
    )
    torch.save(tensors, folder / "pytorch_model.bin")
    remote = {"AutoModel": "modeling_qwen2_rm.Qwen2ForRewardModel"}
    edit_config(folder, architectures=["Qwen2ForPrmModel"], auto_map=remote)
    return folder


def names_in_one_line(error: Exception, name: object) -> bool:
    return str(name) in str(error) and "\n" not in str(error)


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


PUBLISHED = {"qwen_prm": save_qwen_prm, "skywork": save_skywork}


def plain(folder: Path) -> Reference:
    config = json.loads((folder / "config.json").read_text())
    (architecture,) = config["architectures"]
    if architecture == "Qwen2ForProcessRewardModel":
        trunk = transformers.Qwen2ForCausalLM.from_pretrained(folder, attn_implementation="eager").model
        head = safetensors_torch.load_file(folder / "model.safetensors")

        def outputs(ids: Any) -> Any:
            hidden = trunk(ids).last_hidden_state
            hidden = torch.relu(hidden @ head["score.0.weight"].T + head["score.0.bias"])
            return hidden @ head["score.2.weight"].T + head["score.2.bias"]
    elif architecture == "Qwen2ForPrmModel":
        tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
        model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config.from_pretrained(folder)).eval()
        model.load_state_dict(tensors, strict=False)

        def outputs(ids: Any) -> Any:
            hidden = model.model(ids).last_hidden_state
            return hidden @ tensors["v_head.summary.weight"].T + tensors["v_head.summary.bias"]
    else:
        model = getattr(transformers, architecture).from_pretrained(folder, attn_implementation="eager").eval()

        def outputs(ids: Any) -> Any:
            return model(ids).logits

    def rows(ids: list[int]) -> np.ndarray:
        with torch.no_grad():
            return outputs(torch.tensor([ids]))[0].numpy()

    return rows


NAMES = [*LM, *PRM, "qwen_prm", "skywork"]
WAYS: list[Any] = [(name, "called") for name in NAMES]
WAYS += [pytest.param((name, "recorded"), marks=pytest.mark.slow) for name in NAMES]
"""Models, and how their passes of few tokens are computed: recorded, as they are on a GPU, or not."""


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, device: str
) -> tuple[HFBackend, Reference]:
    name, way = request.param
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(name)
    if name in PUBLISHED:
        PUBLISHED[name](folder)
    else:
        save((LM | PRM)[name](), folder)
    backend = load_hf(str(folder), "lm" if name in LM else "prm", device=device, dtype="fp32")
    if way == "called":
        backend = backend.unrecorded()
    elif device == "cpu":
        backend.prepare(Traced())
    assert (backend.record is None) == (way == "called")
    return backend, plain(folder)


class Grown:
    """A random tree below a prompt, computed in chunks; `paths` lists the cache entries on the path to each node."""

    def __init__(self, backend: HFBackend, prompt: int, chunks: tuple[int, ...], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.backend, self.cache = backend, backend.cache()
        ids = rng.integers(VOCABULARY, size=prompt)
        root = outputs_of(backend, self.cache, ids, np.arange(prompt), None, np.array([prompt - 1]))
        self.paths: list[list[int]] = [list(range(prompt))]  # entries of the cache, the prompt's first
        self.ids = ids.tolist()
        self.rows = [root[0]]
        for size in chunks:
            parents = [self.paths[rng.integers(len(self.paths))]]
            paths = []
            for _ in range(size):
                paths.append([*parents[-1], prompt + len(self.paths) - 1 + len(paths)])
                parents.append((self.paths + paths)[rng.integers(len(self.paths) + len(paths))])
            tokens = rng.integers(VOCABULARY, size=size)
            visible = np.zeros((size, paths[-1][-1] + 1), bool)
            for row, path in enumerate(paths):
                visible[row, path] = True
            positions = np.array([len(path) - 1 for path in paths])
            self.rows += list(outputs_of(backend, self.cache, tokens, positions, visible, np.arange(size)))
            self.ids += tokens.tolist()
            self.paths += paths

    def tokens(self, path: list[int]) -> list[int]:
        return [self.ids[entry] for entry in path]


def test_a_tree_equals_its_paths_from_scratch(loaded: tuple[HFBackend, Reference]) -> None:
    backend, reference = loaded
    grown = Grown(backend, prompt=9, chunks=(1, 12, 7))
    assert max(map(len, grown.paths)) > 12  # deep
    assert len({path[-2] for path in grown.paths}) < 16  # and it branches
    for path, row in zip(grown.paths, grown.rows, strict=True):
        assert (row.shape, row.dtype) == ((backend.width,), np.float32)
        np.testing.assert_allclose(row, reference(grown.tokens(path))[-1], rtol=0, atol=1e-4)


def test_keeping_a_path_drops_the_other_entries(loaded: tuple[HFBackend, Reference]) -> None:
    backend, reference = loaded
    grown = Grown(backend, prompt=9, chunks=(10, 10))
    path = max(grown.paths, key=len)
    assert path != list(range(len(path)))  # so the kept entries have to move
    backend.keep(grown.cache, 9, np.array(path[9:]))
    kept = grown.tokens(path)
    for tail, length in (([5, 6, 7], len(kept)), ([8, 9], 11), ([10], 4)):  # continue, then go back twice
        backend.keep(grown.cache, length, np.zeros(0, np.int64))
        kept = kept[:length] + tail
        row = outputs_of(
            backend, grown.cache, np.array(tail), np.arange(length, len(kept)), None, np.array([len(tail) - 1])
        )
        np.testing.assert_allclose(row[0], reference(kept)[-1], rtol=0, atol=1e-4)


def test_kept_entries_that_are_already_in_place_stay_there(loaded: tuple[HFBackend, Reference]) -> None:
    backend, reference = loaded
    cache, ids = backend.cache(), np.arange(3, 15)
    outputs_of(backend, cache, ids, np.arange(12), None, np.zeros(0, np.int64))
    backend.keep(cache, 6, np.array([6, 7]))
    row = outputs_of(backend, cache, np.array([40]), np.array([8]), None, np.array([0]))
    np.testing.assert_allclose(row[0], reference([*range(3, 11), 40])[-1], rtol=0, atol=1e-4)
    backend.keep(cache, 0, np.zeros(0, np.int64))
    row = outputs_of(backend, cache, np.array([41]), np.array([0]), None, np.array([0]))
    np.testing.assert_allclose(row[0], reference([41])[-1], rtol=0, atol=1e-4)


def test_chunks_equal_one_pass_up_to_the_context(loaded: tuple[HFBackend, Reference]) -> None:
    backend, reference = loaded
    ids = np.random.default_rng(1).integers(VOCABULARY, size=backend.context)
    whole = reference(ids.tolist())
    for cuts in ([0, backend.context], [0, 1, 2, 17, 18, backend.context]):
        cache = backend.cache()
        rows = [
            outputs_of(backend, cache, ids[a:b], np.arange(a, b), None, np.arange(b - a))
            for a, b in itertools.pairwise(cuts)
        ]
        np.testing.assert_allclose(np.concatenate(rows), whole, rtol=0, atol=1e-4)


def test_only_wanted_rows_are_returned_in_the_order_asked_for(loaded: tuple[HFBackend, Reference]) -> None:
    backend, reference = loaded
    ids = np.arange(20, 30)
    want = np.array([7, 0, 9, 7])
    rows = outputs_of(backend, backend.cache(), ids, np.arange(10), None, want)
    np.testing.assert_allclose(rows, reference(ids.tolist())[want], rtol=0, atol=1e-4)
    none = outputs_of(backend, backend.cache(), ids, np.arange(10), None, np.zeros(0, np.int64))
    assert none.shape == (0, backend.width)


def test_caches_are_independent(loaded: tuple[HFBackend, Reference]) -> None:
    backend, reference = loaded
    one, two, nothing = backend.cache(), backend.cache(), np.zeros(0, np.int64)
    outputs_of(backend, one, np.arange(5), np.arange(5), None, nothing)
    outputs_of(backend, two, np.arange(50, 57), np.arange(7), None, nothing)
    row = outputs_of(backend, one, np.array([5]), np.array([5]), None, np.array([0]))
    np.testing.assert_allclose(row[0], reference([0, 1, 2, 3, 4, 5])[-1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_summed_log_probabilities_stay_within_the_stated_tolerance(tmp_path: Path, dtype: str) -> None:
    torch.manual_seed(0)
    backend = load_hf(str(save(LM["llama"](), tmp_path)), "lm", device="cpu", dtype=dtype)
    rng = np.random.default_rng(2)
    prefix, steps = rng.integers(VOCABULARY, size=20), rng.integers(VOCABULARY, size=(4, 40))

    def log_prob(rows: np.ndarray, tokens: np.ndarray) -> float:
        rows = rows.astype(np.float64)
        return float((rows[np.arange(40), tokens] - np.logaddexp.reduce(rows, axis=1)).sum())

    cache = backend.cache()
    root = outputs_of(backend, cache, prefix, np.arange(20), None, np.array([19]))
    visible = np.hstack([np.ones((160, 20), bool), np.kron(np.eye(4, dtype=bool), np.tri(40, dtype=bool))])
    rows = outputs_of(backend, cache, steps.ravel(), np.tile(np.arange(20, 60), 4), visible, np.arange(160))
    for step_idx, step in enumerate(steps):
        after = rows[40 * step_idx : 40 * step_idx + 39]
        whole = np.concatenate([prefix, step])
        scratch = outputs_of(backend, backend.cache(), whole, np.arange(60), None, np.arange(19, 59))
        difference = log_prob(np.concatenate([root, after]), step) - log_prob(scratch, step)
        assert abs(difference) <= backend.tolerance


@pytest.mark.parametrize(
    "make",
    [
        LM["llama"],
        LM["qwen2"],
        tiny("Gemma3ForCausalLM", head_dim=8, sliding_window=48, layer_types=LAYERS, final_logit_softcapping=3.0),
        tiny("CohereForCausalLM", logit_scale=0.25),
        tiny("PhiForCausalLM"),  # has a bias in its output matrix
        tiny("MistralForCausalLM", sliding_window=64),
    ],
    ids=["untied", "tied", "capped", "scaled", "bias", "window"],
)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_only_the_output_rows_of_labels_are_computed(tmp_path: Path, make: Any, dtype: str) -> None:
    """For every way in which models transform their logits; in half precision these logits are not rounded."""
    torch.manual_seed(0)
    save(make(), tmp_path)
    labels = (41, 7)
    whole = load_hf(str(tmp_path), "lm", device="cpu", dtype=dtype)
    rows = load_hf(str(tmp_path), "lm", device="cpu", dtype=dtype, labels=labels)
    ids, places = np.arange(20, 36), np.arange(16)
    want = np.array([3, 15])
    one = outputs_of(rows, rows.cache(), ids, places, None, want)
    other = outputs_of(whole, whole.cache(), ids, places, None, want)[:, list(labels)]
    assert rows.width == 2
    assert rows.parameters < whole.parameters + 2 * SIZES["hidden_size"] + 1
    assert rows._model.get_output_embeddings().weight.shape == (2, SIZES["hidden_size"])
    np.testing.assert_allclose(one, other, rtol=0 if dtype == "fp32" else 2**-7, atol=1e-5)
    assert np.ptp(one) > 0.1


def test_a_tied_matrix_counts_once_among_the_parameters(tmp_path: Path) -> None:
    tied = load_hf(str(save(LM["qwen2"](), tmp_path)), "lm")
    names = {name: weight.numel() for name, weight in LM["qwen2"]().state_dict().items()}
    assert tied.parameters == sum(names.values()) - names["lm_head.weight"]


def test_the_context_ends_where_the_cached_tree_stops_being_exact(tmp_path: Path) -> None:
    assert load_hf(str(save(LM["sliding"](), tmp_path / "window")), "lm").context == 48
    scaled: dict[str, Any] = {
        "rope_type": "longrope",
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
        "rope_theta": 1e4,
    }
    scaled["original_max_position_embeddings"] = 32
    phi3 = tiny("Phi3ForCausalLM", rope_parameters=scaled, original_max_position_embeddings=32)
    assert load_hf(str(save(phi3(), tmp_path / "longrope")), "lm").context == 32


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (tiny("MambaForCausalLM", state_size=4), "lm", "keeps no cache that can be forked: serve it over HTTP"),
        (tiny("Qwen3NextForCausalLM", num_hidden_layers=4, num_experts=0), "lm", "keeps no cache that can be forked"),
        (tiny("Lfm2ForCausalLM", layer_types=HYBRID), "lm", "keeps no cache that can be forked"),
        (tiny("RwkvForCausalLM", attention_hidden_size=32), "lm", "keeps no cache that can be forked"),
        (tiny("BertLMHeadModel", pad_token_id=0), "lm", "does not follow a tree of candidates"),
        (tiny("BloomForCausalLM"), "lm", "cannot be loaded: .*does not support an attention implementation"),
        (tiny("LlamaModel"), "lm", "not a causal language model"),
        (PRM["one_label"], "lm", "can only be the PRM"),
        (LM["llama"], "prm", "has no reward head"),
        (tiny("LlamaForTokenClassification", num_labels=3), "prm", "3 labels"),
    ],
)
def test_models_that_cannot_play_the_role_are_refused(tmp_path: Path, make: Any, kind: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_hf(str(save(make(), tmp_path)), kind)
    assert names_in_one_line(caught.value, tmp_path)


def test_a_checkpoint_without_its_head_is_not_filled_with_random_numbers(tmp_path: Path) -> None:
    save(LM["llama"](), tmp_path)
    edit_config(tmp_path, architectures=["LlamaForTokenClassification"])
    with pytest.raises(ModelError, match=r"lacks score\.bias, score\.weight"):
        load_hf(str(tmp_path), "prm")


def test_folders_without_a_valid_model_are_refused(tmp_path: Path) -> None:
    damaged = save(LM["llama"](), tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\x00" * 100)
    (tmp_path / "empty").mkdir()
    for name, message in (
        (str(tmp_path / "empty"), "it has no config.json"),
        (str(tmp_path / "absent"), "give a model folder, or a hub id"),
        (str(damaged), "its checkpoint is damaged"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            load_hf(name, "lm")
        assert names_in_one_line(caught.value, name)


class Code:
    """Creates the file `trap` when it is unpickled."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> Any:
        return Path.touch, (self.trap,)


def test_code_in_a_pickled_checkpoint_is_not_run(tmp_path: Path) -> None:
    folder, trap = save_skywork(tmp_path), tmp_path / "trap"
    tensors = torch.load(folder / "pytorch_model.bin")
    torch.save({**tensors, "more": Code(trap)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="its checkpoint is damaged") as caught:
        load_hf(str(folder), "prm")
    assert names_in_one_line(caught.value, folder)
    assert not trap.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert trap.exists()  # this file does run code when it is loaded carelessly
    for data in (b"", b"\x00" * 100):
        (folder / "pytorch_model.bin").write_bytes(data)
        with pytest.raises(ModelError, match="its checkpoint is damaged"):
            load_hf(str(folder), "prm")


def test_unknown_devices_and_dtypes_are_refused(tmp_path: Path) -> None:
    save(LM["llama"](), tmp_path)
    for options in ({"device": "tpu"}, {"device": "cuda:99"}, {"dtype": "int8"}):
        with pytest.raises(InputError, match=next(iter(options.values()))):
            load_hf(str(tmp_path), "lm", **options)


def test_running_out_of_memory_suggests_what_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load_hf(str(save(LM["llama"](), tmp_path)), "lm").unrecorded()  # recorded passes would bypass the patch
    for error in (torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")):

        def full(*args: Any, error: Exception = error, **options: Any) -> None:
            raise error

        monkeypatch.setattr(backend._model, "forward", full)
        with pytest.raises(EngineError, match="does not fit into memory: use fewer candidates"):
            outputs_of(backend, backend.cache(), np.array([1]), np.array([0]), None, np.array([0]))


def test_a_token_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    backend = load_hf(str(save(LM["llama"](), tmp_path)), "lm")
    with pytest.raises(ModelError, match="token 97 is outside the model's vocabulary of 97"):
        outputs_of(backend, backend.cache(), np.array([3, 97]), np.arange(2), None, np.array([0]))


def test_only_the_loader_imports_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys, specs.engines.local.torch.loading; "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=re.escape(install_command("torch"))):
        load_hf("some/model", "lm")
