"""The statements of docs/theory.md, each computed on a random small world and checked.

No number here is estimated by sampling: the worlds are random, but all values on them are computed exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from research.theory.exact import Draws, Floats, PoissonDraws, Rewritten
from research.theory.worlds import Chooser, Decoder, Table, World, divergence
from specs.methods.specs import Specs

NS = tuple(2**k for k in range(15))
"""Numbers of candidates."""
TAIL = 4
"""Slopes are fitted over the last so many of `NS`."""
MODELS = 1000
"""Number of random one-block models on which the bound is checked."""


@dataclass(frozen=True, slots=True)
class Check:
    """A statement, the computed value, the wanted range as text, and whether the value is in it."""

    name: str
    value: float
    wanted: str
    passed: bool


def within(name: str, value: float, low: float, high: float) -> Check:
    return Check(name, value, f"{low:g} to {high:g}", low <= value <= high)


def at_most(name: str, value: float, most: float) -> Check:
    return Check(name, value, f"at most {most:g}", value <= most)


@dataclass(frozen=True)
class Case:
    """A decoder and its claimed limit.

    Attributes:
        optimum: [S^H] probabilities of answers under pi*.
        checks: further checks of this case alone.
        elsewhere: whether the claimed limit is another law than pi*.
    """

    name: str
    decoder: Decoder
    optimum: Floats
    checks: tuple[Check, ...] = ()
    elsewhere: bool = False

    def found(self) -> dict[str, Any]:
        """The case's values and checks as plain values.

        `kl` and `bound` (in nats) and `tv` compare the decoder's law with its own limit, for each n of `NS`.
        """
        decoder = self.decoder
        kl, tv, bound = ([of(n) for n in NS] for of in (decoder.kl, decoder.tv, decoder.bound))
        to_optimum = [divergence(self.optimum, decoder.law(n)) for n in NS]
        floor = divergence(self.optimum, decoder.limit) if self.elsewhere else None
        slope_kl, slope_tv = _slope(kl), _slope(tv)
        constant = NS[-1] ** 2 * kl[-1] / decoder.half_variance
        checks = [
            within("log-log slope of KL", slope_kl, -2.1, -1.9),
            within("log-log slope of total variation", slope_tv, -1.1, -0.9),
            within("n^2 KL over half the variance", constant, 0.98, 1.02),
            at_most("largest KL / bound", max(k / b for k, b in zip(kl, bound, strict=True)), 1.0),
            at_most("largest miss of a total of 1", max(map(decoder.defect, NS)), 1e-12),
            at_most("largest miss of the chain rule, nats", max(
                abs(k - divergence(decoder.limit, decoder.law(n))) for n, k in zip(NS, kl, strict=True)
            ), 1e-12),
            *self.checks,
        ]  # fmt: skip
        if floor is None:
            checks.append(at_most("limit minus pi*", float(np.abs(decoder.limit - self.optimum).max()), 1e-12))
        else:
            checks.append(within("KL from pi* over its floor", to_optimum[-1] / floor, 0.98, 1.02))
        return {
            "name": self.name,
            "n": list(NS),
            "kl": kl,
            "tv": tv,
            "bound": bound,
            "slope_kl": slope_kl,
            "slope_tv": slope_tv,
            "n2kl_over_half_variance": constant,
            "kl_from_optimum": to_optimum,
            "floor": floor,
            "checks": [asdict(check) for check in checks],
            "passed": all(check.passed for check in checks),
        }


def cases(seed: int) -> Iterator[Case]:
    """All cases, on random worlds that follow from `seed`."""
    rng = np.random.default_rng(seed)
    for size in (4, 256):
        yield _one_block(f"draft, {size} steps", World.random(rng, size))
    world = World.random(rng, 32)
    yield _one_block("draft, 32 steps", world)
    yield _one_block("Poisson n, 32 steps", world, kind=PoissonDraws)
    yield _one_block("draft, 32 steps, beta 32", world, beta=32.0)
    chooser = Chooser(world, world.tilts(2.0))
    yield Case("target, 32 steps", Decoder(world, chooser.target), world.answers(2.0))

    world = World.random(rng, 4, blocks=3)
    beta, tau = 4.0, 0.5
    pi, rewards = world.answers(beta), world.values()
    chooser = Chooser(world, world.tilts(beta))
    yield Case("draft, 3 blocks of 4", Decoder(world, chooser.draft), pi)
    yield Case("switching, 3 blocks of 4", Decoder(world, chooser.switching(rewards, tau)), pi)
    yield _rewrite(
        world, chooser, rewards, Specs(beta=beta, tau=tau, switch_on="trace", accept_weight=0.0, start="target"), pi
    )
    raw = {context: math.exp(beta * reward) for context, reward in rewards.items()}
    decoder = Decoder(world, Chooser(world, raw).switching(rewards, tau))
    yield Case("raw reward, 3 blocks of 4", decoder, pi, (_apart(pi, decoder),), elsewhere=True)
    yield _perturbed(world, rewards, beta, tau, pi, rng)

    rng = np.random.default_rng([seed, 2])
    world = World.random(rng, 32)
    for power in (0.5, 2.0):
        yield _weighted(f"draft, 32 steps, w = {power:g}", world, power, rng)
    yield _weighted("draft, 32 steps, a w for each step", world, rng.random(32), rng)


def _weighted(name: str, world: World, power: float | Floats, rng: np.random.Generator, beta: float = 2.0) -> Case:
    """The limit with weight w of the log-ratio is pi_w, proportional to p^w q^(1-w) exp(beta r).

    For one w in [0, 1], pi_w is the optimum of J(pi) = E r - (w KL(pi || p) + (1 - w) KL(pi || q)) / beta, and
    beta (J(pi_w) - J(pi)) = KL(pi || pi_w) for every law pi; this is checked on random ones.
    """
    p, q = (world.law(model, ()) for model in (world.target, world.draft))
    rewards = np.array([world.outcome[step] for step in world.steps])
    mass = p**power * q ** (1 - power) * np.exp(beta * rewards)
    optimum = mass / mass.sum()
    decoder = Decoder(world, Chooser(world, world.tilts(beta), power=power).draft)
    checks: tuple[Check, ...] = ()
    if isinstance(power, float) and power <= 1:

        def objective(pi: Floats) -> float:
            return float(pi @ rewards) - (power * divergence(pi, p) + (1 - power) * divergence(pi, q)) / beta

        laws = rng.dirichlet(np.ones(len(p)), 1000)
        missed = [abs(beta * (objective(optimum) - objective(pi)) - divergence(pi, optimum)) for pi in laws]
        checks = (at_most("largest miss of beta (J(pi_w) - J(pi)) = KL(pi || pi_w), nats", max(missed), 1e-12),)
    return Case(name, decoder, optimum, checks)


def sample_size(seed: int) -> dict[str, Any]:
    """The share ESS / n that n -> infinity candidates of L tokens keep under the weights (p / q)^(w_L), rewards apart.

    Tokens are independent, so ESS / n is the L-th power of a token's: with w_L = L^-1/2 it tends to exp(-v), v the
    variance of a token's log-ratio under q. With w_L = 1 / L, the mean over tokens, it tends to 1; with w_L = 1 to 0.
    """
    rng = np.random.default_rng([seed, 3])
    p, q = (np.exp(logits) / np.exp(logits).sum() for logits in 0.5 * rng.normal(size=(2, 8)))
    log_ratio = np.log(p / q)
    variance = float(q @ np.square(log_ratio - q @ log_ratio))
    lengths = [10, 80, 640, 5120]

    def share(power: float, length: int) -> float:
        ratio = np.exp(power * log_ratio)
        return float(np.exp(length * (2 * np.log(q @ ratio) - np.log(q @ ratio**2))))

    shares = {name: [share(length**-a, length) for length in lengths] for name, a in POWERS.items()}
    checks = [
        within("ESS / n over exp(-v), L^-1/2, 5,120 tokens", shares["L^-1/2"][-1] / math.exp(-variance), 0.98, 1.02),
        within("ESS / n, 1/L, 5,120 tokens", shares["1/L"][-1], 0.99, 1.0),
        at_most("ESS / n, weight 1, 5,120 tokens", shares["1"][-1], 1e-3),
    ]
    return {
        "lengths": lengths,
        "variance": variance,
        "ess_share": shares,
        "checks": [asdict(check) for check in checks],
        "passed": all(check.passed for check in checks),
    }


POWERS = {"1": 0.0, "L^-1/2": 0.5, "1/L": 1.0}
"""Exponents a of the weight L^-a."""


def _one_block(name: str, world: World, beta: float = 2.0, kind: type[Draws] = Draws) -> Case:
    chooser = Chooser(world, world.tilts(beta), kind)
    return Case(name, Decoder(world, chooser.draft), world.answers(beta))


def _rewrite(world: World, chooser: Chooser, rewards: Table, method: Specs, pi: Floats) -> Case:
    """Checks that the floor KL(pi* || limit) is -(1 - rho) log(1 + rho) - rho log rho, averaged over contexts."""
    choose = chooser.rewriting(rewards, method)
    decoder = Decoder(world, choose)
    reach, floor = np.ones(1), 0.0
    for depth in range(world.blocks):
        choices = [choose(context) for context in world.contexts(depth)]
        floor += float(reach @ [choice.floor if isinstance(choice, Rewritten) else 0.0 for choice in choices])
        reach = (reach[:, None] * [chooser.target(context).limit for context in world.contexts(depth)]).ravel()
    missed = abs(divergence(pi, decoder.limit) - floor)
    checks = (at_most("floor minus the stated one, nats", missed, 1e-12), _apart(pi, decoder))
    return Case("rewrite, 3 blocks of 4", decoder, pi, checks, elsewhere=True)


def _perturbed(world: World, rewards: Table, beta: float, tau: float, pi: Floats, rng: np.random.Generator) -> Case:
    """Checks that a soft value with errors of at most eps moves the limit by at most H (beta eps)^2 / 2 nats."""
    off = {context: reward + 0.2 * (float(rng.random()) - reward) for context, reward in rewards.items()}
    tilts = {context: 1 + math.expm1(beta) * reward for context, reward in off.items()}
    decoder = Decoder(world, Chooser(world, tilts).switching(off, tau))
    error = max(abs(math.log(tilts[c] / tilt)) for c, tilt in world.tilts(beta).items())  # beta eps
    share = divergence(pi, decoder.limit) / (world.blocks * error**2 / 2)
    return Case("perturbed reward, 3 blocks of 4", decoder, pi, (
        at_most("floor / its bound H (beta eps)^2 / 2", share, 1.0), _apart(pi, decoder)
    ), elsewhere=True)  # fmt: skip


def _apart(pi: Floats, decoder: Decoder) -> Check:
    """Checks that the limit differs from pi* by more than rounding."""
    floor = divergence(pi, decoder.limit)
    return Check("floor, nats", floor, "above 0.001", floor > 1e-3)


def bound(seed: int) -> dict[str, Any]:
    """Largest KL / bound on random one-block models of 2 to 12 steps, from nearly uniform to very uneven ones."""
    rng = np.random.default_rng([seed, MODELS])
    largest = 0.0
    for _ in range(MODELS):
        size = int(rng.integers(2, 13))
        logits = rng.uniform(0.05, 3) * rng.normal(size=size)
        draws = Draws(np.exp(logits) / np.exp(logits).sum(), np.exp(rng.uniform(0.1, 16) * rng.random(size)))
        for n in (1, 2, 3, 8, 64, 1024):
            excess = draws.excess(n)
            largest = max(largest, float(draws.limit @ (excess - np.log1p(excess))) / draws.bound(n))
    check = at_most("largest KL / bound", largest, 1.0)
    return {"models": MODELS, "checks": [asdict(check)], "passed": check.passed}


def _slope(values: list[float]) -> float:
    """Log-log slope against n, by least squares over the last `TAIL` values."""
    return float(np.polyfit(np.log(NS[-TAIL:]), np.log(values[-TAIL:]), 1)[0])
