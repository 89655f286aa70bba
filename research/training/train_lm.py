"""Train one of the language models of the trio from scratch on a CPU or a GPU; resumable.

    python -m research.training.train_lm --size target --tokens 20e6 --out runs/target

The loss is on solution tokens only. Muon trains the matrices inside the blocks, AdamW the rest; the
learning rate is constant and falls linearly to zero over the last `DECAY` of the token budget. After
a kill, the same command continues from the last checkpoint. `log.jsonl` in the output folder holds
the loss. The data depends only on the seed and the number of batches, never on timing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from research.training.corpus import FULL, WARM, documents, held_out_questions

SIZES = {
    "draft": dict(hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4),
    "prm": dict(hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=3),
    "target": dict(hidden_size=320, intermediate_size=864, num_hidden_layers=6, num_attention_heads=5),
}
WARM_SHARE = 0.12
DECAY = 0.3
POOL = 32
"""Number of batches that are drawn at once and sorted by length, so that they need little padding."""


def build(size: str, vocabulary: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **SIZES[size],
    )
    config.num_key_value_heads = config.num_attention_heads
    return LlamaForCausalLM(config)


def batches(tokenizer, seed: int, tokens_per_batch: int, warm_batches: int):
    """Endless (ids, labels), right-padded; rows of a batch have about the same length."""
    held_out = held_out_questions()
    generator = torch.Generator().manual_seed(seed)
    pool_idx = 0
    while True:
        mix = WARM if pool_idx * POOL < warm_batches else FULL
        source = documents(seed * 1_000_003 + pool_idx, mix, held_out)
        rows, held = [], 0
        while held < POOL * tokens_per_batch:
            question, solution = next(source)
            text = tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
            )
            prompt = tokenizer(text, add_special_tokens=False).input_ids
            answer = [*tokenizer(solution, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
            rows.append((prompt, answer))
            held += len(prompt) + len(answer)
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        packed, batch = [], []
        for row in rows:
            width = len(row[0]) + len(row[1])
            if (len(batch) + 1) * width > tokens_per_batch:
                packed.append(batch)
                batch = []
            batch.append(row)
        for batch_idx in torch.randperm(len(packed), generator=generator).tolist():
            batch = packed[batch_idx]
            width = max(len(p) + len(a) for p, a in batch)
            ids = torch.zeros(len(batch), width, dtype=torch.long)
            labels = torch.full((len(batch), width), -100)
            for row_idx, (p, a) in enumerate(batch):
                ids[row_idx, : len(p) + len(a)] = torch.tensor(p + a)
                labels[row_idx, len(p) : len(p) + len(a)] = torch.tensor(a)
            yield ids, labels
        pool_idx += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--tokens", type=float, required=True, help="token positions to compute, padding included")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", default="runs/tokenizer")
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--lr", type=float, default=0.02, help="learning rate of Muon; that of AdamW is a tenth of it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument(
        "--name-tokens",
        action="store_true",
        help="also learn to name the current token from the last layer (for the base of the PRM)",
    )
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    model = build(args.size, len(tokenizer)).to(device)
    parameters = sum(p.numel() for p in model.parameters())
    inside = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    outside = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers = [
        torch.optim.Muon(inside, lr=args.lr, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(outside, lr=args.lr / 10, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    # Late layers do not need the current token to predict the next one, so they forget it. But a reward
    # model on top of them has to compare it with what was expected.
    naming = torch.nn.Linear(model.config.hidden_size, len(tokenizer), bias=False, device=device)
    if args.name_tokens:
        optimizers.append(torch.optim.AdamW(naming.parameters(), lr=args.lr / 10, weight_decay=0.0))
    total_steps = int(args.tokens / args.batch_tokens)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            o, lambda step: min(1.0, (step + 1) / 50, max(0.0, (total_steps - step) / (DECAY * total_steps)))
        )
        for o in optimizers
    ]
    start, checkpoint = 0, args.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False, map_location=device)
        model.load_state_dict(state["model"])
        for one, saved in zip(optimizers, state["optimizers"], strict=False):  # --name-tokens may differ
            one.load_state_dict(saved)
        if args.name_tokens and "naming" in state:
            naming.load_state_dict(state["naming"])
        for one in schedules:
            one.last_epoch = state["step"]
        start = state["step"]
    source = batches(tokenizer, args.seed, args.batch_tokens, int(WARM_SHARE * total_steps))
    for _ in range(start):
        next(source)
    model.config._attn_implementation = "eager"  # at these lengths, faster on a CPU than fused kernels
    run = torch.compile(model.model, dynamic=True) if args.compile else model.model
    print(f"{args.size}: {parameters:,} parameters, {total_steps} steps, from step {start}", flush=True)

    def save(step: int) -> None:
        state = {
            "model": model.state_dict(),
            "optimizers": [o.state_dict() for o in optimizers],
            "naming": naming.state_dict(),
            "step": step,
        }
        torch.save(state, checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
        model.save_pretrained(args.out / "model")
        tokenizer.save_pretrained(args.out / "model")

    began, seen, running = time.time(), 0, 0.0
    with (args.out / "log.jsonl").open("a") as log:
        for step in range(start, total_steps):
            ids, labels = (x.to(device) for x in next(source))
            with torch.autocast(device, dtype=torch.bfloat16):
                hidden = run(input_ids=ids, use_cache=False).last_hidden_state
                where = labels[:, 1:] != -100
                logits = model.lm_head(hidden[:, :-1][where])
                loss = language = torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][where])
                if args.name_tokens:
                    named = naming(hidden[:, 1:][where]).float()
                    loss = language + torch.nn.functional.cross_entropy(named, labels[:, 1:][where])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(outside, 1.0)
            for one, schedule in zip(optimizers, schedules, strict=True):
                one.step()
                schedule.step()
                one.zero_grad(set_to_none=True)
            seen += ids.numel()
            running += language.item()
            if (step + 1) % 25 == 0:
                row = {
                    "step": step + 1,
                    "loss": round(running / 25, 5),
                    "tokens": (step + 1) * args.batch_tokens,
                    "tokens_per_second": round(seen / (time.time() - began)),
                }
                running = 0.0
                log.write(json.dumps(row) + "\n")
                log.flush()
                print(row, flush=True)
            if (step + 1) % 200 == 0:
                save(step + 1)
    save(total_steps)


if __name__ == "__main__":
    main()
