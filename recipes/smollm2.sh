#!/usr/bin/env bash
# The whole path with a real language model on public test sets, without a GPU: SmolLM2-135M as draft and as
# target, under two system prompts. A test of the path, not of accuracy: the model is far too small for these
# problems, and the bundled reward model has never seen such text.
#
#     recipes/smollm2.sh [DIR]             about half an hour of one CPU core
#
# Needs `pip install -e ".[eval,torch]"`. SMOLLM2 names a folder instead of the hub's model, DATA a folder
# with math500.jsonl and so on instead of the hub's data sets.
set -euo pipefail
out="${1:-runs/smollm2}"
model="${SMOLLM2:-HuggingFaceTB/SmolLM2-135M-Instruct}"

for data in math500 amc23 olympiadbench gsm8k; do
  specs eval --dataset "${DATA:+$DATA/}$data${DATA:+.jsonl}" --limit "${LIMIT:-20}" --out "$out/$data" --methods specs \
    --n 2 --set max_step_tokens=48 --max-tokens 128 \
    --draft "$model" --set draft_system="Solve step by step, briefly. Part steps by blank lines. Box the answer." \
    --target "$model" --prm bundled --device cpu --dtype fp32 \
    --set target_system="Solve the problem step by step. Put a blank line between steps and the final answer in \\boxed{}."
done
