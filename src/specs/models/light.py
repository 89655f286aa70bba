"""Small Llama- and Qwen2-shaped models in fp32 on the CPU, by onnxruntime: no torch.

The model's folder is Hugging Face's (`config.json`, `model.safetensors`); the graph is built
when it is loaded (`specs.models.light_graph`). Keys and values live in one buffer a cache,
which the attention kernel reads and extends in place: a call copies nothing that is cached.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specs.errors import EngineError, ModelError
from specs.models.backend import Bools, Floats, Ints
from specs.models.beside import cores
from specs.models.denormals import flushed
from specs.models.light_graph import Shape, build_graph

HEADS = {
    "LlamaForCausalLM": "lm_head",
    "Qwen2ForCausalLM": "lm_head",
    "LlamaForTokenClassification": "score",
    "Qwen2ForTokenClassification": "score",
    "Qwen2ForPrmModel": "v_head.summary",
}
"""Supported architectures and the name of each one's head."""

FIRST_CAPACITY = 512
"""Entries that a new cache has room for: a short solve never moves."""


def load_light(path: Path, threads: int = 1, labels: Sequence[int] | None = None) -> LightBackend:
    """Load the model in folder `path`, to run on `threads` threads (>= 1) a call.

    `labels`: of a language model, the tokens whose logits are computed; None for all.

    Raises:
        ModelError: the folder holds something else than a Llama or Qwen2 model, with a
            language-model head or a reward head of 1 or 2 labels, in fp32, fp16 or bf16.
    """
    path = Path(path)
    shape = _read_shape(path)
    return LightBackend(str(path), shape, _read_weights(path, shape, labels), threads)


@dataclass(frozen=True, slots=True)
class Weights:
    """Arrays by the graph's names, fp32, and how many numbers the file's used tensors hold."""

    arrays: dict[str, Floats]
    parameters: int


class LightCache:
    """Keys and values of one token tree.

    Slot 0 is an entry that nobody sees, so that every call is a continuation: on an empty
    cache the attention kernel takes consecutive positions for granted, which a tree has not.
    """

    __slots__ = ("binding", "buffer", "last", "tables", "total", "used")

    def __init__(self, binding: Any, shape: Shape) -> None:
        self.binding = binding
        self.used = 1
        self.buffer: Floats = np.zeros((shape.layers, 2, 1, shape.kv_heads, 1, shape.head), np.float32)
        self.tables: tuple[Floats, Floats] = (self.buffer, self.buffer)
        self.last = np.zeros(1, np.int32)
        self.total = np.zeros(1, np.int32)


class LightBackend:
    """`specs.models.backend.Backend` over one onnxruntime session.

    Calls release the interpreter lock while they compute; different caches may be used from
    different threads at the same time, one cache only by one.
    """

    def __init__(self, name: str, shape: Shape, weights: Weights, threads: int = 1) -> None:
        self.name = name
        self.parameters = weights.parameters
        self.context = shape.context
        self.width = weights.arrays["head"].shape[0]
        self.device = "cpu"
        self.beside = threads < cores()
        self.tolerance = 1e-4
        self.shape = shape
        self._arrays = weights.arrays  # the session refers to their memory
        self._session = _session(shape, weights, threads)
        self._tables = _rotary(shape, shape.context)

    def cache(self) -> LightCache:
        cache = LightCache(self._session.io_binding(), self.shape)
        self._reserve(cache, FIRST_CAPACITY)
        return cache

    def forward(self, cache: LightCache, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Floats:
        """See `Backend.forward`.

        Raises:
            EngineError: an id outside the vocabulary, a position outside the context, or a mask
                of another shape.
        """
        ids, positions, want = (np.ascontiguousarray(array, np.int64) for array in (ids, positions, want))
        new, used = len(ids), cache.used
        total = used + new
        out = np.empty((len(want), self.width), np.float32)
        if not new:
            return out
        self._check(ids, positions, want, visible, used - 1)
        if total > cache.buffer.shape[-2]:
            self._reserve(cache, total)
        bias = np.zeros((new, total), np.float32)
        bias[:, 0] = -np.inf
        if visible is not None:  # the kernel's own order is causal
            np.copyto(bias[:, 1:], -np.inf, where=~visible)
        cache.last[0], cache.total[0] = total - 1, total
        bind = cache.binding.bind_input
        bind("ids", "cpu", 0, np.int64, (1, new), ids.ctypes.data)
        bind("positions", "cpu", 0, np.int64, (1, new), positions.ctypes.data)
        bind("want", "cpu", 0, np.int64, want.shape, want.ctypes.data)
        bind("bias", "cpu", 0, np.float32, (1, 1, new, total), bias.ctypes.data)
        cache.binding.bind_output("out", "cpu", 0, np.float32, (1, *out.shape), out.ctypes.data)
        with flushed():
            self._session.run_with_iobinding(cache.binding)
        cache.used = total
        return out

    def keep(self, cache: LightCache, length: int, moved: Ints) -> None:
        """See `Backend.keep`."""
        first, count = length + 1, len(moved)
        if not 0 <= length < cache.used or (count and not length <= moved[0] <= moved[-1] < cache.used - 1):
            raise EngineError(
                f"cannot keep {length} + {count} of {cache.used - 1} cache entries: name entries it holds"
            )
        if count and moved[-1] != length + count - 1:  # not in place already
            cache.buffer[..., first : first + count, :] = cache.buffer[..., np.asarray(moved) + 1, :]
        cache.used = first + count

    def _check(self, ids: Ints, positions: Ints, want: Ints, visible: Bools | None, held: int) -> None:
        """Refuse what the kernels would read out of bounds or silently ignore."""
        new = len(ids)
        if _beyond(ids, self.shape.vocab):
            raise EngineError(
                f"a token id lies outside {self.name}'s vocabulary of {self.shape.vocab}: check the tokenizer"
            )
        if len(positions) != new or _beyond(positions, self.context):
            raise EngineError(
                f"{new} positions inside {self.name}'s context of {self.context} are needed: shorten the input"
            )
        if len(want) and _beyond(want, new):
            raise EngineError(f"a wanted row is none of the {new} new tokens: number rows from 0")
        if visible is not None:
            if visible.shape != (new, held + new):
                raise EngineError(f"the mask is {visible.shape}, not {(new, held + new)}: give [new, cached + new]")

    def _reserve(self, cache: LightCache, entries: int) -> None:
        """Move the cache to a buffer for at least `entries`, twice as large as before or more."""
        shape, used = self.shape, cache.used
        capacity = max(entries, 2 * cache.buffer.shape[-2])
        buffer = np.zeros((*cache.buffer.shape[:-2], capacity, shape.head), np.float32)
        buffer[..., :used, :] = cache.buffer[..., :used, :]
        cache.buffer = buffer
        # The kernel wants a table row an entry, though a tree has fewer positions than entries.
        cache.tables = self._tables if capacity <= len(self._tables[0]) else _rotary(shape, capacity)
        bind = cache.binding.bind_input
        for name, table in zip(("cos", "sin"), cache.tables, strict=True):
            bind(name, "cpu", 0, np.float32, table.shape, table.ctypes.data)
        bind("last", "cpu", 0, np.int32, (1,), cache.last.ctypes.data)
        bind("total", "cpu", 0, np.int32, (1,), cache.total.ctypes.data)
        for layer, sides in enumerate(buffer):
            for side, block in zip("KV", sides, strict=True):
                bind(f"past_{side}_{layer}", "cpu", 0, np.float32, block.shape, block.ctypes.data)
                cache.binding.bind_output(f"new_{side}_{layer}", "cpu", 0, np.float32, block.shape, block.ctypes.data)


def _beyond(values: Ints, limit: int) -> bool:
    """Whether any value lies outside [0, limit); a negative one reads as a huge unsigned one."""
    return int(values.view(np.uint64).max()) >= limit


def _rotary(shape: Shape, rows: int) -> tuple[Floats, Floats]:
    """[rows, head/2] cosines and sines; angles in fp32, as the models were trained."""
    exponent = np.arange(0, shape.head, 2, dtype=np.float32) / np.float32(shape.head)
    # Rounded as transformers rounds them: another order of operations moves a sharp model's
    # log-probabilities by several 1e-4 after a few hundred positions.
    frequencies = np.float32(1) / np.power(shape.theta, exponent.astype(np.float64)).astype(np.float32)
    angles = np.arange(rows, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles), np.sin(angles)


def _session(shape: Shape, weights: Weights, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads sleep: the models of a solve run side by side on few cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # one plan per input shape, and each call's shape is new
    arrays = weights.arrays
    options.add_external_initializers(list(arrays), [ort.OrtValue.ortvalue_from_numpy(a) for a in arrays.values()])
    graph = build_graph(shape, {name: array.shape for name, array in arrays.items()})
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _read_shape(path: Path) -> Shape:
    """Sizes from `config.json`; ModelError where the light backend cannot run the model."""
    config = _config(path)
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    layers = set(config.get("layer_types") or ()) - {"full_attention"}
    try:
        shape = Shape(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            mlp=config["intermediate_size"],
            heads=config["num_attention_heads"],
            kv_heads=config.get("num_key_value_heads") or config["num_attention_heads"],
            head=config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
            vocab=config["vocab_size"],
            context=config["max_position_embeddings"],
            epsilon=config["rms_norm_eps"],
            theta=rope.get("rope_theta", config.get("rope_theta", 10000.0)),
        )
    except KeyError as error:
        raise ModelError(f"{path / 'config.json'} lacks {error.args[0]}: save the model again") from None
    for refused, what in (
        (kind != "default", f"rope scaling {kind!r}"),
        (rope.get("partial_rotary_factor", 1.0) != 1.0, "partial rotary embedding"),
        (bool(config.get("use_sliding_window") or layers), "sliding-window attention"),
        (config.get("hidden_act", "silu") != "silu", f"activation {config.get('hidden_act')!r}"),
        (shape.head % 16 != 0, f"head_dim {shape.head} (not a multiple of 16)"),
        (shape.heads % shape.kv_heads != 0, f"{shape.heads} heads over {shape.kv_heads} key-value heads"),
    ):
        if refused:
            raise _unfit(path, what)
    return shape


def _read_weights(path: Path, shape: Shape, labels: Sequence[int] | None) -> Weights:
    """The graph's arrays from `model.safetensors`; every tensor of the file must be used."""
    config = _config(path)
    tensors = _Tensors(path / "model.safetensors")
    take = tensors.take
    head = HEADS[config["architectures"][0]]
    arrays = {
        "embed": take("model.embed_tokens.weight", shape.vocab, shape.hidden),
        "norm": take("model.norm.weight", shape.hidden),
    }
    projected = {"q": shape.heads, "k": shape.kv_heads, "v": shape.kv_heads}
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        parts = [
            take(f"{prefix}.self_attn.{p}_proj.weight", n * shape.head, shape.hidden) for p, n in projected.items()
        ]
        arrays[f"{layer}.qkv"] = np.concatenate(parts)
        if tensors.has(f"{prefix}.self_attn.q_proj.bias"):
            parts = [take(f"{prefix}.self_attn.{p}_proj.bias", n * shape.head) for p, n in projected.items()]
            arrays[f"{layer}.qkv.bias"] = np.concatenate(parts)
        arrays[f"{layer}.o"] = take(f"{prefix}.self_attn.o_proj.weight", shape.hidden, shape.heads * shape.head)
        arrays[f"{layer}.gate"] = take(f"{prefix}.mlp.gate_proj.weight", shape.mlp, shape.hidden)
        arrays[f"{layer}.up"] = take(f"{prefix}.mlp.up_proj.weight", shape.mlp, shape.hidden)
        arrays[f"{layer}.down"] = take(f"{prefix}.mlp.down_proj.weight", shape.hidden, shape.mlp)
        arrays[f"{layer}.norm1"] = take(f"{prefix}.input_layernorm.weight", shape.hidden)
        arrays[f"{layer}.norm2"] = take(f"{prefix}.post_attention_layernorm.weight", shape.hidden)
    writes = head == "lm_head"
    tied = writes and config.get("tie_word_embeddings", False)
    if tied or head == "v_head.summary":  # Skywork's PRMs still carry the language model's output matrix
        tensors.drop("lm_head.weight")
    arrays["head"] = arrays["embed"] if tied else take(f"{head}.weight", shape.vocab if writes else None, shape.hidden)
    if tensors.has(f"{head}.bias"):
        arrays["head.bias"] = take(f"{head}.bias", len(arrays["head"]))
    if labels is not None:
        arrays |= {name: arrays[name][list(labels)] for name in ("head", "head.bias") if name in arrays}
    if not writes and len(arrays["head"]) not in (1, 2):
        raise _unfit(path, f"{len(arrays['head'])} labels")
    parameters = sum(array.size for array in arrays.values())
    if arrays["head"] is arrays["embed"]:
        parameters -= arrays["head"].size
    tensors.finish()
    return Weights(arrays, parameters)


def _unfit(path: Path, what: str) -> ModelError:
    return ModelError(f"{path}: the light backend does not run {what}: load it with the torch backend")


def _config(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {file} ({error.strerror}): name a Hugging Face model folder") from None
    except ValueError as error:
        raise ModelError(f"{file} is not JSON ({error}): save the model again") from None
    names = config.get("architectures") or ["no architecture"]
    if names[0] not in HEADS:
        raise _unfit(path, f"{names[0]} (only {', '.join(HEADS)})")
    return config


class _Tensors:
    """The tensors of one file, each handed out once as fp32."""

    def __init__(self, file: Path) -> None:
        import safetensors

        self.file = file
        try:
            self.left: dict[str, dict[str, Any]] = dict(safetensors.deserialize(file.read_bytes()))
        except OSError as error:
            raise ModelError(f"cannot read {file} ({error.strerror}): save the model as one safetensors file") from None
        except safetensors.SafetensorError as error:
            raise ModelError(f"{file} is not a safetensors file ({error}): save the model again") from None

    def has(self, name: str) -> bool:
        return name in self.left

    def drop(self, name: str) -> None:
        self.left.pop(name, None)

    def take(self, name: str, *dims: int | None) -> Floats:
        """The tensor, checked to be of shape `dims` (None for any)."""
        if name not in self.left:
            raise ModelError(f"{self.file} lacks the tensor {name}: save the whole model")
        entry = self.left.pop(name)
        found = tuple(entry["shape"])
        if len(found) != len(dims) or any(want not in (None, have) for want, have in zip(dims, found, strict=True)):
            raise ModelError(f"{self.file}: {name} is {found}, config.json says {dims}: save the model again")
        return _fp32(entry["data"], entry["dtype"], f"{self.file}: {name}").reshape(found)

    def finish(self) -> None:
        """Refuse weights that would have been ignored (a bias of another layer, an adapter)."""
        rest = sorted(name for name in self.left if not name.endswith("rotary_emb.inv_freq"))
        if rest:
            raise ModelError(f"{self.file}: the light backend has no use for {rest[0]}: load it with the torch backend")


def _fp32(data: bytes, dtype: str, name: str) -> Floats:
    if dtype == "F32":
        return np.frombuffer(data, np.float32)
    if dtype == "F16":
        return np.frombuffer(data, np.float16).astype(np.float32)
    if dtype == "BF16":  # the upper half of an fp32
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    raise ModelError(f"{name} is stored as {dtype}: save it as fp32, fp16 or bf16")
