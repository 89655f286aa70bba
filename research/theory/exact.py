"""The law of one chosen step on a finite set of steps, without sampling.

`n` steps are drawn from the writer and one is kept with probability proportional to its weight.
With `limit` proportional to writer times weight, `omega = limit / writer`, and 1 / S written as
the integral of exp(-t S) over t > 0, the law of the kept step is, for every n,

    law(y) = limit(y) * int_0^inf exp(-u omega(y) / n) phi(u / n)^(n-1) du,   phi(s) = E_writer exp(-s omega)

What is integrated here is the difference from exp(-u), whose integral is 1: so the *excess*
`law / limit - 1` keeps its digits where it is 1e-5 and its square is the divergence. With
u = e^v the integrand is analytic in a strip and falls on both sides, and the trapezoidal rule
converges exponentially (Trefethen and Weideman, SIAM Review 56, 2014).

The statements are ours, with their marks in docs/theory.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SPACING = 1 / 8
"""Of the nodes in v; halving it moves no excess by more than rounding (tested)."""
_FIRST = -40.0
"""Lowest v: what is left out below is less than e^-40."""


@dataclass(frozen=True)
class Draws:
    """n draws from `writer` [S], one kept with probability proportional to `weights` [S]; all > 0.

    This and `Rewritten` have: `limit` [S], the law of the kept step as n grows; `excess(n)` [S],
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
    """The same with a Poisson number of draws of mean n, given that there is one."""

    def excess(self, n: int) -> Floats:
        u = self._nodes(n)
        s = u / n
        mass = n * (self.writer @ np.expm1(np.outer(-self.omega, s)))
        none = math.exp(-n)  # the probability of no draw
        return (_integral(np.outer(-self.omega, s) + mass, u) + none) / -math.expm1(-n)

    def bound(self, n: int) -> float:
        """The other draws of a Poisson number are n on average, not n - 1."""
        return math.log1p((1 + self.chi2) / n) + math.log1p(-math.exp(-n))


def _integral(exponent: Floats, u: Floats) -> Floats:
    """[S] integral over u of exp(exponent [S, nodes]) - exp(-u)."""
    gap = exponent + u
    difference = np.sign(gap) * np.exp(np.maximum(exponent, -u)) * -np.expm1(-np.abs(gap))
    return difference @ u * _SPACING  # du = u dv


@dataclass(frozen=True)
class Rewritten:
    """A step chosen among the draft's; unless it is `kept` [S], one chosen among the target's takes its place.

    Both choices have the same limit, of which `rho` is not kept.
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
        """KL(pi* || limit) in nats, pi* the limit of both choices."""
        return -(1 - self.rho) * math.log1p(self.rho) - (self.rho * math.log(self.rho) if self.rho else 0.0)

    def excess(self, n: int) -> Floats:
        draft, target = self.draft.excess(n), self.target.excess(n)
        lost = self.draft.limit[~self.kept] @ draft[~self.kept]
        return self._combined(draft, target) + lost * target / (self.kept + self.rho)

    def bound(self, n: int) -> float:
        """Of the pair of choices, by the chain rule; what becomes of the pair is no farther off."""
        return self.draft.bound(n) + self.rho * self.target.bound(n)

    def _combined(self, draft: Floats, target: Floats) -> Floats:
        """[S] excess to first order, from the excesses of both choices."""
        lost = self.draft.limit[~self.kept] @ draft[~self.kept]
        return (self.kept * draft + lost + self.rho * target) / (self.kept + self.rho)


Selection = Draws | Rewritten
"""How one step of a decoder is chosen at one context, over S steps."""
