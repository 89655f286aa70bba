"""Tiny random PRMs of every family that reads a language model's head or a value head.

Architectures, tensor names, files and tokenizers imitate the published checkpoints.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

QUESTION = "Ann has 3 apples and buys 41 more. How many apples has she?"
SOLUTIONS = {
    "one step": "She has $3 + 41 = 44$ apples.",
    "many steps": "Ann has 3.\n\nShe buys 41 more!\n\n3 + 41 = 44\n\nThe answer is \\boxed{44}.",
    "trailing delimiter": "Ann has 3.\n\nShe buys 41.\n\n",
    "empty steps": "\n\nAnn has 3.\n\n \t\n\n\n\n  She buys 41.  \n\n\n",
    "unicode": "Zoë hat 3 Äpfel 🍎🍎🍎\n\nΣ = 3 + 41\u2003= 44 個\n\n答案是 \\boxed{44}",
    "newlines within": "Ann has:\n3 apples;\n\nShe buys:\n\t41",
}
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")
BLANK_LINES = r"\n\n| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]|\s"
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA31 = (
    "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n\n<|eot_id|>"
    "{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{{ message.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
CORPUS = [
    QUESTION,
    *SOLUTIONS.values(),
    *["assistant\n", ".\n\n", "\n\n", "+ - Yes No", "Yes", "No", "ки ки + - + -"] * 9,
]
FORMATS = ("skywork", "math-shepherd", "rlhflow", "judge")
CONTEXT = 448


def byte_level(pieces: str, special: list[str]) -> Tokenizer:
    """A byte-level tokenizer, like Qwen's and Llama 3's."""
    bpe = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pieces), "isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        min_frequency=1,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    return bpe


def spaced() -> Tokenizer:
    """A tokenizer like Llama 2's and Mistral's: words and isolated text begin with U+2581; line breaks are bytes."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Digits(True)])
    trainer = trainers.BpeTrainer(vocab_size=150, min_frequency=1, show_progress=False)
    bpe.train_from_iterator(
        [line for text in CORPUS for line in text.split("\n") if line.isascii() or "ки" in line], trainer
    )
    trained = json.loads(bpe.to_str())["model"]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {name: token for token, name in enumerate([*names, *trained["vocab"]])}
    merges = [tuple(merge) for merge in trained["merges"]]
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>"))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    bpe.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    bpe.add_special_tokens(names[:3])
    return bpe


def write(form: str, root: Path, *, seed: int = 0, **sizes: Any) -> Path:
    """Write a PRM folder of this format as published, with a name that tells the format; returns its path."""
    special, template, named = {
        "skywork": (["<|endoftext|>", "<|im_start|>", "<|im_end|>"], None, {}),
        "math-shepherd": ([], None, {"bos_token": "<s>", "eos_token": "</s>"}),
        "rlhflow": (
            ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"],
            LLAMA31,
            {"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|eot_id|>"}},
        ),
        "judge": (["<|im_start|>", "<|im_end|>"], CHAT, {"eos_token": "<|im_end|>"}),
    }[form]
    folder = (
        root
        / {
            "skywork": "Skywork-o1-Open-PRM-Qwen-2.5-1.5B",
            "math-shepherd": "math-shepherd-mistral-7b-prm",
            "rlhflow": "Llama3.1-8B-PRM-Deepseek-Data",
            "judge": "chat",
        }[form]
    )
    folder.mkdir(parents=True)
    bpe = spaced() if form == "math-shepherd" else byte_level(BLANK_LINES if form == "judge" else LLAMA3, special)
    bpe.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    if form == "skywork":
        (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<|im_start|>"}))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    save(form, folder, bpe.get_vocab_size(), seed, sizes)
    return folder


def save(form: str, folder: Path, vocabulary: int, seed: int, sizes: dict[str, Any]) -> None:
    torch.manual_seed(seed)
    model_class: Any = transformers.Qwen2ForCausalLM if form == "skywork" else transformers.LlamaForCausalLM
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = model_class.config_class(
        **shape | {"num_key_value_heads": 1, "max_position_embeddings": CONTEXT, "tie_word_embeddings": False} | sizes,
        vocab_size=vocabulary,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    )
    model_class(config).save_pretrained(folder)
    if form == "skywork":
        tensors = load_file(folder / "model.safetensors")
        tensors["v_head.summary.weight"], tensors["v_head.summary.bias"] = torch.randn(1, 32) / 4, torch.randn(1)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        path = folder / "config.json"
        remote = {"AutoModel": "modeling_qwen2_rm.Qwen2ForRewardModel"}
        changes = {"architectures": ["Qwen2ForPrmModel"], "auto_map": remote}
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
