"""What the driver asks of an engine: sessions that sample and score, and the models that open them.

A model is loaded once and keeps nothing of a solve; a session is one model in one solve and holds
its cache. Engines implement these protocols (`specs.engines`); methods never see them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from specs.core.keys import Key
from specs.core.ledger import Ask
from specs.errors import InputError, SpecsError
from specs.methods import Method
from specs.methods.speculation import WithSpeculation
from specs.types import ALONE, Candidate, Chat, End, Finish, Judge, Law, Role, Trace


class Stopped(SpecsError):
    """A solve must end now, with this reason. It never leaves the driver."""

    def __init__(self, reason: Finish) -> None:
        super().__init__(str(reason))
        self.reason = reason


Watch = Callable[[], None]
"""Called now and then while a session works; raises `Stopped` when the solve must end."""


def unwatched() -> None:
    """A watch that ends nothing."""


Group = tuple[Trace, Sequence[Candidate]]
"""A trace and candidates that continue it. Replies are flat: group by group, candidate by candidate."""


@dataclass(slots=True)
class Counts:
    """Token positions of a session so far (`specs.types.Usage` has the meanings)."""

    prompt: int = 0
    processed: int = 0
    cached: int = 0
    speculated: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled step; `log_probability` in nats under the law it was drawn from, None of one that was cut off."""

    token_ids: tuple[int, ...]
    text: str
    end: End
    log_probability: float | None


Closed = Callable[[int, Sample], None]
"""Told of each candidate as it closes, in whatever thread: which of the traces it continues, and the candidate."""


def unheard(trace_idx: int, sample: Sample) -> None:
    """A `Closed` that does nothing."""


class Ahead(Protocol):
    """A step that is being sampled before anyone is sure to ask for it; taken or dropped before the next call.

    Attributes:
        started, ended: on the clock of `time.perf_counter`; `ended` is None while it runs.
    """

    started: float
    ended: float | None

    def take(self, closed: Closed) -> Sequence[Sample]:
        """What `sample` would have returned."""
        ...

    def drop(self) -> None:
        """End it; the token positions that it has cost were speculated."""
        ...


class Guesses(Protocol):
    """Tokens that a draft proposes while another model writes candidates.

    Attributes:
        begun: whether it was asked at all.
    """

    begun: bool

    def after(self, drawn: Mapping[int, Sequence[int]]) -> Mapping[int, Sequence[int]]:
        """By candidate: what it may go on with behind the tokens that it has drawn."""
        ...

    def close(self) -> None:
        """The step is written."""
        ...


class PolicySession(Protocol):
    """A language model in one solve.

    `warm` and `begin` start work whose answer will be asked for, and return its future; `ahead` starts
    some that may be. Engines that cannot work on it beside other calls return None, and from `guesses`
    those that cannot propose tokens.
    """

    through_text: bool

    @property
    def counts(self) -> Counts: ...
    def sample(
        self,
        traces: Sequence[Trace],
        n: int,
        law: Law,
        keys: Sequence[Key],
        keep: Sequence[Trace] = (),
        closed: Closed = unheard,
        guesses: Guesses | None = None,
    ) -> Sequence[Sample]: ...
    def guesses(self, traces: Sequence[Trace], n: int, law: Law, keys: Sequence[Key], tokens: int) -> Guesses | None:
        """For a writer that samples just this: guesses of `tokens` tokens at a time."""
        ...

    def ahead(self, trace: Trace, beside: Sequence[Trace], n: int, law: Law, key: Key) -> Ahead | None:
        """Begin to sample a step of `trace`, while traces `beside` may be gone on with instead."""
        ...

    def warm(self, trace: Trace) -> Future[Any] | None: ...
    def begin(self, trace: Trace, candidate: Candidate, law: Law, judge: Judge | None) -> Future[Any] | None: ...
    def log_probabilities(self, groups: Sequence[Group], law: Law) -> list[float]: ...
    def ratings(self, groups: Sequence[Group], judge: Judge) -> list[float]: ...
    def ask(self, groups: Sequence[Group], judge: Judge) -> Ask: ...


class RewardSession(Protocol):
    """A process reward model in one solve; `warm` (on the prompt) and `begin` as for `PolicySession`."""

    @property
    def counts(self) -> Counts: ...
    def warm(self) -> Future[Any] | None: ...
    def begin(self, trace: Trace, candidate: Candidate, delimiter: str | None) -> Future[Any] | None: ...
    def rewards(self, groups: Sequence[Group], delimiter: str | None) -> list[float]: ...
    def ask(self, groups: Sequence[Group], delimiter: str | None) -> Ask: ...


class Policy(Protocol):
    """A language model on an engine.

    Attributes:
        fingerprint: equal exactly for equal vocabularies.
        raw: whether its log-probabilities are at temperature 1 and over all tokens, whatever law it samples under.
        by_token: whether its sessions go on token by token in this process: they can propose tokens, sample
            with tokens proposed, and cut stragglers off.
    """

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def raw(self) -> bool: ...
    @property
    def by_token(self) -> bool: ...
    def prompt(self, question: str, chat: Chat = ALONE) -> tuple[int, ...]: ...
    def open(self, prompt_ids: tuple[int, ...], fingerprints: frozenset[str], watch: Watch) -> PolicySession: ...


class RewardModel(Protocol):
    """A process reward model on an engine."""

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> int: ...
    def prompt(self, question: str) -> tuple[int, ...]: ...
    def open(self, prompt_ids: tuple[int, ...], watch: Watch) -> RewardSession: ...


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a solve by role; a method may need only some of them."""

    draft: Policy | None = None
    target: Policy | None = None
    prm: RewardModel | None = None

    def prompt(self, role: Role, question: str, chat: Chat = ALONE) -> tuple[int, ...]:
        """What the model of a role reads before the first step.

        Raises:
            InputError: it is longer than the model has room for.
            ModelError: the chat template refuses the conversation.
        """
        if role is Role.PRM:
            assert self.prm is not None
            return self.prm.prompt(chat.told(question))
        writer = self.draft if role is Role.DRAFT else self.target
        assert writer is not None
        return writer.prompt(question, chat)

    def require(self, method: Method, law: Law) -> None:
        """Raise `InputError` unless every role of the method is filled and `check_law` agrees."""
        for role in method.roles:
            if getattr(self, role) is None:
                raise InputError(f"method {method.name} needs a {role} model; give one (--{role})")
        if method.roles >= {Role.DRAFT, Role.TARGET}:
            self.check_law(law)
        speculates = isinstance(method, WithSpeculation)
        if law.steps.enough < 1:
            if speculates:
                raise InputError("stragglers are cut without +speculation only; leave one of them out")
            self._check_cuts(method)
        if speculates:
            self._check_guesses()

    def _check_cuts(self, method: Method) -> None:
        """Raise `InputError` unless the writers go on token by token where it can be told which ones fall behind."""
        for role in method.roles - {Role.PRM}:
            if not (model := getattr(self, role)).by_token:
                raise InputError(f"{model.name} is on a server, where no stragglers are cut; leave out --enough")

    def _check_guesses(self) -> None:
        """Raise `InputError` unless the draft can propose tokens to the target."""
        assert self.draft is not None
        assert self.target is not None
        for model in (self.draft, self.target):
            if not model.by_token:
                raise InputError(
                    f"{model.name} is on a server, whose own matter token-level speculation is "
                    "(vllm serve --speculative-config); leave out +speculation"
                )
        if self.draft.fingerprint != self.target.fingerprint:
            raise InputError("+speculation needs a draft and a target of the same vocabulary; leave it out")

    def check_law(self, law: Law) -> None:
        """Raise `InputError` unless `p` and `q` are of the same law."""
        writers = [model for model in (self.draft, self.target) if model is not None]
        raw = [model.name for model in writers if model.raw]
        exact = [model.name for model in writers if not model.raw]
        if self.inexact(law) and exact:
            raise InputError(
                f"{raw[0]} gives log-probabilities at temperature 1 only and {exact[0]} at {law.temperature:g}, so "
                "their ratio means nothing; sample at --temperature 1 without --top-p, or see docs/engines.md"
            )

    def inexact(self, law: Law) -> bool:
        """Whether a model's log-probabilities are of another law than its steps."""
        return not law.neutral and any(model is not None and model.raw for model in (self.draft, self.target))
