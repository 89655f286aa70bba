"""Sample solutions from a trained model and label their steps: on-policy data for the PRM.

    python -m research.training.sample_steps --model runs/draft/model --problems 8000 --out runs/steps-draft.jsonl

Each line has the question, the steps, their labels (whether this step and all before it are correct) and the reference
solution. Problem seeds are below the held-out ones. If the program is killed, the same command continues where it
stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from research.training.corpus import held_out_questions
from specs.bundled.problems import HELD_OUT_SEED, generate, step_labels

BATCH = 128
SHARES = ("easy", "medium", "medium", "hard", "hard")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--problems", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(args.model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).to(device).eval()
    held_out = held_out_questions()
    done = sum(1 for _ in args.out.open()) if args.out.exists() else 0
    with args.out.open("a") as out:
        for batch_idx in range(done // BATCH, -(-args.problems // BATCH)):
            tier = SHARES[batch_idx % len(SHARES)]
            # Seeds just below the held-out ones: the language models saw few of these problems in training.
            first = HELD_OUT_SEED - 1 - BATCH * batch_idx
            problems = [generate(tier, first - k) for k in range(BATCH)]
            problems = [p for p in problems if hash(p.question) not in held_out]
            prompts = [
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": p.question}], tokenize=False, add_generation_prompt=True
                )
                for p in problems
            ]
            inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(device)
            torch.manual_seed(batch_idx)
            with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
                outputs = model.generate(
                    input_ids=inputs.input_ids,
                    attention_mask=inputs.attention_mask,
                    do_sample=True,
                    temperature=args.temperature,
                    top_k=0,
                    max_new_tokens=300,
                )
            lines = []
            for problem, row in zip(problems, outputs, strict=True):
                text = tokenizer.decode(row[inputs.input_ids.shape[1] :], skip_special_tokens=True)
                steps = [step.strip() for step in text.split("\n\n") if step.strip()]
                labels = step_labels(steps, problem.solution)
                lines.append(
                    {
                        "question": problem.question,
                        "steps": steps,
                        "labels": labels,
                        "solution": problem.solution,
                        "tier": tier,
                    }
                )
            lines += [{"question": "", "steps": [], "labels": [], "solution": ""}] * (
                BATCH - len(lines)
            )  # every batch has `BATCH` lines, so the number of lines tells where to continue
            out.write("".join(json.dumps(line) + "\n" for line in lines))
            out.flush()
            good = [all(line["labels"]) for line in lines if line["steps"]]
            print(f"batch {batch_idx} {tier}: {sum(good)}/{len(good)} right", flush=True)


if __name__ == "__main__":
    main()
