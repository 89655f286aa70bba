"""Token-level speculation: the draft proposes tokens of the target's steps, the target checks several in one pass.

This is speculative decoding (Leviathan et al., arXiv 2211.17192; Chen et al., arXiv 2302.01318) within
a method's steps: `target+speculation`, `beam+speculation`, and `specs+speculation`, whose rewritten
steps become faster. It changes no token, except that a draw within rounding of the border between
two tokens can fall on its other side, since a pass over more tokens rounds differently: hardly ever
in fp32, more often in half precision.

Instead of accepting and rejecting, both models draw by inversion from the same uniform, and a proposed
token stands if the draws agree. They agree with the probability that the uniform falls into the
intervals of the same token in both cumulative distributions. That is at most 1 - TV(p, q), TV being
the total variation distance; rejection sampling reaches 1 - TV. docs/performance.md measures both on
the bundled pair.

Model calls a step: those of the method, plus passes of the draft while the target writes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from specs.core.keys import Key
from specs.methods import Flow, Method, needs_of, settings_of
from specs.types import Capability, Propose, Role, SamplingParams
from specs.types.checks import at_least, check_value

TOKENS = 8
"""Tokens that the draft proposes at a time by default."""
SUFFIX = "+speculation"


@dataclass(frozen=True, slots=True)
class WithSpeculation:
    """Token-level speculation: the draft proposes tokens of the target's steps, the target checks several in one pass.

    Attributes:
        method: the method whose target steps are sped up.
        speculate: tokens that the draft proposes at a time.

    Examples:
        target+speculation:speculate=4
        specs+speculation:n=4:speculate=4
    """

    method: Method
    speculate: int = TOKENS

    def __post_init__(self) -> None:
        check_value("speculate", self.speculate, int, at_least(1))

    @property
    def name(self) -> str:
        return f"{self.method.name}{SUFFIX}"

    @property
    def whole_solutions(self) -> bool:
        return getattr(self.method, "whole_solutions", False)

    @property
    def roles(self) -> frozenset[Role]:
        return self.method.roles | {Role.DRAFT}

    @property
    def needs(self) -> frozenset[Capability]:
        return needs_of(self.method) | {Capability.TOKEN_SPECULATION}

    @property
    def settings(self) -> dict[str, Any]:
        """The options of the method and `speculate`, as traces record them."""
        return {**settings_of(self.method), "speculate": self.speculate}

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        """The method's requests, with `speculate` set in those for steps of the target."""
        flow = self.method.solve(question, sampling, key)
        reply: Any = None
        while True:
            try:
                request = flow.send(reply)
            except StopIteration as stop:
                return stop.value
            if isinstance(request, Propose) and request.writer is Role.TARGET:
                request = replace(request, speculate=self.speculate)
            reply = yield request
