"""All checks of docs/theory.md in one run: exact cases, the bound on random models, the running decoder."""

from __future__ import annotations

from typing import Any

from research.theory.cases import bound, cases, sample_size
from research.theory.decoder import Progress, count_all


def study(samples: int, seed: int, progress: Progress) -> dict[str, Any]:
    """Compute and check everything; returns plain values, with divergences in nats.

    Args:
        samples: solves of the running decoder, per run (times its share).
        seed: of random models and samples.
        progress: called while solves are counted.
    """
    found = {
        "cases": [case.found() for case in cases(seed)],
        "bound": bound(seed),
        "sample_size": sample_size(seed),
        "decoder": count_all(samples, seed, progress),
    }
    parts = [*found["cases"], found["bound"], found["sample_size"], *found["decoder"]]
    return {"seed": seed, "samples": samples, "passed": all(part["passed"] for part in parts), **found}


def table(found: dict[str, Any]) -> str:
    """The study as text: a line for each case, then the failed checks, then "passed" or "failed"."""
    lines = [f"{'exact law':<32} {'KL slope':>8} {'TV slope':>8} {'n2KL/const':>10} {'KL n=8':>8} {'floor':>8}"]
    for case in found["cases"]:
        at_8 = case["kl"][case["n"].index(8)]
        floor = "-" if case["floor"] is None else f"{case['floor']:.4f}"
        lines.append(
            f"{case['name']:<32} {case['slope_kl']:>8.4f} {case['slope_tv']:>8.4f}"
            f" {case['n2kl_over_half_variance']:>10.5f} {at_8:>8.4f} {floor:>8}"
        )
    (largest,) = found["bound"]["checks"]
    lines.append(f"bound on {found['bound']['models']} random models: largest KL / bound {largest['value']:.4f}")
    shares = found["sample_size"]["ess_share"]
    lengths = ", ".join(f"{length:,}" for length in found["sample_size"]["lengths"])
    lines.append(f"ESS / n at {lengths} tokens a step, by the weight of the log-ratio:")
    lines += [f"  {name:<8} {' '.join(f'{share:8.3g}' for share in found)}" for name, found in shares.items()]
    lines += ["", f"{'running decoder':<32} {'solves':>8} {'chi2':>8} {'degrees':>10} {'p-value':>8}"]
    for run in found["decoder"]:
        statistic = f"{run['statistic']:>8.1f} {run['degrees']:>10} {run['p_value']:>8.2g}"
        lines.append(f"{run['name']:<32} {run['samples']:>8} {statistic}")
    lines.append("")
    for part in (*found["cases"], *({"name": name, **found[name]} for name in ("bound", "sample_size"))):
        lines += [
            f"FAILED {part['name']}: {check['name']} is {check['value']:.6g}, wanted {check['wanted']}"
            for check in part["checks"]
            if not check["passed"]
        ]
    lines += [f"FAILED {run['name']}: the decoder does not follow its law" for run in found["decoder"]
              if not run["passed"]]  # fmt: skip
    lines.append("passed" if found["passed"] else "failed")
    return "\n".join(lines)
