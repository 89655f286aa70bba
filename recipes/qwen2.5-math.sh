#!/usr/bin/env bash
# The comparison that the paper makes, with Qwen2.5-Math: draft 1.5B, target 7B, reward model 7B.
#
#     recipes/qwen2.5-math.sh [DIR]        LIMIT=20 for a first look
#
# Needs `pip install -e ".[eval,torch]"` and one GPU: the weights take 33 GB in bf16, so 48 GB do. Models
# and data sets come from the hub. Each data set gets a folder and a report in DIR; the same command goes on
# after a stop. Nobody has run it in full yet: we had no GPU. The tests check that specs takes its arguments.
set -euo pipefail
out="${1:-runs/qwen2.5-math}"
steps="Please reason step by step, with a blank line between steps, and put your final answer within \\boxed{}."

for data in math500 amc23 olympiadbench; do
  # The models read at most 4096 tokens, question included.
  specs eval --dataset "$data" --limit "${LIMIT:-100}" --out "$out/$data" \
    --methods specs,specs:tau=0.7:switch_on=trace:start=target,beam,beam-draft,best-of-n,majority,rsd,gsi,target,draft \
    --n 4,8,16 --seeds 3 --temperature 0.7 --set max_steps=64 --set max_step_tokens=512 --max-tokens 2048 \
    --draft Qwen/Qwen2.5-Math-1.5B-Instruct --set draft_system="$steps" \
    --target Qwen/Qwen2.5-Math-7B-Instruct --set target_system="$steps" \
    --prm Qwen/Qwen2.5-Math-PRM-7B --device cuda --dtype bf16
done
