"""docs/theory.md quotes research/records/theory.json, which the current code reproduces."""

import json
from pathlib import Path

import pytest

from research.theory.cases import bound, cases, sample_size
from research.theory.decoder import runs

ROOT = Path(__file__).parents[2]
DOCS, RECORDS = ROOT / "docs", ROOT / "research/records"
FOUND = json.loads((RECORDS / "theory.json").read_text())
OPTIONS = ("n", "beta", "tau", "switch_on", "start", "deferral", "reward_as")
PAGE = (DOCS / "theory.md").read_text()


def case_rows():
    for case in FOUND["cases"]:
        at = [case["n"].index(n) for n in (1, 8, 64)]
        kl = " | ".join(f"{case['kl'][k]:.2g}" for k in at)
        floor = "0" if case["floor"] is None else f"{case['floor']:.3f}"
        yield (
            f"| {case['name']} | {kl} | {case['tv'][at[1]]:.2g} | {case['slope_kl']:.3f} |"
            f" {case['slope_tv']:.3f} | {case['n2kl_over_half_variance']:.4f} | {floor} |"
        )


TITLES = ("1, the whole step (`length_power=0`)", "`L^-1/2` (`length_power=0.5`)",
          "`1/L`, the mean over tokens (`length_power=1`)")  # fmt: skip


def sample_size_rows():
    for title, shares in zip(TITLES, FOUND["sample_size"]["ess_share"].values(), strict=True):
        cells = [f"{share:.2g}" if share < 1e-3 else f"{share:.3f}".replace("1.000", "1") for share in shares]
        yield f"| {title} | {' | '.join(cells)} |"


def run_rows():
    for run in FOUND["decoder"]:
        method = run["method"]
        options = ", ".join(f"{name} {method[name]}" for name in OPTIONS)
        equal = run["proposals_with_duplicates"] / run["proposals"]
        test = f"{run['statistic']:.1f} | {run['degrees']} | {run['p_value']:.2g}"
        yield f"| `{run['name']}` | {options} | {run['samples']:,} | {equal:.0%} | {test} |"


def quoted():
    """Figures that the text quotes."""
    by_name = {case["name"]: case for case in FOUND["cases"]}
    checks = {(case["name"], check["name"]): check["value"] for case in FOUND["cases"] for check in case["checks"]}
    draft, poisson, steep = (by_name[name] for name in
                             ("draft, 32 steps", "Poisson n, 32 steps", "draft, 32 steps, beta 32"))  # fmt: skip
    perturbed = "perturbed reward, 3 blocks of 4"
    runs = {run["name"]: run for run in FOUND["decoder"]}
    switching, rewriting = runs["switching"], runs["rewrite, the defaults"]
    return {
        f"leave a divergence of {draft['kl'][3]:.2g} nats",
        f"they leave {steep['kl'][3]:.2g} nats and a total variation of {steep['tv'][3]:.2g}",
        f"it takes 64 to come down to {steep['kl'][6]:.2g}",
        f"at most {FOUND['bound']['checks'][0]['value']:.4f} of it",
        f"at mean 8 it leaves {poisson['kl'][3]:.2g} nats where 8 drafts leave {draft['kl'][3]:.2g}",
        f"another law: {by_name['raw reward, 3 blocks of 4']['floor']:.3f} nats from `pi*`",
        f"the floor is {by_name[perturbed]['floor']:.3f} nats,"
        f" {checks[perturbed, 'floor / its bound H (beta eps)^2 / 2']:.0%} of that bound",
        f"here {by_name['rewrite, 3 blocks of 4']['floor']:.3f} nats",
        f"(8 candidates leave {by_name['draft, 32 steps, w = 0.5']['kl'][3]:.2g} nats at `w` = 0.5,"
        f" but {by_name['draft, 32 steps, w = 2']['kl'][3]:.2g} nats at `w` = 2 on the same model)",
        f"log-ratio under `q`, here {FOUND['sample_size']['variance']:.3f}",
        f"the draft wrote {switching['steps_by_draft'] / switching['steps']:.0%} of the steps",
        f"{1 - rewriting['steps'] / rewriting['proposals']:.0%} of the proposals were thrown away",
    }


def test_the_page_quotes_the_record():
    table = [line for line in PAGE.splitlines() if line.startswith("| ")]
    assert [row for row in (*case_rows(), *sample_size_rows(), *run_rows()) if row not in table] == []
    assert [text for text in quoted() if text not in PAGE] == []


def test_the_record_is_of_a_complete_run_that_passed():
    assert FOUND["passed"]
    assert (FOUND["samples"], FOUND["seed"]) == (200_000, 0)
    assert max(check["value"] for case in FOUND["cases"] for check in case["checks"]
               if check["name"] == "largest miss of a total of 1") < 1e-15  # fmt: skip


def test_the_current_code_reproduces_the_record():
    for case, recorded in zip(cases(0), FOUND["cases"], strict=True):
        found = case.found()
        for name in ("name", "n", "kl", "tv", "bound", "kl_from_optimum", "floor"):
            same = recorded[name] if recorded[name] is None or name == "name" else pytest.approx(recorded[name])
            assert found[name] == same, name
    assert bound(0)["checks"][0]["value"] == pytest.approx(FOUND["bound"]["checks"][0]["value"])
    for name, shares in sample_size(0)["ess_share"].items():
        assert shares == pytest.approx(FOUND["sample_size"]["ess_share"][name])
    for run, recorded in zip(runs(0), FOUND["decoder"], strict=True):
        assert run.exact.law(run.method.n).tolist() == pytest.approx(recorded["probabilities"])
