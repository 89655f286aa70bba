"""Checkpoints that only servers run: the bundled target in int8, and random recurrent and hybrid models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from specs.engines.folders import BUNDLED

VOCABULARY = 799

# W8A8 as llm-compressor writes it: one scale for each row of a weight, and one for each input token at run time.
INT8: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False},
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "strategy": "token",
                "dynamic": True,
            },
        }
    },
}


def write_int8(folder: Path) -> str:
    """Write the bundled target with int8 weights; returns its folder as a name."""
    shutil.copytree(BUNDLED / "target", folder)
    tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if "_proj." not in name:
            tensors[name] = tensor
            continue
        weight = tensor.astype(np.float32)
        scale = np.abs(weight).max(axis=1, keepdims=True) / 127
        tensors[name] = np.rint(weight / scale).astype(np.int8)
        tensors[f"{name}_scale"] = scale
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": INT8}))
    return str(folder)


def write_random(folder: Path, config: Any) -> str:
    """Write a random model of this transformers config with the bundled target's tokenizer; returns its folder."""
    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(BUNDLED / "target", folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)
