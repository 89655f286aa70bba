"""Token-level speculation: the draft proposes tokens of the target's steps, the target checks several in one pass.

Speculative decoding (Leviathan et al., arXiv 2211.17192; Chen et al., arXiv 2302.01318) under a
method's steps: `target+speculation`, `beam+speculation`, and `specs+speculation`, whose rewritten
steps it makes faster. In fp32 it changes no token; in half precision it changes no more than rounding does,
since a pass over more tokens rounds differently. Instead of accepting and rejecting, both models draw by
inversion from the same uniform, and a proposed token stands where the draws agree. They agree with
probability `sum over tokens of the overlap of their intervals` in [0, 1 - TV(p, q)], TV the total variation
distance; rejection sampling reaches 1 - TV (docs/performance.md has both on the bundled pair).

Model calls a step: of the method, and where the target writes, passes of the draft beside.
"""

from __future__ import annotations

from dataclasses import make_dataclass, replace
from functools import cache
from inspect import getattr_static
from typing import Any

from specs.core.keys import Key
from specs.methods import Flow
from specs.types import Law, Propose, Role, Rollout

TOKENS = 8
"""Proposed at a time unless the user says otherwise."""


@cache  # made when first asked for: a dozen classes would cost every start 10 ms
def speculating(kind: type[Any]) -> type[Any]:
    """The methods of class `kind` with one more option, `speculate`: tokens that the draft proposes at a time, >= 1."""

    def check(self: Any) -> None:
        if own := getattr(kind, "__post_init__", None):
            own(self)
        if self.speculate < 1:
            raise ValueError(f"speculate is a number of tokens, at least 1, not {self.speculate}")

    def solve(self: Any, question: str, law: Law, key: Key, *schedule: Any) -> Flow:
        return _speculated(kind.solve(self, question, law, key, *schedule), self.speculate)

    def of_kind(self: Any, name: str) -> Any:
        own = getattr_static(kind, name)
        return own.__get__(self) if isinstance(own, property) else own

    namespace = {
        "__doc__": f"{kind.__name__}, its target steps written with speculation.",
        "__post_init__": check,
        "solve": solve,
        "name": property(lambda self: f"{of_kind(self, 'name')}+speculation"),
        "roles": property(lambda self: of_kind(self, "roles") | {Role.DRAFT}),
    }
    return make_dataclass(
        f"Speculating{kind.__name__}", [("speculate", int, TOKENS)], bases=(kind,), namespace=namespace, frozen=True
    )


def _speculated(flow: Flow, tokens: int) -> Flow:
    """The same requests; those to write as the target say how many tokens are proposed at a time."""
    reply: Any = None
    while True:
        try:
            request = flow.send(reply)
        except StopIteration as stop:
            return stop.value
        if isinstance(request, Propose | Rollout) and request.writer is Role.TARGET:
            request = replace(request, speculate=tokens)
        reply = yield request
