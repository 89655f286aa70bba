"""Train the process reward model: token classification at the step delimiter.

    python -m training.train_prm --base runs/prm-base/model --steps runs/steps-*.jsonl --out runs/prm

Starts from a small language model of the same task (which knows the arithmetic) and learns, at
the delimiter that closes each step, whether this step and all before it are correct. Data:
reference solutions with slips put in by hand (endless), and sampled solutions of the draft and
the target (`sample_steps`). Two labels; class 1 is "good".
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForTokenClassification

from specs.bundled.problems import BOXED, EQUATION, HELD_OUT_SEED, generate, step_labels
from training.corpus import held_out_questions

Example = tuple[str, list[str], list[bool]]
DECAY = 0.4


def slip(rng: random.Random, step: str) -> str:
    """Change one number of a step's equation or box by a plausible amount."""
    found = EQUATION.search(step) or BOXED.search(step)
    assert found is not None
    group = found.lastindex if rng.random() < 0.6 else rng.choice([k for k in range(1, found.lastindex + 1) if k != 2])
    value = int(found.group(group))
    wrong = value
    while wrong == value or wrong < 0:
        kind = rng.random()
        if kind < 0.5:
            wrong = value + rng.choice((-100, -20, -10, -9, -2, -1, 1, 2, 9, 10, 20, 100))
        elif kind < 0.85:
            digits = list(str(value))
            place = rng.randrange(len(digits))
            digits[place] = str((int(digits[place]) + rng.choice((-1, 1, 2, -2, 5))) % 10)
            wrong = int("".join(digits))
        else:
            wrong = rng.randint(2, 300)
    return step[: found.start(group)] + str(wrong) + step[found.end(group) :]


def by_hand(seed: int, held_out: frozenset[int]) -> Iterator[Example]:
    """Reference solutions in which each step slips with a small probability; later steps carry it on."""
    rng = random.Random(f"slips:{seed}")
    while True:
        problem = generate(rng.choice(("easy", "medium", "medium", "hard")), rng.randrange(HELD_OUT_SEED))
        if hash(problem.question) in held_out:
            continue
        reference = problem.solution.split("\n\n")
        steps: list[str] = []
        carried: tuple[str, str] | None = None
        for text in reference:
            step = text
            if carried is not None:
                step = re.sub(rf"\b{carried[0]}\b", carried[1], step, count=1)
            if rng.random() < 0.12:
                step = slip(rng, step)
            before, after = (EQUATION.search(text), EQUATION.search(step))
            if before and after and before.group(4) != after.group(4):
                carried = before.group(4), after.group(4)
            steps.append(step)
        yield problem.question, steps, step_labels(steps, problem.solution)


def sampled(paths: list[Path], seed: int) -> Iterator[Example]:
    """The sampled solutions, shuffled anew each time through."""
    rows = [json.loads(line) for path in paths for line in path.open()]
    rows = [(row["question"], row["steps"], row["labels"]) for row in rows if row["steps"]]
    rng = random.Random(seed)
    while True:
        rng.shuffle(rows)
        yield from rows


def encode(tokenizer, example: Example) -> tuple[list[int], list[int]]:
    """Ids, and labels at the delimiters (-100 elsewhere)."""
    question, steps, marks = example
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(text, add_special_tokens=False).input_ids
    labels = [-100] * len(ids)
    (delimiter,) = tokenizer("\n\n", add_special_tokens=False).input_ids
    for step, mark in zip(steps, marks, strict=True):
        inside = tokenizer(step, add_special_tokens=False).input_ids
        ids += [*inside, delimiter]
        labels += [*[-100] * len(inside), int(mark)]
    return ids, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--steps", type=Path, nargs="*", default=[])
    parser.add_argument("--sampled-share", type=float, default=0.7)
    parser.add_argument("--tokens", type=float, default=6e6)
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--lr", type=float, default=0.006, help="Muon's; AdamW's is a tenth of it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    model = LlamaForTokenClassification.from_pretrained(args.base, num_labels=2, dtype=torch.float32).to(device)
    torch.nn.init.zeros_(model.score.bias)
    model.config._attn_implementation = "eager"
    inside = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" in name]
    outside = [p for name, p in model.named_parameters() if not (p.ndim == 2 and "layers" in name)]
    optimizers = [
        torch.optim.Muon(inside, lr=args.lr, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(outside, lr=args.lr / 10, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    total = int(args.tokens / args.batch_tokens)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            one, lambda step: min(1.0, (step + 1) / 30, max(0.0, (total - step) / (DECAY * total)))
        )
        for one in optimizers
    ]
    hand, real = by_hand(0, held_out_questions()), sampled(args.steps, 0) if args.steps else None
    rng = random.Random(0)
    run = torch.compile(model.model, dynamic=True)
    args.out.mkdir(parents=True, exist_ok=True)
    began, running, seen = time.time(), 0.0, 0
    pool: list[list[tuple[list[int], list[int]]]] = []
    with (args.out / "log.jsonl").open("a") as log:
        for step in range(total):
            if not pool:
                rows = [
                    encode(tokenizer, next(real if real and rng.random() < args.sampled_share else hand))
                    for _ in range(16 * args.batch_tokens // 150)
                ]
                rows.sort(key=lambda row: len(row[0]))
                while rows:
                    fit = max(1, args.batch_tokens // max(len(rows[0][0]), len(rows[min(40, len(rows) - 1)][0])))
                    pool.append(rows[:fit])
                    rows = rows[fit:]
                rng.shuffle(pool)
            batch = pool.pop()
            width = max(len(ids) for ids, _ in batch)
            ids = torch.tensor([one + [0] * (width - len(one)) for one, _ in batch], device=device)
            labels = torch.tensor([one + [-100] * (width - len(one)) for _, one in batch], device=device)
            with torch.autocast(device, dtype=torch.bfloat16):
                hidden = run(input_ids=ids, use_cache=False).last_hidden_state[labels != -100]
                logits = model.score(hidden)
            loss = torch.nn.functional.cross_entropy(logits.float(), labels[labels != -100])
            loss.backward()
            for one, schedule in zip(optimizers, schedules, strict=True):
                one.step()
                schedule.step()
                one.zero_grad(set_to_none=True)
            running += loss.item()
            seen += ids.numel()
            if (step + 1) % 25 == 0:
                row = {
                    "step": step + 1,
                    "loss": round(running / 25, 5),
                    "tokens_per_second": round(seen / (time.time() - began)),
                }
                running = 0.0
                log.write(json.dumps(row) + "\n")
                log.flush()
                print(row, flush=True)
    model.save_pretrained(args.out / "model")
    tokenizer.save_pretrained(args.out / "model")


if __name__ == "__main__":
    main()
