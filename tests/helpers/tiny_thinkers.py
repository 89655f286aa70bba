"""Tiny random transformers models that think, as folders: a vocabulary with markers, and a thinking family's template.

They are for what reads files: engines, `doctor`, vLLM. Laws use the exact tables of `helpers.thinkers`.
"""

from __future__ import annotations

import json
from pathlib import Path

from helpers import templates, tiny
from helpers.thinking_templates import THINKERS


def write_pair(folder: Path, name: str = "qwen3", context: int = 512) -> dict[str, Path]:
    """A draft, a target and `same`, a copy of the target; `name` is one of `THINKERS`. vLLM for CPUs can serve them."""
    found: dict[str, Path] = {}
    for role, seed in (("draft", 11), ("target", 12), ("same", 12)):
        path = found[role] = templates.write(THINKERS[name].family, folder / role, model=True)
        size = json.loads((path / "config.json").read_text())["vocab_size"]
        tiny.write_llama(path, size, seed=seed, hidden=64, context=context, scale=0.15)
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, "eos_token_id": None}))
    return found
