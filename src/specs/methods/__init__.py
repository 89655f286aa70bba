"""Methods: generators that yield requests and receive replies, without I/O (docs/method.md)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from typing import Any, Protocol, cast

from specs.core.keys import Key
from specs.types import (
    Accept,
    Branch,
    Capability,
    Finish,
    Glimpse,
    Probe,
    Propose,
    Role,
    SamplingParams,
    Score,
    SelectTrace,
)

Flow = Generator[Propose | Score | Glimpse | Probe | Accept | Branch | SelectTrace, Any, Finish]
"""A running method: it yields requests, is sent their replies, and returns the finish reason.

The reply to `Propose` and to `Score` is a `Proposal`; to `Accept` the finish reason if the solve is over, else None; to
`Branch` a tuple with a finish reason or None for each kept candidate; to `Glimpse` an entropy; to `Probe` a `Probed`;
to `SelectTrace` None.
"""


class Method(Protocol):
    """A configured method.

    Attributes:
        name: its name on the command line.
        roles: the models that it needs.

    An attribute `whole_solutions` that is true says that it chooses among whole solutions; models that think cannot use
    it.
    """

    @property
    def name(self) -> str: ...
    @property
    def roles(self) -> frozenset[Role]: ...
    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        """The requests that solve `question`; `key` is for the method's own draws (`Key.for_method`)."""
        ...


def candidates_of(method: Method) -> int:
    """Candidates a step: the method's `n`, or 1 if it has no such option."""
    return settings_of(method).get("n", 1)


def settings_of(method: Method) -> dict[str, Any]:
    """Options of a method by name, as traces record them: its `settings` if it has that attribute, else its fields."""
    own: dict[str, Any] | None = getattr(method, "settings", None)
    return asdict(cast(Any, method)) if own is None else own


def needs_of(method: Method) -> frozenset[Capability]:
    """What the method's requests ask of the writers besides samples, if it says so in an attribute `needs`.

    It decides whether the models will do before anything is sampled; each request is checked as well.
    """
    return getattr(method, "needs", frozenset())
