"""Measure the trio on held-out problems: pass@1 of both writers, AUC of the PRM on sampled steps.

    python -m research.training.evaluate --tier medium --limit 1000 --out research/records/models-medium.json

Each writer samples one solution of each problem at temperature 0.7 (seed 0), on the light engine. The
AUC says how well rewards separate steps with the label "this step and all before it are correct" from
others, on the steps of both writers. Intervals are 95%: Wilson for pass@1, a bootstrap over problems
for the AUC. JSON last.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from specs import load, stream
from specs.bundled.problems import HELD_OUT_SEED, generate, step_labels
from specs.core.statistics import wilson
from specs.core.votes import boxed
from specs.engines.protocol import never_stop
from specs.types import Trace


def auc(rewards: np.ndarray, labels: np.ndarray) -> float:
    """Probability that a good step has a higher reward than a bad one; ties count half.

    Args:
        rewards: [steps].
        labels: [steps], bool: whether the step is good.
    """
    order = rewards.argsort(kind="stable")
    ranks = np.empty(len(rewards))
    ranks[order] = np.arange(1, len(rewards) + 1)
    values, inverse, counts = np.unique(rewards, return_inverse=True, return_counts=True)
    if len(values) < len(rewards):
        ranks = (np.bincount(inverse, ranks) / counts)[inverse]
    good = labels.sum()
    return float((ranks[labels].sum() - good * (good + 1) / 2) / (good * (len(labels) - good)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", default="medium")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    models = load()
    assert models.prm is not None
    passed: dict[str, int] = {"draft": 0, "target": 0}
    steps: list[tuple[int, str, float, bool]] = []
    for k in range(args.limit):
        problem = generate(args.tier, HELD_OUT_SEED + k)
        for writer in passed:
            result = stream_result(problem.question, models, writer, args.temperature)
            passed[writer] += boxed(result.text) == problem.answer
            session = models.prm.open(models.prm.prompt(problem.question), never_stop)
            trace = Trace(problem.question)
            texts = [record.step.text.strip() for record in result.steps]
            for record, label in zip(result.steps, step_labels(texts, problem.solution), strict=True):
                (reward,) = session.score([(trace, [record.step])], "\n\n")
                trace = trace.extend(record.step, record.writer)
                steps.append((k, writer, reward, label))
        if sys.stderr.isatty():
            print(f"\r{k + 1}/{args.limit}", end="", file=sys.stderr)
    report: dict = {"tier": args.tier, "limit": args.limit, "temperature": args.temperature, "pass_at_1": {}, "auc": {}}
    for writer, right in passed.items():
        low, high = wilson(right, args.limit)
        report["pass_at_1"][writer] = {"accuracy": right / args.limit, "low": low, "high": high}
    rng = np.random.default_rng(0)
    for name, writers in (("draft", {"draft"}), ("target", {"target"}), ("both", {"draft", "target"})):
        rows = [row for row in steps if row[1] in writers]
        clusters = np.array([row[0] for row in rows])
        rewards, labels = np.array([row[2] for row in rows]), np.array([row[3] for row in rows])
        groups = [np.flatnonzero(clusters == k) for k in range(args.limit)]
        draws = []
        for _ in range(300):
            chosen = np.concatenate([groups[k] for k in rng.integers(args.limit, size=args.limit)])
            draws.append(auc(rewards[chosen], labels[chosen]))
        low, high = np.quantile(draws, [0.025, 0.975])
        report["auc"][name] = {
            "auc": auc(rewards, labels),
            "low": float(low),
            "high": float(high),
            "steps": len(rows),
            "correct_share": float(labels.mean()),
        }
    text = json.dumps(report)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n")
    print(text)


def stream_result(question: str, models, writer: str, temperature: float):
    return stream(question, models, writer, temperature=temperature, max_steps=40).result


if __name__ == "__main__":
    main()
