"""How often a step is chosen differently when its scores are computed from scratch instead of on the tree.

    python -m research.benchmarks.precision [--tier T] [--limit N] [--problem-seed SEED] [--device DEVICE] [--out FILE]

The bundled trio on the torch engine, in fp32 and in bf16. After a solve by `specs`, every draft step is scored again:
each candidate by itself from the first token of the prompt (log q, log p and the reward). Then the choice is repeated
with the same uniform. In exact arithmetic nothing would differ. JSON last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from research.benchmarks.bundled import LAW, arguments, finish, solve
from specs import load
from specs.core.keys import Key
from specs.core.sampling import total_log_probability
from specs.engines.protocol import Models, never_stop
from specs.methods.specs import Specs
from specs.methods.speculative import Step
from specs.types import Candidate, Decision, Result, Role, Trace

METHOD = Specs()


def from_scratch(models: Models, trace: Trace, candidate: Candidate) -> Candidate:
    """The candidate with scores of new sessions that have computed nothing else."""
    assert models.draft is not None
    assert models.target is not None
    assert models.prm is not None
    used = frozenset({models.target.fingerprint})
    group = [(trace, [candidate])]
    log_q, log_p = (
        total_log_probability(model.open(model.prompt(trace.question), used, never_stop).score(group, LAW)[0])
        for model in (models.draft, models.target)
    )
    prm = models.prm.open(models.prm.prompt(trace.question), never_stop)
    return replace(candidate, log_q=log_q, log_p=log_p, reward=prm.score(group, LAW.steps.delimiter)[0])


def decide(candidates: list[Candidate], step: Step) -> tuple[Decision, bool]:
    """The choice of `specs`, and whether the chosen step stays."""
    decision = METHOD.choose(step, candidates)
    return decision, METHOD.accepts(step, candidates, decision)


def compare(models: Models, result: Result) -> list[tuple[float, ...]]:
    """For each draft step: whether the choice differs, whether the verdict (stays or not) differs, total variation
    between the choice probabilities, largest error of log p in nats, and largest error of r."""
    found = []
    trace, key = Trace(result.question), Key.for_method(result.seed, result.prompt_token_ids)
    for record in result.steps:
        if record.writer is Role.DRAFT:
            forked = list(record.candidates)
            again = {c.token_ids: from_scratch(models, trace, c) for c in forked if c.duplicates_of is None}
            alone = [again[c.token_ids] for c in forked]
            step = Step(trace, Role.DRAFT, LAW, key)
            (one, kept), (other, stays) = decide(forked, step), decide(alone, step)
            assert one.chosen == record.decision.chosen
            pairs = [(c, again[c.token_ids]) for c in forked]
            steps = [None if d.chosen is None else forked[d.chosen].token_ids for d in (one, other)]
            found.append((
                steps[0] != steps[1],
                kept != stays,
                0.5 * np.abs(np.subtract(one.probabilities, other.probabilities)).sum(),
                max(abs((a.log_p or 0.0) - (b.log_p or 0.0)) for a, b in pairs),
                max(abs((a.reward or 0.0) - (b.reward or 0.0)) for a, b in pairs),
            ))  # fmt: skip
        if record.accepted and record.step is not None:
            trace = trace.extend(record.step, record.writer)
    return found


def measured(models: Models, tier: str, seeds: Iterable[int]) -> dict[str, Any]:
    """Differences between scores in solves of these problems and scores from scratch, and the steps they change."""
    steps = np.array([row for seed in seeds for row in compare(models, solve(models, METHOD, tier, seed))], float)
    return {
        "steps": len(steps),
        "chosen_differently": int(steps[:, 0].sum()),
        "verdict_differs": int(steps[:, 1].sum()),
        "selection_tv": round(float(steps[:, 2].mean()), 6),
        "log_p_error": [round(float(value), 6) for value in np.quantile(steps[:, 3], [0.5, 0.99, 1])],
        "reward_error": [round(float(value), 6) for value in np.quantile(steps[:, 4], [0.5, 0.99, 1])],
    }


def main() -> None:
    args = arguments(__doc__, 40, device=str)
    record: dict[str, Any] = {"tier": args.tier, "problems": args.limit, "problem_seed": args.problem_seed}
    for dtype in ("fp32", "bf16"):
        models = load(engine="torch", device=args.device or "cpu", dtype=dtype)
        record[dtype] = measured(models, args.tier, range(args.problem_seed, args.problem_seed + args.limit))
    finish(record, args.out)


if __name__ == "__main__":
    main()
