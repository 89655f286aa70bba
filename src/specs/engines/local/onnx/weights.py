"""Reads the sizes and fp32 weights of a model for the light backend, and refuses models that it cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specs.engines.arrays import Floats
from specs.engines.files import architectures_of, read_object
from specs.engines.local.onnx.graph import Shape
from specs.engines.text import checked_ids
from specs.errors import ModelError

HEADS = {
    "LlamaForCausalLM": "lm_head",
    "Qwen2ForCausalLM": "lm_head",
    "LlamaForTokenClassification": "score",
    "Qwen2ForTokenClassification": "score",
    "Qwen2ForPrmModel": "v_head.summary",
}
"""Supported architectures, and the name of each head."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The fp32 arrays by the graph's names, and the number of weights (a tied matrix counts once)."""

    arrays: dict[str, Floats]
    parameters: int


def read_shape(path: Path) -> Shape:
    """The sizes in `config.json`.

    Raises:
        ModelError: the light backend cannot run the model, or `config.json` lacks a size.
    """
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


def read_weights(path: Path, shape: Shape, labels: Sequence[int] | None, vocabulary: int | None) -> Weights:
    """The graph's arrays from `model.safetensors`.

    For `labels` and `vocabulary` see `specs.engines.local.onnx.backend.load_light`.

    Raises:
        ModelError: the file is damaged, lacks a tensor or has one of a wrong shape, or has one that the graph ignores.
    """
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
    if tied or head == "v_head.summary":  # Skywork's PRMs still contain the language model's output matrix
        tensors.drop("lm_head.weight")
    arrays["head"] = arrays["embed"] if tied else take(f"{head}.weight", shape.vocab if writes else None, shape.hidden)
    if tensors.has(f"{head}.bias"):
        arrays["head.bias"] = take(f"{head}.bias", len(arrays["head"]))
    if labels is not None:
        checked_ids(labels, str(path), len(arrays["head"]))
        arrays |= {name: arrays[name][list(labels)] for name in ("head", "head.bias") if name in arrays}
    if not writes and len(arrays["head"]) not in (1, 2):
        raise _unfit(path, f"{len(arrays['head'])} labels")
    parameters = sum(array.size for array in arrays.values())
    if arrays["head"] is arrays["embed"]:
        parameters -= arrays["head"].size
    tensors.finish()
    for name in ("embed", *(("head", "head.bias") if writes and labels is None else ())):
        if name in arrays:
            arrays[name] = arrays[name][:vocabulary]
    return Weights(arrays, parameters)


def _unfit(path: Path, what: str) -> ModelError:
    return ModelError(f"{path}: the light backend does not run {what}: load it with the torch backend")


def _config(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    if not file.is_file():
        raise ModelError(f"{path} has no config.json: name a Hugging Face model folder")
    config = read_object(file)
    names = architectures_of(path) or ["no architecture"]
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
        """Refuse weights that the graph would ignore (a bias of another layer, an adapter)."""
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
