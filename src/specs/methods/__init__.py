"""Methods: generators that yield requests and receive replies; no I/O (docs/method.md)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from typing import Any, Protocol, cast

from specs.core.keys import Key
from specs.types import Accept, Branch, Finish, Propose, Role, SamplingParams, SelectTrace

Flow = Generator[Propose | Accept | Branch | SelectTrace, Any, Finish]
"""Yields requests. `Propose` is answered by a `Proposal`, `Accept` by the finish
reason if the solve is over, else None; `Branch` by one such reason or None for each kept
candidate; `SelectTrace` by None."""


class Method(Protocol):
    """A configured method.

    Attributes:
        name: as on the command line.
        roles: models that it needs.
    """

    @property
    def name(self) -> str: ...
    @property
    def roles(self) -> frozenset[Role]: ...
    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow: ...


def candidates_of(method: Method) -> int:
    """Candidates that a method asks for at a time: its `n`, or 1."""
    return settings_of(method).get("n", 1)


def settings_of(method: Method) -> dict[str, Any]:
    """Options of a method, for the record: its fields, or its `settings` if it has them."""
    own: dict[str, Any] | None = getattr(method, "settings", None)
    return asdict(cast(Any, method)) if own is None else own
