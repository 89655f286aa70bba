"""Copy the trained trio into the package: for each model fp16 safetensors, tokenizer and chat template.

python -m research.training.export --draft runs/draft/model --target runs/target/model --prm runs/prm/model
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer

MODELS = Path("src/specs/bundled/models")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for role in ("draft", "target", "prm"):
        parser.add_argument(f"--{role}", type=Path)
    args = parser.parse_args()
    for role in ("draft", "target", "prm"):
        source, out = getattr(args, role), MODELS / role
        if source is None:
            continue
        kind = AutoModelForTokenClassification if role == "prm" else AutoModelForCausalLM
        model = kind.from_pretrained(source, dtype=torch.float32).half()
        model.save_pretrained(out)
        AutoTokenizer.from_pretrained(source).save_pretrained(out)
        size = sum(path.stat().st_size for path in out.iterdir())
        print(f"{role}: {sum(p.numel() for p in model.parameters()):,} parameters, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
