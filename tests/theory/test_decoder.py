"""The running decoder follows its exact law, and the same test rejects wrong laws."""

import json
from pathlib import Path

import numpy as np
import pytest

from research.theory.decoder import ODDS, chi_square, count, runs
from research.theory.exact import Draws
from research.theory.worlds import Chooser, Decoder

RECORD = json.loads((Path(__file__).parents[2] / "research/records/theory.json").read_text())
RUNS = {run.name: run for run in runs(RECORD["seed"])}


@pytest.mark.parametrize(
    ("name", "samples", "evidence"),
    [
        pytest.param("draft", 2000, "proposals_with_duplicates", marks=pytest.mark.slow),
        ("switching", 700, "steps_by_draft"),
        pytest.param("rewrite, the defaults", 700, "rewritten", marks=pytest.mark.slow),
    ],
)
def test_answers_follow_their_law(name, samples, evidence):
    """A correct decoder fails with probability 1e-6."""
    found = count(RUNS[name], samples, seed=5)
    assert found["passed"], found["p_value"]
    assert {**found, "rewritten": found["proposals"] - found["steps"]}[evidence] > 50


def forgetting_duplicates(run):
    """The law if equal candidates were merged without adding up their weights."""
    ((one,),) = run.exact._levels
    law = np.zeros(len(one.writer))
    for drawn in np.ndindex(*[len(law)] * run.method.n):
        distinct = list(set(drawn))
        law[distinct] += one.writer[list(drawn)].prod() * one.weights[distinct] / one.weights[distinct].sum()
    return law


def wrong_laws():
    run = RUNS["draft"]
    ((one,),) = run.exact._levels
    steeper = Decoder(run.world, Chooser(run.world, run.world.tilts(1.1 * run.method.beta)).draft)
    untilted = Draws(one.writer, np.exp(run.method.beta * np.array([run.rewards[y] for y in run.world.steps])))
    return {
        "duplicates forgotten": forgetting_duplicates(run),
        "beta off by a tenth": steeper.law(run.method.n),
        "one candidate fewer": run.exact.law(run.method.n - 1),
        "the limit": run.exact.limit,
        "no log-ratio": untilted.limit * (1 + untilted.excess(run.method.n)),
        "the target writes": Decoder(run.world, Chooser(run.world, run.world.tilts(run.method.beta)).target).law(4),
    }


@pytest.mark.parametrize(("name", "law"), wrong_laws().items())
def test_a_wrong_law_is_rejected(name, law):
    """By the test that the right law passes, on the same 200,000 solves."""
    counts = RECORD["decoder"][0]["counts"]
    assert chi_square(counts, RUNS["draft"].exact.law(RUNS["draft"].method.n)).p_value >= ODDS
    assert law.sum() == pytest.approx(1)
    assert chi_square(counts, law).p_value < ODDS


# degrees of freedom: statistics that the chi-square law exceeds with probability 0.5, 0.05 and 0.001 (printed tables)
TABLE = {1: (0.455, 3.841, 10.828), 2: (1.386, 5.991, 13.816), 7: (6.346, 14.067, 24.322), 30: (29.336, 43.773, 59.703)}


def test_p_values_equal_those_of_printed_tables():
    for degrees, statistics in TABLE.items():
        # Counts with this statistic: equal expectations, one count above and one below.
        for statistic, p_value in zip(statistics, (0.5, 0.05, 0.001), strict=True):
            counts = np.full(degrees + 1, 1000.0)
            counts[:2] += np.array([1, -1]) * np.sqrt(statistic * 500)
            found = chi_square(counts, np.full(degrees + 1, 1 / (degrees + 1)))
            assert found == (pytest.approx(statistic), degrees, pytest.approx(p_value, rel=2e-3))
    assert chi_square([50, 50], np.array([0.5, 0.5])) == (0, 1, 1)


def test_rare_answers_are_pooled():
    """Of 100 answers: those expected 1, 4, 10 and 12 times are pooled to 27; 24 is too few and is pooled with 25."""
    assert chi_square([0, 5, 11, 11, 73], np.array([0.01, 0.04, 0.10, 0.12, 0.73])) == pytest.approx((0, 1, 1.0))
    assert chi_square([24, 25, 51], np.array([0.24, 0.25, 0.51])).degrees == 1
    assert chi_square([1, 2], np.array([0.5, 0.5])).degrees == 0
