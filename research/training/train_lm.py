"""Train one of the bundled language models on a CPU or a GPU; resumable.

    python -m research.training.train_lm --size target --tokens 20e6 --out runs/target
    python -m research.training.train_lm --size target --thinking --base FOLDER --tokens 10e6 --out runs/thinking-target

The loss is on what the model writes, never on the question. With `--thinking` the text is that of the
pair that thinks (`thinking_corpus`), and with `--base` the weights start as those of a trained model.
Muon trains the matrices inside the blocks, AdamW the rest; the learning rate is constant and falls
linearly to zero over the last 30% of the token budget (`--decay`). After a kill, the same command continues
from the last checkpoint. `log.jsonl` in the output folder holds the loss. The data depends only on the
seed and the number of batches, never on timing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from research.training import thinking_corpus
from research.training.corpus import FULL, WARM, documents, held_out_questions
from specs.engines.text import HubText
from specs.methods.specreason import RATING
from specs.types import Phase

Row = tuple[list[int], list[float]]
"""Token ids and their weights in the loss."""

SIZES = {
    "draft": dict(hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4),
    "prm": dict(hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=3),
    "target": dict(hidden_size=320, intermediate_size=864, num_hidden_layers=6, num_attention_heads=5),
}
WARM_SHARE = 0.12
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


def _start_from(model: LlamaForCausalLM, folder: Path) -> None:
    """Take over the weights of a trained model; words that it lacks start as its mean word."""
    weights = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    own = model.state_dict()
    for name, tensor in weights.items():
        if own[name].shape != tensor.shape:  # the embedding of a smaller vocabulary
            missing = own[name].shape[0] - tensor.shape[0]
            tensor = torch.cat([tensor, tensor.mean(0, keepdim=True).expand(missing, -1)])
        own[name].copy_(tensor)


def solutions(tokenizer, seed: int, warm: bool, held_out: frozenset[int]) -> Iterator[Row]:
    """Endless rows of the trio's corpus."""
    for question, solution in documents(seed, WARM if warm else FULL, held_out):
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        prompt = tokenizer(text, add_special_tokens=False).input_ids
        answer = [*tokenizer(solution, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        yield prompt + answer, [0.0] * len(prompt) + [1.0] * len(answer)


def thoughts(size: str, folder: Path, tokenizer, seed: int, held_out: frozenset[int]) -> Iterator[Row]:
    """Endless rows of the corpus of the pair that thinks."""
    asked = HubText(folder).judgement(RATING, Phase.THINKING)[0]
    for document in thinking_corpus.documents(seed, thinking_corpus.SHARES[size], held_out):
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": document.question}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=document.thinks,
        )
        ids = tokenizer(text, add_special_tokens=False).input_ids
        weights = [0.0] * len(ids)
        for part in document.parts:
            more = tokenizer(part.text, add_special_tokens=False).input_ids
            ids, weights = ids + more, weights + [part.weight] * len(more)
        if document.rating is not None:
            digit = tokenizer(document.rating, add_special_tokens=False).input_ids
            ids = ids + asked + digit
            weights = weights + [0.0] * len(asked) + [thinking_corpus.RATING_WEIGHT] * len(digit)
        elif document.ends:
            ids, weights = [*ids, tokenizer.eos_token_id], [*weights, 1.0]
        yield ids, weights


def batches(rows_of: Callable[[int], Iterator[Row]], seed: int, tokens_per_batch: int):
    """Endless (ids, weights in the loss), right-padded; rows of a batch have about the same length.

    Args:
        rows_of: the endless rows of one pool of batches, by its index.
    """
    generator = torch.Generator().manual_seed(seed)
    for pool_idx in count():
        source = rows_of(pool_idx)
        rows, held = [], 0
        while held < POOL * tokens_per_batch:
            rows.append(next(source))
            held += len(rows[-1][0])
        rows.sort(key=lambda row: len(row[0]))
        packed, batch = [], []
        for row in rows:
            if (len(batch) + 1) * len(row[0]) > tokens_per_batch:
                packed.append(batch)
                batch = []
            batch.append(row)
        for batch_idx in torch.randperm(len(packed), generator=generator).tolist():
            batch = packed[batch_idx]
            width = max(len(ids) for ids, _ in batch)
            ids, weights = torch.zeros(len(batch), width, dtype=torch.long), torch.zeros(len(batch), width)
            for row_idx, row in enumerate(batch):
                ids[row_idx, : len(row[0])], weights[row_idx, : len(row[0])] = map(torch.tensor, row)
            yield ids, weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--tokens", type=float, required=True, help="token positions to compute, padding included")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, default=Path("runs/tokenizer"))
    parser.add_argument("--base", type=Path, help="folder of the model whose weights to start from")
    parser.add_argument("--thinking", action="store_true", help="the corpus of the pair that thinks")
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--lr", type=float, default=0.02, help="learning rate of Muon")
    parser.add_argument("--adamw-lr", type=float, help="learning rate of AdamW (default: a tenth of --lr)")
    parser.add_argument("--decay", type=float, default=0.3, help="share of the steps in which the learning rates fall")
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
    adamw_lr = args.lr / 10 if args.adamw_lr is None else args.adamw_lr
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    model = build(args.size, len(tokenizer)).to(device)
    if args.base is not None:
        _start_from(model, args.base)
    parameters = sum(p.numel() for p in model.parameters())
    inside = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    outside = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers = [
        torch.optim.Muon(inside, lr=args.lr, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(outside, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    # Late layers do not need the current token to predict the next one, so they forget it. But a reward
    # model on top of them has to compare it with what was expected.
    naming = torch.nn.Linear(model.config.hidden_size, len(tokenizer), bias=False, device=device)
    if args.name_tokens:
        optimizers.append(torch.optim.AdamW(naming.parameters(), lr=adamw_lr, weight_decay=0.0))
    total_steps = int(args.tokens / args.batch_tokens)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            o, lambda step: min(1.0, (step + 1) / 50, max(0.0, (total_steps - step) / (args.decay * total_steps)))
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
    held_out = held_out_questions()

    def rows_of(pool_idx: int) -> Iterator[Row]:
        seed = args.seed * 1_000_003 + pool_idx
        if args.thinking:
            return thoughts(args.size, args.tokenizer, tokenizer, seed, held_out)
        return solutions(tokenizer, seed, pool_idx * POOL < int(WARM_SHARE * total_steps), held_out)

    source = batches(rows_of, args.seed, args.batch_tokens)
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
            ids, weights = (x.to(device) for x in next(source))
            with torch.autocast(device, dtype=torch.bfloat16):
                hidden = run(input_ids=ids, use_cache=False).last_hidden_state
                where = weights[:, 1:] > 0
                logits = model.lm_head(hidden[:, :-1][where])
                targets, own = ids[:, 1:][where], weights[:, 1:][where]
                each = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
                loss = language = (each * own).sum() / own.sum()
                if args.name_tokens:
                    named = naming(hidden[:, 1:][where]).float()
                    loss = language + torch.nn.functional.cross_entropy(named, targets)
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
