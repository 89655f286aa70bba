"""Tiny random models with a real tokenizer, written to disk without torch."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<pad>", "<bos>", "<eos>", "<sys>", "<user>", "<bot>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ {'system': '<sys>', 'user': '<user>', 'assistant': '<bot>'}[m.role] + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)
CORPUS = [
    "a b.\n\nc d.\n\n",
    "\u00e9 \u65e5\u672c a.\n\n",
    "abc.\n\nabc \\boxed{1}.\n\n12 {2}",
    "a\n\nb\n\n",
    ".\n\n.\n\n",
    "0 3 4 5 6 7 8 9",
] * 20


def write_tokenizer(folder: Path, extra: int = 0) -> int:
    """Write a small byte-level vocabulary in which parts of multi-byte characters and '.\\n\\n' are tokens.

    `extra` adds merges, which makes another vocabulary. Returns the number of tokens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=60 + extra, special_tokens=SPECIAL, show_progress=False, max_token_length=4
    )
    bpe.train_from_iterator(CORPUS, trainer)
    bpe.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<bos>", "eos_token": "<eos>", "tokenizer_class": "PreTrainedTokenizerFast"})
    )
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return bpe.get_vocab_size()


def write_llama(
    folder: Path,
    vocabulary: int,
    *,
    seed: int,
    hidden: int = 32,
    layers: int = 2,
    heads: int = 2,
    labels: int | None = None,
    context: int = 256,
    scale: float = 0.35,
) -> Path:
    """Write a random Llama; with `labels` its head classifies tokens instead of predicting the next one."""
    rng = np.random.default_rng(seed)
    inner = 2 * hidden

    def matrix(*shape: int) -> np.ndarray:
        return rng.normal(0, scale, shape).astype(np.float32)

    tensors = {
        "model.embed_tokens.weight": matrix(vocabulary, hidden),
        "model.norm.weight": np.ones(hidden, np.float32),
    }
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for name in "qkvo":
            tensors[f"{prefix}self_attn.{name}_proj.weight"] = matrix(hidden, hidden)
        tensors[f"{prefix}mlp.gate_proj.weight"] = matrix(inner, hidden)
        tensors[f"{prefix}mlp.up_proj.weight"] = matrix(inner, hidden)
        tensors[f"{prefix}mlp.down_proj.weight"] = matrix(hidden, inner)
        tensors[f"{prefix}input_layernorm.weight"] = np.ones(hidden, np.float32)
        tensors[f"{prefix}post_attention_layernorm.weight"] = np.ones(hidden, np.float32)
    config = {
        "architectures": ["LlamaForCausalLM" if labels is None else "LlamaForTokenClassification"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": labels is None,
        "eos_token_id": 2,
        "bos_token_id": 1,
        "dtype": "float32",
    }
    if labels is not None:
        tensors["score.weight"] = matrix(labels, hidden)
        tensors["score.bias"] = np.zeros(labels, np.float32)
        config["id2label"] = {str(k): f"LABEL_{k}" for k in range(labels)}
        config["label2id"] = {f"LABEL_{k}": k for k in range(labels)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_trio(folder: Path) -> dict[str, Path]:
    """Write draft, target and prm with one vocabulary, and `other`: a target with another vocabulary."""
    paths = {}
    for role, seed, options in (
        ("draft", 1, {"hidden": 16, "layers": 1, "heads": 1}),
        ("target", 2, {}),
        ("prm", 3, {"labels": 2}),
    ):
        size = write_tokenizer(folder / role)
        paths[role] = write_llama(folder / role, size, seed=seed, **options)
    paths["other"] = write_llama(folder / "other", write_tokenizer(folder / "other", extra=3), seed=4)
    return paths


def untied(folder: Path, out: Path) -> Path:
    """A copy with an output matrix of its own that equals the embedding."""

    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()

    return changed(folder, out, change, tie_word_embeddings=False)


def resized(folder: Path, out: Path, rows: int) -> Path:
    """A copy of a model with `rows` rows in its embedding, which for a language model is also the output matrix.

    Padding rows come in pairs of opposite sign, so that one of them is likely for any hidden state.
    """

    def change(tensors: dict[str, np.ndarray]) -> None:
        embedding = tensors["model.embed_tokens.weight"]
        padding = [6 * (-1) ** k * embedding[k // 2] for k in range(rows - len(embedding))]
        tensors["model.embed_tokens.weight"] = np.stack([*embedding, *padding])[:rows].astype(np.float32)

    return changed(folder, out, change, vocab_size=rows)


def changed(folder: Path, out: Path, change: Callable[[dict[str, np.ndarray]], None], **config: Any) -> Path:
    """A copy of a model with other weights, which `change` edits in place; `config` updates its config.json."""
    shutil.copytree(folder, out)
    tensors = load_file(out / "model.safetensors")
    change(tensors)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    written = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(written | config))
    return out


def write_gguf(folder: Path, path: Path) -> Path:
    """The language model in `folder` as a GGUF file in F32, as llama.cpp's converter would write it."""
    from gguf import GGUFWriter, TokenType

    config = json.loads((folder / "config.json").read_text())
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    writer = GGUFWriter(path, "llama")
    writer.add_file_type(0)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])

    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    padding = [f"[PAD{token}]" for token in range(len(tokens), config["vocab_size"])]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("superbpe")  # its pre-tokenizer splits only before digits
    kinds = dict.fromkeys(tokens, TokenType.NORMAL)
    kinds |= dict.fromkeys(SPECIAL, TokenType.CONTROL) | dict.fromkeys(padding, TokenType.UNUSED)
    writer.add_token_list([*tokens, *padding])
    writer.add_token_types(list(kinds.values()))
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_chat_template((folder / "chat_template.jinja").read_text())

    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
    }
    for name, tensor in load_file(folder / "model.safetensors").items():
        part = name.removesuffix(".weight")
        if part.startswith("model.layers."):
            layer, part = part.removeprefix("model.layers.").split(".", 1)
            if part in ("self_attn.q_proj", "self_attn.k_proj"):  # llama.cpp rotates pairs of adjacent entries
                tensor = tensor.reshape(heads, 2, hidden // heads // 2, hidden).swapaxes(1, 2).reshape(hidden, hidden)
            writer.add_tensor(f"blk.{layer}.{names[part]}.weight", np.ascontiguousarray(tensor))
        else:
            writer.add_tensor(f"{names[part]}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


class CountingBackend:
    """Counts the positions that reach the model, independently of the ledger."""

    def __init__(self, backend):
        self._backend, self.positions = backend, 0

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def forward(self, cache, ids, positions, visible, want):
        self.positions += len(ids)
        return self._backend.forward(cache, ids, positions, visible, want)


class SlowBackend(CountingBackend):
    """Takes a fixed time for every pass."""

    def __init__(self, backend, seconds):
        super().__init__(backend)
        self.seconds = seconds

    def forward(self, *args):
        time.sleep(self.seconds)
        return super().forward(*args)
