"""Decoders over blocks, and the statements of docs/theory.md for seeds other than the record's."""

import math
from itertools import product

import numpy as np
import pytest

from research.theory.cases import Case, bound, cases
from research.theory.worlds import Chooser, Decoder, World, divergence
from specs.core.selection import tilt

BETA = 3.0


@pytest.fixture(scope="module")
def world():
    return World.random(np.random.default_rng(5), 3, blocks=3)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_statement_holds_for_other_seeds(seed):
    for case in cases(seed):
        found = case.found()
        assert [check for check in found["checks"] if not check["passed"]] == [], case.name
        assert found["passed"]
    assert bound(seed)["passed"]


def test_both_writers_take_part_in_the_switching_case():
    by_name = {case.name: case.decoder for case in cases(0)}
    draft, switching = (by_name[f"{name}, 3 blocks of 4"]._levels[1:] for name in ("draft", "switching"))
    drafted = {np.array_equal(a.writer, b.writer) for one, other in zip(draft, switching, strict=True)
               for a, b in zip(one, other, strict=True)}  # fmt: skip
    assert drafted == {True, False}


def test_the_law_of_a_block_is_the_product_over_its_tokens():
    world = World.random(np.random.default_rng(0), 3, length=2, blocks=2)
    law = world.law(world.target, (1, 2))
    assert law.sum() == pytest.approx(1)
    place = world.steps.index((2, 0))
    assert law[place] == pytest.approx(world.target[1, 2][2] * world.target[1, 2, 2][0])


def test_optimum_maximises_reward_less_divergence(world):
    """E[outcome] - KL(. || p) / beta equals log Z / beta at pi*, and is less at p and half-way between."""
    p, pi = world.answers(), world.answers(BETA)
    outcome = np.array([world.outcome[answer] for answer in world.contexts(3)])

    def objective(law):
        return float(law @ outcome) - divergence(law, p) / BETA

    assert objective(pi) == pytest.approx(math.log(float(p @ np.exp(BETA * outcome))) / BETA)
    assert objective(pi) > max(objective(p), objective((p + pi) / 2))


def test_the_soft_value_factorises_the_optimum_and_raw_rewards_do_not(world):
    pi = world.answers(BETA)
    raw = {context: math.exp(BETA * reward) for context, reward in world.values().items()}
    for choose in (Chooser(world, world.tilts(BETA)).draft, Chooser(world, world.tilts(BETA)).target):
        assert Decoder(world, choose).limit == pytest.approx(pi)
    product_law = Decoder(world, Chooser(world, raw).target).limit
    assert divergence(pi, product_law) > 0.01
    # The law to which raw rewards lead: the product over steps of p exp(beta r) / Z.
    expected = []
    for answer in world.contexts(3):
        probability = 1.0
        for depth in range(3):
            mass = world.target[answer[:depth]] * [raw[(*answer[:depth], token)] for token in range(3)]
            probability *= mass[answer[depth]] / mass.sum()
        expected.append(probability)
    assert product_law == pytest.approx(expected)


def test_the_decoder_s_soft_value_equals_that_of_the_world(world):
    tilts = world.tilts(BETA)
    for context, reward in world.values().items():
        assert math.exp(tilt(reward, BETA, "soft-value")) == pytest.approx(tilts[context])


def test_the_law_of_answers_equals_enumeration_over_candidates():
    """Two blocks, two candidates and switching: the sum over all pairs in every step."""
    world = World.random(np.random.default_rng(2), 3, blocks=2)
    rewards, tilts, n = world.values(), world.tilts(BETA), 2
    writers = {context: "draft" if context and rewards[context] >= 0.5 else "target"
               for depth in range(2) for context in world.contexts(depth)}  # fmt: skip
    assert set(writers.values()) == {"draft", "target"}

    def step(context):
        writer = getattr(world, writers[context])[context]
        ratio = world.target[context] / writer
        law = np.zeros(3)
        for pair in product(range(3), repeat=n):
            weights = [tilts[(*context, y)] * ratio[y] for y in pair]
            for y, weight in zip(pair, weights, strict=True):
                law[y] += writer[pair[0]] * writer[pair[1]] * weight / sum(weights)
        return law

    expected = [step(())[a] * step((a,))[b] for a, b in world.contexts(2)]
    decoder = Decoder(world, Chooser(world, tilts).switching(rewards, 0.5))
    assert decoder.law(n) == pytest.approx(expected)
    assert decoder.kl(n) == pytest.approx(divergence(decoder.limit, decoder.law(n)))
    assert decoder.tv(n) == pytest.approx(np.abs(decoder.limit - decoder.law(n)).sum() / 2)


def test_a_false_statement_fails(world):
    """Raw rewards do not converge to pi*, and a soft value does not have the other writer's constant."""
    raw = Chooser(world, {context: math.exp(BETA * reward) for context, reward in world.values().items()})
    failed = [check for check in Case("raw", Decoder(world, raw.draft), world.answers(BETA)).found()["checks"]
              if not check["passed"]]  # fmt: skip
    assert [check["name"] for check in failed] == ["limit minus pi*"]
    # The constant of the wrong writer is off by far more than the tolerance of 2%.
    soft = Chooser(world, world.tilts(BETA))
    draft, target = Decoder(world, soft.draft), Decoder(world, soft.target)
    assert abs(16384**2 * draft.kl(16384) / target.half_variance - 1) > 0.1
