"""Train the process reward model: token classification at the step delimiter.

    python -m research.training.train_prm --base runs/prm-base/model --steps runs/steps-*.jsonl \\
        --detect 350 --updates 1600 --lr 2e-3 --out runs/prm

The model learns, at the delimiter that closes each step, whether this step and all before it are
correct. Its lower layers are those of a language model of the task, frozen: they know the arithmetic.
What they expect at a position is in their last layer, one position earlier, so none of them can
compare it with what was written. Two new layers on top do that. Gradient descent takes long to find
one part of each, so the weights of this part are set by hand ("wired"):

* **Expectation.** A head of the first new layer copies the digit logits from the position before
  (`wire_expectations`). The MLP of this layer learns to compare them with the token that was written:
  a second output, dropped after training, has to tell how likely the frozen model found each digit.
  The first `--detect` updates train nothing else.
* **The worst so far.** A head of the second new layer starts as a soft maximum of that surprise over
  all tokens so far (`wire_worst`); the labels teach it the rest.

Every token of a step is labelled with whether everything up to it is right, so the labels of a wrong
step tell at which digit it went wrong. Data: sampled solutions of the draft and the target
(`sample_steps`), and an endless stream of reference solutions with inserted slips. Two labels; class 1
is "good".
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
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForTokenClassification, LlamaModel

from research.training.corpus import held_out_questions
from research.training.slips import slip
from specs.bundled.problems import BOXED, EQUATION, HELD_OUT_SEED, facts, generate, step_labels

Example = tuple[str, list[str], list[bool], str]
"""Question, steps, whether each step and all before it are right, reference solution."""
DECAY = 0.4
SHRINK = 128.0
"""Divisor of the frozen layers' hidden states. A language model trained by Muon ends with hidden states of a
root mean square around this; beside them, the output of a new layer at the usual learning rates is negligible.
A power of two, so that division is exact."""
FAST = 8
"""Number of rotary pairs that distinguish the position before from its neighbours."""
SHARPNESS = 30.0
"""Nats of attention from a rotary pair that is in phase."""


def by_hand(seed: int, held_out: frozenset[int]) -> Iterator[Example]:
    """Endless reference solutions in which each step may get a wrong number (`slip`), which later steps go on with."""
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
    """The sampled solutions, endlessly, in a new random order in each round."""
    rows = [json.loads(line) for path in paths for line in path.open()]
    rows = [(row["question"], row["steps"], row["labels"], row["solution"]) for row in rows if row["steps"]]
    rng = random.Random(seed)
    while True:
        rng.shuffle(rows)
        yield from rows


def first_wrong(step: str, reference: str | None) -> int | None:
    """Index of the first character at which the claim of a wrong step differs from the reference's; None if unclear."""
    have = EQUATION.search(step) or BOXED.search(step)
    want = None if reference is None else EQUATION.search(reference) or BOXED.search(reference)
    if have is None or want is None or len(facts(step)) != 1:
        return None
    pairs = zip_longest(have.group(0), want.group(0))
    return have.start() + next(k for k, (x, y) in enumerate(pairs) if x != y)


def encode(tokenizer, example: Example) -> tuple[list[int], list[int], list[int]]:
    """Ids, labels at the delimiters, and labels at all tokens of the steps (-100 elsewhere).

    The label of a token inside a step says whether everything up to it is right: a step goes
    wrong at one digit, and labels that tell which digit make the comparison quick to learn.
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


@torch.no_grad()
def shrink(model: LlamaModel, layers: int) -> None:
    """Divide the outputs of the embedding and of the first `layers` layers by `SHRINK`; norms give the same results."""
    model.embed_tokens.weight /= SHRINK
    for layer in model.layers[:layers]:
        layer.self_attn.o_proj.weight /= SHRINK
        layer.mlp.down_proj.weight /= SHRINK


def build(base: Path) -> LlamaForTokenClassification:
    """A token classifier: the frozen layers of `base`, and two new layers that start as the identity."""
    language_model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LlamaConfig.from_pretrained(base, num_labels=2)
    below = config.num_hidden_layers
    config.num_hidden_layers += 2
    config.rms_norm_eps /= SHRINK**2
    model = LlamaForTokenClassification(config)
    model.config._attn_implementation = "eager"
    model.model.load_state_dict(language_model.model.state_dict(), strict=False)
    torch.nn.init.zeros_(model.score.bias)
    shrink(model.model, below)
    for layer in model.model.layers[below:]:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    model.model.embed_tokens.requires_grad_(False)
    model.model.layers[:below].requires_grad_(False)
    model.model.layers[below].self_attn.requires_grad_(False)  # `wire_expectations` sets all of it
    return model


def unit(hidden: torch.Tensor) -> torch.Tensor:
    """Hidden states [..., D] scaled to a root mean square of 1, as a layer's norms scale them before training."""
    hidden = hidden.float()
    return hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6)


def constant(states: torch.Tensor) -> torch.Tensor:
    """The direction [D] on which the projections of the states [N, D] are closest to 1 (ridge regression)."""
    moment = states.T @ states / len(states)
    ridge = 1e-4 * moment.diagonal().mean() * torch.eye(len(moment), device=moment.device)
    return torch.linalg.solve(moment + ridge, states.mean(0))


class Surprise:
    """Loss of the first new layer: it learns how likely the frozen language model found each digit of a step.

    A linear head, dropped after training, reads this from the layer's output.
    """

    def __init__(self, base: Path, model: LlamaForTokenClassification, digits: torch.Tensor, device: str) -> None:
        self.language_model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32).to(device).eval()
        self.frozen = self.language_model.config.num_hidden_layers
        self.digits = digits.to(device)
        self.head = torch.nn.Linear(model.config.hidden_size, 1, device=device)
        self.hidden: dict[str, torch.Tensor] = {}
        for name, layer in (("frozen", self.frozen - 1), ("new", self.frozen)):
            model.model.layers[layer].register_forward_hook(partial(self._keep, name))

    def _keep(self, name: str, module: object, inputs: object, output: torch.Tensor | tuple) -> None:
        self.hidden[name] = output[0] if isinstance(output, tuple) else output

    def loss(self, ids: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the head: its mean over digits of steps plus its mean over all other tokens.

        The target of a digit is its probability divided by that of the most likely token. The target of
        words is 1, since there are many ways to word a step, and so is that of tokens of the question.

        Args:
            ids: [B, T] token ids.
            inside: [B, T], whether a token belongs to a step.
        """
        with torch.no_grad():
            before = self.language_model.model.norm(self.hidden["frozen"][:, :-1])
            logits = self.language_model.lm_head(before).float()
            likely = (logits.gather(-1, ids[:, 1:, None])[..., 0] - logits.max(-1).values).exp()
            judged = self.digits[ids[:, 1:]] & inside[:, 1:]
            calm = ~judged & (ids[:, 1:] != 0)
            likely = torch.where(judged, likely, 1.0)
        said = self.head(unit(self.hidden["new"][:, 1:]))[..., 0].float()
        each = torch.nn.functional.binary_cross_entropy_with_logits(said, likely, reduction="none")
        return each[judged].mean() + each[calm].mean()


@torch.no_grad()
def wire_expectations(model: LlamaForTokenClassification, surprise: Surprise, where: torch.Tensor) -> None:
    """Set a head of the first new layer to copy what the frozen model expected: its digit logits one position before.

    Query and key are about constant at `where` [B, T], and the query is rotated back by one position, so
    attention peaks at the position before. The logits are written to the directions in which hidden
    states vary least.
    """
    layer, language_model = model.model.layers[surprise.frozen].self_attn, surprise.language_model
    width = model.config.hidden_size // model.config.num_attention_heads
    hidden = surprise.hidden["frozen"][where].float()
    one = constant(unit(hidden))
    turn = model.model.rotary_emb.inv_freq.to(one)[:, None]
    # Fast pairs are in phase at the position before only. The slowest pair is always in phase; its weight
    # makes the sum positive there and negative elsewhere, whatever the key's size.
    weights = torch.zeros_like(turn)
    weights[:FAST] = 1.0
    weights[-1] = -FAST + (1 - turn[:FAST].cos()).sum() / 2
    layer.q_proj.weight[: width // 2] = SHARPNESS * width**0.5 * weights * turn.cos() * one
    layer.q_proj.weight[width // 2 : width] = -SHARPNESS * width**0.5 * weights * turn.sin() * one
    layer.k_proj.weight[: width // 2] = one
    layer.k_proj.weight[width // 2 : width] = 0.0
    logits = language_model.lm_head.weight[surprise.digits] * language_model.model.norm.weight
    logits = logits - logits.mean(0)
    quiet = torch.linalg.eigh(torch.cov(hidden.T)).eigenvectors[:, : len(logits)]
    gain = 0.5 * hidden.norm(dim=-1).mean() / (unit(hidden) @ logits.T).norm(dim=-1).mean()
    layer.v_proj.weight[: len(logits)] = logits
    layer.o_proj.weight[:, : len(logits)] = gain * quiet


@torch.no_grad()
def wire_worst(model: LlamaForTokenClassification, surprise: Surprise, where: torch.Tensor) -> None:
    """Set a head of the second new layer to copy the surprise of the most surprising digit so far to every position.

    Query and key use the slowest rotary pair: the query is about constant at `where` [B, T], and the key
    grows with the surprise, so attention is a soft maximum over the surprise, which is also the value.
    """
    layer = model.model.layers[surprise.frozen + 1].self_attn
    width = model.config.hidden_size // model.config.num_attention_heads
    hidden = surprise.hidden["new"][where].float()
    surprising = -surprise.head.weight[0]
    layer.q_proj.weight[:width] = 0.0
    layer.q_proj.weight[width // 2 - 1] = 2.0 * width**0.5 * constant(unit(hidden))
    layer.k_proj.weight[width // 2 - 1] = surprising
    layer.v_proj.weight[0] = surprising
    quiet = torch.linalg.eigh(torch.cov(hidden.T)).eigenvectors[:, 0]
    layer.o_proj.weight[:, 0] = 0.05 * hidden.norm(dim=-1).mean() * quiet


def batches(tokenizer, steps: list[Path], seed: int, batch_tokens: int, device: str) -> Iterator[tuple]:
    """Endless batches (ids, labels at delimiters, dense labels), each [B, T], right-padded; 70% sampled solutions."""
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
    parser.add_argument("--steps", type=Path, nargs="+", required=True)
    parser.add_argument("--updates", type=int, required=True)
    parser.add_argument(
        "--detect", type=int, required=True, help="number of first updates that learn the surprise alone"
    )
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    model = build(args.base).to(device)
    digits = torch.tensor([tokenizer.decode([k]).strip().isdigit() for k in range(len(tokenizer))])
    surprise = Surprise(args.base, model, digits, device)
    trained = [p for p in model.parameters() if p.requires_grad] + list(surprise.head.parameters())
    optimizer = torch.optim.AdamW(trained, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / 30, max(0.02, (args.updates - step) / (DECAY * args.updates))),
    )
    source = batches(tokenizer, args.steps, args.seed, args.batch_tokens, device)
    args.out.mkdir(parents=True, exist_ok=True)
    ids, ends, dense = next(source)
    model.model(input_ids=ids, use_cache=False)
    wire_expectations(model, surprise, dense != -100)
    began, running = time.time(), [0.0, 0.0]
    with (args.out / "log.jsonl").open("w") as log:
        for update in range(args.updates):
            ids, ends, dense = next(source)
            detecting = update < args.detect
            with torch.autocast(device, dtype=torch.bfloat16):
                logits = model.score(model.model(input_ids=ids, use_cache=False).last_hidden_state).float()
                loss = surprise.loss(ids, dense != -100)
            running[1] += loss.item() / 25
            if not detecting:
                at_ends = torch.nn.functional.cross_entropy(logits[ends != -100], ends[ends != -100])
                everywhere = torch.nn.functional.cross_entropy(logits[dense != -100], dense[dense != -100])
                loss = loss + at_ends + everywhere
                running[0] += at_ends.item() / 25
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            if update == args.detect - 1:
                wire_worst(model, surprise, ends != -100)
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
