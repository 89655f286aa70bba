"""Model folders without weights: config.json, and safetensors headers without the tensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from specs.deploy.memory_plan import Model
from specs.deploy.sizes import model_from_config
from specs.types import Role

ITEMSIZE = {"BF16": 2, "F16": 2, "F32": 4, "I32": 4, "F8_E4M3": 1}

# https://huggingface.co/Qwen/Qwen2.5-1.5B-Instruct and -7B-Instruct, config.json
QWEN_1_5B = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 1536, "intermediate_size": 8960,
    "max_position_embeddings": 32768, "max_window_layers": 21, "num_attention_heads": 12, "num_hidden_layers": 28,
    "num_key_value_heads": 2, "sliding_window": 32768, "tie_word_embeddings": True, "use_sliding_window": False,
    "vocab_size": 151936,
}  # fmt: skip
QWEN_7B = QWEN_1_5B | {
    "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_key_value_heads": 4,
    "tie_word_embeddings": False, "vocab_size": 152064,
}  # fmt: skip
# Qwen/Qwen2.5-Math-PRM-7B: the 7B model with a reward head; it keeps an unused language-model head.
QWEN_PRM = QWEN_7B | {"architectures": ["Qwen2ForProcessRewardModel"], "max_position_embeddings": 4096}

# https://huggingface.co/Qwen/Qwen3-8B, config.json; the others of the family differ in the entries given here.
QWEN3_8B = {
    "architectures": ["Qwen3ForCausalLM"], "head_dim": 128, "hidden_size": 4096, "intermediate_size": 12288,
    "max_position_embeddings": 40960, "max_window_layers": 36, "model_type": "qwen3", "num_attention_heads": 32,
    "num_hidden_layers": 36, "num_key_value_heads": 8, "sliding_window": None, "tie_word_embeddings": False,
    "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
QWEN3_0_6B = QWEN3_8B | {
    "hidden_size": 1024, "intermediate_size": 3072, "max_window_layers": 28, "num_attention_heads": 16,
    "num_hidden_layers": 28, "tie_word_embeddings": True,
}  # fmt: skip
QWEN3_1_7B = QWEN3_0_6B | {"hidden_size": 2048, "intermediate_size": 6144}
QWEN3_4B = QWEN3_8B | {"hidden_size": 2560, "intermediate_size": 9728, "tie_word_embeddings": True}
QWEN3_14B = QWEN3_8B | {
    "hidden_size": 5120, "intermediate_size": 17408, "max_window_layers": 40, "num_attention_heads": 40,
    "num_hidden_layers": 40,
}  # fmt: skip
QWEN3_32B = QWEN3_14B | {
    "intermediate_size": 25600, "max_window_layers": 64, "num_attention_heads": 64, "num_hidden_layers": 64,
}  # fmt: skip
# https://huggingface.co/deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B, -7B, -14B and -32B, config.json: Qwen2.5 with a
# longer context, and even the smallest has an output matrix of its own.
R1_1_5B = QWEN_1_5B | {"max_position_embeddings": 131072, "sliding_window": 4096, "tie_word_embeddings": False}
R1_7B = QWEN_7B | {"max_position_embeddings": 131072, "sliding_window": 4096}
R1_14B = R1_7B | {
    "hidden_size": 5120, "intermediate_size": 13824, "num_attention_heads": 40, "num_hidden_layers": 48,
    "num_key_value_heads": 8, "sliding_window": 131072,
}  # fmt: skip
R1_32B = R1_14B | {"intermediate_size": 27648, "num_hidden_layers": 64}

Shapes = dict[str, tuple[int, ...]]


def qwen_shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors of a Qwen2 or Qwen3 checkpoint; Qwen3 has norms of queries and keys instead of biases."""
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    q, kv = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    third = config["model_type"] == "qwen3"
    shapes: Shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
    for layer in range(config["num_hidden_layers"]):
        rows = {"self_attn.q_proj": q, "self_attn.k_proj": kv, "self_attn.v_proj": kv}
        for name, width in rows.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = (width, hidden)
            if not third:
                shapes[f"model.layers.{layer}.{name}.bias"] = (width,)
        for name, shape in {
            "self_attn.o_proj": (hidden, q),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
            **({"self_attn.q_norm": (head,), "self_attn.k_norm": (head,)} if third else {}),
        }.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocabulary, hidden)
    return shapes


def model_of(name: str, config: Mapping[str, Any]) -> Model:
    """The planned sizes of a Qwen model in bfloat16."""
    tensors = [(tensor, "BF16", 2 * prod(shape)) for tensor, shape in qwen_shapes(config).items()]
    return model_from_config(name, Role.TARGET, dict(config), tensors)


def write_checkpoint(
    folder: Path, config: Mapping[str, Any], shapes: Shapes, kind: str = "BF16", files: int = 1
) -> str:
    """Write a folder whose config and headers announce these tensors, without their data; returns its path as text."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    names = list(shapes)
    if files == 1:
        _write(folder / "model.safetensors", shapes, kind)
        return str(folder)
    weight_map = {name: f"model-{at % files}.safetensors" for at, name in enumerate(names)}
    for file in set(weight_map.values()):
        _write(folder / file, {name: shapes[name] for name in names if weight_map[name] == file}, kind)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return str(folder)


def _write(path: Path, shapes: Shapes, kind: str) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        size = prod(shape) * ITEMSIZE[kind]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
