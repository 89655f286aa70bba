"""The law of one chosen step on a finite set of steps, without sampling.

`n` steps are drawn from the writer and one is kept with probability proportional to its weight.
Let `limit` be proportional to writer times weight, and `omega = limit / writer`. Writing 1 / S as
the integral of exp(-t S) over t > 0, the law of the kept step is, for every n,

    law(y) = limit(y) * int_0^inf exp(-u omega(y) / n) phi(u / n)^(n-1) du,   phi(s) = E_writer exp(-s omega)

The code integrates the difference from exp(-u), whose integral is 1. So the *excess*
`law / limit - 1` keeps its digits even where it is 1e-5, and the divergence is of the order of its
square. With u = e^v the integrand is analytic in a strip and falls on both sides, so the trapezoidal
rule converges exponentially (Trefethen and Weideman, SIAM Review 56, 2014).

The statements are ours; docs/theory.md marks each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SPACING = 1 / 8
"""Distance of the nodes in v; halving it changes no excess by more than rounding (tested)."""
_FIRST = -40.0
"""Lowest v: the part of the integral below it is less than e^-40."""


@dataclass(frozen=True)
class Draws:
    """n draws from `writer` [S], one kept with probability proportional to `weights` [S]; all > 0.

    `Draws` and `Rewritten` both have: `limit` [S], the law of the kept step as n grows; `excess(n)` [S],
    the law for n candidates divided by `limit`, minus 1; `drift` [S], the limit of
    `n * excess(n)`; `bound(n)`, an upper bound of KL(limit || law) in nats.
    """

    writer: Floats
    weights: Floats

    @cached_property
    def limit(self) -> Floats:
        mass = self.writer * self.weights
        return mass / mass.sum()

    @cached_property
    def omega(self) -> Floats:
        """[S] `limit / writer`; its mean under the writer is 1."""
        return self.limit / self.writer

    @property
    def chi2(self) -> float:
        """chi2(limit || writer), the variance of omega under the writer."""
        return float(self.writer @ np.square(self.omega - 1))

    @property
    def drift(self) -> Floats:
        return 1 + self.chi2 - self.omega

    def bound(self, n: int) -> float:
        return math.log1p(self.chi2 / n)

    def excess(self, n: int) -> Floats:
        u = self._nodes(n)
        s, least = u / n, self.omega.min()
        log_phi = -s * least + np.log1p(self.writer @ np.expm1(np.outer(least - self.omega, s)))
        return _integral(np.outer(-self.omega, s) + (n - 1) * log_phi, u)

    def _nodes(self, n: float) -> Floats:
        """Nodes u, up to where exp(-u omega / n) has fallen to e^-50 for every step."""
        return np.exp(np.arange(_FIRST, math.log(50 * n / min(1.0, self.omega.min())) + _SPACING, _SPACING))


@dataclass(frozen=True)
class PoissonDraws(Draws):
    """The same with a Poisson number of draws of mean n, conditioned on at least one draw."""

    def excess(self, n: int) -> Floats:
        u = self._nodes(n)
        s = u / n
        mass = n * (self.writer @ np.expm1(np.outer(-self.omega, s)))
        none = math.exp(-n)  # the probability of no draw
        return (_integral(np.outer(-self.omega, s) + mass, u) + none) / -math.expm1(-n)

    def bound(self, n: int) -> float:
        """Beside a given draw there are n others on average, not n - 1."""
        return math.log1p((1 + self.chi2) / n) + math.log1p(-math.exp(-n))


def _integral(exponent: Floats, u: Floats) -> Floats:
    """[S] integral over u of exp(exponent) - exp(-u), for `exponent` [S, nodes] at the nodes `u`."""
    gap = exponent + u
    difference = np.sign(gap) * np.exp(np.maximum(exponent, -u)) * -np.expm1(-np.abs(gap))
    return difference @ u * _SPACING  # du = u dv


@dataclass(frozen=True)
class Rewritten:
    """A step chosen among the draft's; unless it is `kept` [S], one chosen among the target's replaces it.

    Both choices have the same limit; `rho` is the probability under it of a step that is not kept.
    """

    draft: Draws
    target: Draws
    kept: NDArray[np.bool_]

    @property
    def rho(self) -> float:
        return float(self.draft.limit[~self.kept].sum())

    @cached_property
    def limit(self) -> Floats:
        return self.draft.limit * (self.kept + self.rho)

    @property
    def drift(self) -> Floats:
        return self._combined(self.draft.drift, self.target.drift)

    @property
    def floor(self) -> float:
        """KL(pi* || limit) in nats, where pi* is the limit of both choices."""
        return -(1 - self.rho) * math.log1p(self.rho) - (self.rho * math.log(self.rho) if self.rho else 0.0)

    def excess(self, n: int) -> Floats:
        draft, target = self.draft.excess(n), self.target.excess(n)
        lost = self.draft.limit[~self.kept] @ draft[~self.kept]
        return self._combined(draft, target) + lost * target / (self.kept + self.rho)

    def bound(self, n: int) -> float:
        """Bound for the pair of choices, by the chain rule. The kept step is a function of the pair, so its KL is
        no larger (data processing)."""
        return self.draft.bound(n) + self.rho * self.target.bound(n)

    def _combined(self, draft: Floats, target: Floats) -> Floats:
        """[S] excess of the kept step to first order, from the excesses of both choices."""
        lost = self.draft.limit[~self.kept] @ draft[~self.kept]
        return (self.kept * draft + lost + self.rho * target) / (self.kept + self.rho)


Selection = Draws | Rewritten
"""How a decoder chooses one of S steps at one context."""
