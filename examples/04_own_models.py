"""Solve a question with a draft, a target and a reward model of your own.

    python examples/04_own_models.py "QUESTION" --draft DRAFT --target TARGET --prm PRM --engine torch

A model is a folder, a hub id, a GGUF file or the address of a vLLM server. Without options this loads the folders
of the bundled models by path, on the light engine, which needs no torch.
"""

import argparse
from pathlib import Path

import specs

BUNDLED = Path(specs.__file__).parent / "bundled/models"
QUESTION = (
    "Anna has 30 coins. On Monday Anna finds 14 coins. Then 4 of the coins break. How many coins does Anna have now?"
)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("question", nargs="?", default=QUESTION)
for role in ("draft", "target", "prm"):
    parser.add_argument(f"--{role}", default=str(BUNDLED / role), metavar="MODEL")
parser.add_argument("--engine", choices=["light", "torch", "auto"], default="light")
parser.add_argument("--max-step-tokens", type=int, default=512)
given = parser.parse_args()

try:
    models = specs.load(given.draft, given.target, given.prm, engine=given.engine)
    result = specs.solve(given.question, models, max_step_tokens=given.max_step_tokens)
except specs.SpecsError as error:
    parser.exit(1, f"{error}\n")

print(result.text)
for role, used in result.usage.items():
    print(f"{role:>6}  {used.processed:>5} tokens processed  {result.models[role]}")
print(f"answer: {result.answer}")
