"""What a session can do while other calls of the solve run; `specs.engines.protocol` has the sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from specs.core.keys import Key
from specs.types import SamplingParams, Trace

if TYPE_CHECKING:
    from specs.engines.protocol import Sample


class PendingWork(Protocol):
    """Work that runs in the background; every `concurrent.futures.Future` is one."""

    def cancel(self) -> bool: ...
    def add_done_callback(self, fn: Callable[..., object], /) -> None: ...


class PrefetchedStep(Protocol):
    """A step that the engine samples before the method requests it.

    The caller takes or drops it before it calls the session again.

    Attributes:
        started, ended: times of `time.perf_counter`; `ended` is None while the engine samples.
    """

    started: float
    ended: float | None

    def take(self) -> Sequence[Sample]:
        """Return what `sample` would have returned."""
        ...

    def drop(self) -> None:
        """Stop sampling and count the token positions computed so far as speculated."""
        ...


class TokenProposer(Protocol):
    """Proposes tokens for candidates that another model is writing.

    Attributes:
        used: whether it has computed anything.
    """

    used: bool

    def propose(self, drawn: Mapping[int, Sequence[int]]) -> Mapping[int, Sequence[int]]:
        """Return, by candidate index, tokens that may follow the tokens that each candidate has drawn."""
        ...

    def close(self) -> None:
        """End the step and drop what was computed for it."""
        ...


class PolicyOverlap(Protocol):
    """Work of a language model that overlaps with other calls of the solve.

    A method returns None if the engine cannot or need not do this work now.
    """

    def prefill(self, trace: Trace) -> PendingWork | None:
        """Start to compute the prompt and the trace."""
        ...

    def prefetch(
        self, trace: Trace, alternatives: Sequence[Trace], n: int, sampling: SamplingParams, key: Key
    ) -> PrefetchedStep | None:
        """Start to sample the step after `trace`; the method may still continue one of `alternatives` instead."""
        ...

    def token_proposer(
        self,
        traces: Sequence[Trace],
        n: int,
        sampling: SamplingParams,
        keys: Sequence[Key],
        keep: Sequence[Trace],
        tokens: int,
    ) -> TokenProposer | None:
        """Return a proposer of `tokens` tokens at a time for a writer that samples with these arguments."""
        ...


class RewardOverlap(Protocol):
    """Work of a process reward model that overlaps with other calls of the solve; for None see `PolicyOverlap`."""

    def prefill(self) -> PendingWork | None:
        """Start to compute the prompt."""
        ...
