"""Train the process reward model: token classification at the step delimiter.

    python -m training.train_prm --base runs/prm-base/model --steps runs/steps-*.jsonl \\
        --updates 1500 --detect 0.45 --lr 3e-3 --out runs/prm-1
    python -m training.train_prm --base runs/prm-base/model --start runs/prm-1/model --seed 1 \\
        --steps runs/steps-*.jsonl --updates 900 --lr 2e-3 --out runs/prm

Learns, at the delimiter that closes each step, whether this step and all before it are correct.
The lower layers are those of a language model of the task, frozen: they know the arithmetic.
What they would write at a position stands in their last layer only, where no layer of theirs can
compare it with what was written, so new layers go on top. Left to themselves these find the
comparison hardly at all; two helps make it quick to learn:

* **Surprisal.** A second head, dropped afterwards, has to say how likely the frozen model found
  the token that stands there. In the first `--detect` share of the updates it is all that is
  learned, on steps in which 15% of the tokens are replaced by others.
* **Dense labels.** Every token of a step is labelled with whether all up to it is right, so a
  wrong step says at which digit it went wrong.

Data: reference solutions with slips put in by hand (endless), and sampled solutions of the draft
and the target (`sample_steps`). Two labels; class 1 is "good".
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForTokenClassification

from specs.bundled.problems import BOXED, EQUATION, HELD_OUT_SEED, facts, generate, step_labels
from training.corpus import held_out_questions

Example = tuple[str, list[str], list[bool], str]
"""Question, steps, whether each step and all before it are right, reference solution."""
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
        yield problem.question, steps, step_labels(steps, problem.solution), problem.solution


def sampled(paths: list[Path], seed: int) -> Iterator[Example]:
    """The sampled solutions, shuffled anew each time through."""
    rows = [json.loads(line) for path in paths for line in path.open()]
    rows = [(row["question"], row["steps"], row["labels"], row["solution"]) for row in rows if row["steps"]]
    rng = random.Random(seed)
    while True:
        rng.shuffle(rows)
        yield from rows


def first_wrong(step: str, reference: str | None) -> int | None:
    """Where in a wrong step its one claim leaves that of the reference step; None if unclear."""
    have = EQUATION.search(step) or BOXED.search(step)
    want = None if reference is None else EQUATION.search(reference) or BOXED.search(reference)
    if have is None or want is None or len(facts(step)) != 1:
        return None
    pairs = zip_longest(have.group(0), want.group(0))
    return have.start() + next(k for k, (x, y) in enumerate(pairs) if x != y)


def encode(tokenizer, example: Example) -> tuple[list[int], list[int], list[int]]:
    """Ids, labels at the delimiters, and labels at all tokens of the steps (-100 elsewhere).

    The label of a token inside a step says whether everything up to it is right: a step goes
    wrong at one digit, and saying which makes the comparison quick to learn.
    """
    question, steps, marks, solution = example
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(text, add_special_tokens=False).input_ids
    ends = [-100] * len(ids)
    dense = [-100] * len(ids)
    (delimiter,) = tokenizer("\n\n", add_special_tokens=False).input_ids
    reference = solution.split("\n\n")
    good = True
    for step_idx, (step, mark) in enumerate(zip(steps, marks, strict=True)):
        inside = tokenizer(step, add_special_tokens=False, return_offsets_mapping=True)
        if mark or not good:
            labels = [int(mark)] * len(inside.input_ids)
        else:
            wrong = first_wrong(step, reference[step_idx] if step_idx < len(reference) else None)
            labels = [-100 if wrong is None else int(end <= wrong) for _, end in inside.offset_mapping]
        good = good and mark
        ids += [*inside.input_ids, delimiter]
        ends += [*[-100] * len(inside.input_ids), int(mark)]
        dense += [*labels, int(mark)]
    return ids, ends, dense


def build(base: Path, start: Path | None, new_layers: int) -> LlamaForTokenClassification:
    """The frozen layers of `base` (or all of `start`) under new ones that begin as the identity."""
    config = LlamaConfig.from_pretrained(start or base, num_labels=2)
    below = config.num_hidden_layers
    config.num_hidden_layers += new_layers
    model = LlamaForTokenClassification(config)
    model.config._attn_implementation = "eager"
    if start is None:
        language_model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
        model.model.load_state_dict(language_model.model.state_dict(), strict=False)
        torch.nn.init.zeros_(model.score.bias)
    else:
        earlier = LlamaForTokenClassification.from_pretrained(start, dtype=torch.float32)
        model.load_state_dict(earlier.state_dict(), strict=False)
    for layer in model.model.layers[below:]:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return model


class Surprise:
    """How likely the frozen language model finds each token, relative to its favourite."""

    def __init__(self, base: Path, model: LlamaForTokenClassification, read_layer: int, device: str) -> None:
        self.language_model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32).to(device).eval()
        self.frozen = self.language_model.config.num_hidden_layers
        self.head = torch.nn.Linear(model.config.hidden_size, 1, device=device)
        self._hidden: dict[str, torch.Tensor] = {}
        for name, layer in (("frozen", self.frozen - 1), ("read", read_layer)):
            model.model.layers[layer].register_forward_hook(partial(self._keep, name))

    def _keep(self, name: str, module: object, inputs: object, output: torch.Tensor | tuple) -> None:
        self._hidden[name] = output[0] if isinstance(output, tuple) else output

    def loss(self, ids: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the head against the relative probability of the tokens at `where` [B, T]."""
        with torch.no_grad():
            logits = self.language_model.lm_head(self.language_model.model.norm(self._hidden["frozen"][:, :-1])).float()
            likely = (logits.gather(-1, ids[:, 1:, None])[..., 0] - logits.max(-1).values).exp()
        read = self._hidden["read"][:, 1:][where[:, 1:]].float()
        read = read * torch.rsqrt(read.pow(2).mean(-1, keepdim=True) + 1e-6)
        said = self.head(read)[:, 0].float()
        return torch.nn.functional.binary_cross_entropy_with_logits(said, likely[where[:, 1:]])


def replaced(ids: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """15% of the tokens `inside` steps replaced by tokens of the same row."""
    other = ids.gather(1, torch.randint(0, ids.shape[1], ids.shape, device=ids.device))
    swap = (torch.rand(ids.shape, device=ids.device) < 0.15) & inside & (other != 0)
    return torch.where(swap, other, ids)


def batches(tokenizer, steps: list[Path], seed: int, batch_tokens: int, device: str) -> Iterator[tuple]:
    """Endless (ids, labels at delimiters, dense labels), right-padded; 70% sampled solutions."""
    hand, real = by_hand(seed, held_out_questions()), sampled(steps, seed)
    rng = random.Random(seed)
    while True:
        rows = [encode(tokenizer, next(real if rng.random() < 0.7 else hand)) for _ in range(640)]
        rows.sort(key=lambda row: len(row[0]))
        pool = []
        while rows:
            fit = max(1, batch_tokens // len(rows[min(40, len(rows) - 1)][0]))
            pool.append(rows[:fit])
            rows = rows[fit:]
        rng.shuffle(pool)
        for batch in pool:
            width = max(len(row[0]) for row in batch)
            yield tuple(
                torch.tensor([row[part] + [fill] * (width - len(row[part])) for row in batch], device=device)
                for part, fill in ((0, 0), (1, -100), (2, -100))
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="the language model whose layers are frozen below")
    parser.add_argument("--start", type=Path, help="an earlier reward model to put the new layers on")
    parser.add_argument("--steps", type=Path, nargs="+", required=True)
    parser.add_argument("--new-layers", type=int, default=2)
    parser.add_argument("--updates", type=int, required=True)
    parser.add_argument("--detect", type=float, default=0.0, help="share of the updates that learn surprisal alone")
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    model = build(args.base, args.start, args.new_layers).to(device)
    layers = model.config.num_hidden_layers
    surprise = Surprise(args.base, model, layers - 1 - (args.new_layers if args.start else 0), device)
    model.model.embed_tokens.requires_grad_(False)
    model.model.layers[: surprise.frozen].requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad] + list(surprise.head.parameters())
    optimizer = torch.optim.AdamW(trained, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / 30, max(0.02, (args.updates - step) / (DECAY * args.updates))),
    )
    source = batches(tokenizer, args.steps, args.seed, args.batch_tokens, device)
    args.out.mkdir(parents=True, exist_ok=True)
    began, running = time.time(), [0.0, 0.0]
    with (args.out / "log.jsonl").open("w") as log:
        for update in range(args.updates):
            ids, ends, dense = next(source)
            detecting = update < args.detect * args.updates
            if detecting:
                ids = replaced(ids, dense != -100)
            with torch.autocast(device, dtype=torch.bfloat16):
                logits = model.score(model.model(input_ids=ids, use_cache=False).last_hidden_state).float()
                loss = surprise.loss(ids, dense != -100)
            running[1] += loss.item() / 25
            if not detecting:
                at_ends = torch.nn.functional.cross_entropy(logits[ends != -100], ends[ends != -100])
                everywhere = torch.nn.functional.cross_entropy(logits[dense != -100], dense[dense != -100])
                loss = loss * (2.0 if args.start else 1.0) + at_ends + everywhere
                running[0] += at_ends.item() / 25
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            if (update + 1) % 25 == 0:
                row = {
                    "update": update + 1,
                    "loss": None if detecting else round(running[0], 4),
                    "surprise": round(running[1], 4),
                    "seconds": round(time.time() - began),
                }
                running = [0.0, 0.0]
                log.write(json.dumps(row) + "\n")
                log.flush()
                print(row, flush=True)
    model.save_pretrained(args.out / "model")
    tokenizer.save_pretrained(args.out / "model")


if __name__ == "__main__":
    main()
