"""What a solve needs from an engine: models, and the sessions that they open.

A model is loaded once and keeps no state of a solve. A session is one model in one solve and owns its cache.
Engines implement these protocols (`specs.engines.local`, `specs.engines.vllm`); methods never see them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from specs.core.keys import Key
from specs.core.ledger import Query
from specs.engines.overlap import PolicyOverlap, RewardOverlap, TokenProposer
from specs.errors import InputError, SpecsError
from specs.methods import Method, needs_of
from specs.methods.token_speculation import WithSpeculation
from specs.types import (
    NO_CONTEXT,
    Candidate,
    Capability,
    Chat,
    End,
    Finish,
    Judge,
    Role,
    SamplingParams,
    Thinking,
    Trace,
)
from specs.types.checks import shown


class Stopped(SpecsError):
    """A solve must end now, with this reason. It never leaves the driver."""

    def __init__(self, reason: Finish) -> None:
        super().__init__(str(reason))
        self.reason = reason


CheckStop = Callable[[], None]
"""Sessions call it regularly while they work; it raises `Stopped` when the solve must end."""


def never_stop() -> None:
    """A `CheckStop` that never raises."""


CandidateGroup = tuple[Trace, Sequence[Candidate]]
"""A trace and candidates that continue it. Sessions answer with flat lists: group by group, candidate by candidate."""


@dataclass(slots=True)
class TokenCounts:
    """Token positions of a session so far; `specs.types.Usage` explains them."""

    prompt: int = 0
    processed: int = 0
    cached: int = 0
    speculated: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled step.

    Attributes:
        log_probability: nats under the sampling distribution; None if not asked for, or if only `score` gives it.
        log_p_by_token: nats of each token under the `score_law` of `PolicySession.sample`; None without one.
    """

    token_ids: tuple[int, ...]
    text: str
    end: End
    log_probability: float | None
    log_p_by_token: tuple[float, ...] | None = None


class PolicySession(Protocol):
    """A language model in one solve.

    Attributes:
        through_text: whether the session re-tokenises traces because the writers' vocabularies differ.
    """

    through_text: bool

    @property
    def counts(self) -> TokenCounts | None:
        """None if the engine does not know what the model computes."""
        ...

    @property
    def overlap(self) -> PolicyOverlap | None:
        """None if the engine cannot overlap anything."""
        ...

    def sample(
        self,
        traces: Sequence[Trace],
        n: int,
        sampling: SamplingParams,
        keys: Sequence[Key],
        keep: Sequence[Trace] = (),
        proposer: TokenProposer | None = None,
        score_law: SamplingParams | None = None,
        log_probabilities: bool = True,
    ) -> Sequence[Sample]:
        """Draw `n` candidates of each trace, each trace with its own key.

        Args:
            keep: further traces whose computed tokens should stay in the cache.
            proposer: proposes tokens for the candidates.
            score_law: a distribution under which samples also give the log-probability of each token.
            log_probabilities: whether samples need `Sample.log_probability`.
        """
        ...

    def score(
        self, groups: Sequence[CandidateGroup], sampling: SamplingParams, unread: Sequence[CandidateGroup] = ()
    ) -> list[list[float]]:
        """Return the log-probability of each token of each candidate, in nats, end-of-text included.

        The tokens are those of this session's model. A candidate that it cannot write or read gets one entry, -inf.

        Args:
            unread: candidates of the same traces that the model shall not read. Their lists come last, and their sums
                are upper bounds: they hold the first tokens only, as far as reading others has shown them.
        """
        ...

    def judge(self, groups: Sequence[CandidateGroup], judge: Judge) -> list[float]:
        """Return each candidate's rating in [0, 1]."""
        ...

    def query(self, groups: Sequence[CandidateGroup], judge: Judge) -> Query:
        """Return the tokens that `judge` processes, for the ledger."""
        ...

    def entropies(self, traces: Sequence[Trace], top: int) -> list[float]:
        """Return the entropy of each trace's next token, in nats, as `specs.types.Glimpse` defines it."""
        ...


class RewardSession(Protocol):
    """A process reward model (PRM) in one solve."""

    @property
    def counts(self) -> TokenCounts | None:
        """None if the engine does not know what the model computes."""
        ...

    @property
    def overlap(self) -> RewardOverlap | None:
        """None if the engine cannot overlap anything."""
        ...

    def score(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> list[float]:
        """Return each candidate's reward in [0, 1]; `delimiter` separates the steps of the solve."""
        ...

    def query(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> Query:
        """Return the tokens that `score` processes, for the ledger."""
        ...


class LanguageModel(Protocol):
    """A language model on an engine.

    Attributes:
        fingerprint: equal exactly for equal vocabularies.
        raw: whether the engine returns log-probabilities at temperature 1 over all tokens, however it samples.
        in_process: whether its sessions compute in this process: more solves than cores only slow each other down.
        parameters: None if the engine does not know.
        lacks: what its sessions cannot do, each with the reason and the remedy for an error message.
        thinking: how it marks its thinking; None if it does not think.
    """

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> int | None: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def raw(self) -> bool: ...
    @property
    def in_process(self) -> bool: ...
    @property
    def lacks(self) -> Mapping[Capability, str]: ...
    @property
    def thinking(self) -> Thinking | None: ...
    def prompt(self, question: str, chat: Chat = NO_CONTEXT) -> tuple[int, ...]: ...
    def encode(self, text: str) -> tuple[int, ...]:
        """Tokens of text that this package wrote."""
        ...

    def open(
        self, prompt_ids: tuple[int, ...], fingerprints: frozenset[str], check_stop: CheckStop
    ) -> PolicySession: ...


class RewardModel(Protocol):
    """A process reward model on an engine; for `parameters` see `LanguageModel`."""

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> int | None: ...
    def prompt(self, question: str) -> tuple[int, ...]: ...
    def open(self, prompt_ids: tuple[int, ...], check_stop: CheckStop) -> RewardSession: ...


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a solve by role; a method may need only some of them.

    Attributes:
        scope: one sentence on the only questions that these models can solve; None if there is no such bound.
        caveat: says why a question is beyond these models, or None if it sees no reason; None if nothing is known.

    Raises:
        InputError: what was given in a role is no model.
    """

    draft: LanguageModel | None = None
    target: LanguageModel | None = None
    prm: RewardModel | None = None
    scope: str | None = None
    caveat: Callable[[str], str | None] | None = None

    def __post_init__(self) -> None:
        for role in Role:
            model = getattr(self, role)
            if model is not None and not hasattr(model, "open"):
                raise InputError(f"{role} is {shown(model)}; use load for names, adapt for objects of your own")

    def notes(self, question: str) -> tuple[str, ...]:
        """What the reader of an answer to this question should know."""
        return () if self.caveat is None or (said := self.caveat(question)) is None else (said,)

    def writer(self, role: Role) -> LanguageModel | None:
        """The model that writes in this role; None for the PRM's role and for missing models."""
        return {Role.DRAFT: self.draft, Role.TARGET: self.target, Role.PRM: None}[role]

    def prompt(self, role: Role, question: str, chat: Chat = NO_CONTEXT) -> tuple[int, ...]:
        """Token ids that the model of a role reads before the first step.

        Raises:
            InputError: the prompt is longer than the model's context, or there is no such model.
            ModelError: the chat template refuses the conversation.
        """
        if role is Role.PRM and self.prm is not None:
            return self.prm.prompt(chat.as_single_question(question))
        if (writer := self.writer(role)) is None:
            raise InputError(f"there is no {role} model; give one as {role}")
        return writer.prompt(question, chat)

    def require(self, method: Method, sampling: SamplingParams) -> None:
        """Raise `InputError` unless every role of the method has a model that can do what the method needs."""
        self.check_needs(method, needs_of(method))
        for role in method.roles:
            if (self.prm if role is Role.PRM else self.writer(role)) is None:
                raise InputError(f"method {method.name} needs a {role} model; give one as {role}")
        if method.roles >= {Role.DRAFT, Role.TARGET}:
            self.check_law(sampling)
        if isinstance(method, WithSpeculation):
            writers = [model for model in (self.draft, self.target) if model is not None]
            if len({model.fingerprint for model in writers}) > 1:
                raise InputError("+speculation needs a draft and a target with the same vocabulary; leave it out")

    def check_needs(self, method: Method, needs: frozenset[Capability]) -> None:
        """Raise `InputError` if a writer of the method cannot do what is needed of it."""
        of_one = {Capability.RATINGS: (Role.TARGET,), Capability.ENTROPIES: (Role.DRAFT,)}
        for need in sorted(needs):
            for role in of_one.get(need, (Role.DRAFT, Role.TARGET)):
                model = self.writer(role) if role in method.roles else None
                if model is not None and need in model.lacks:
                    raise InputError(f"method {method.name} needs {need}: {role} {model.name} {model.lacks[need]}")

    def check_law(self, sampling: SamplingParams) -> None:
        """Raise `InputError` unless draft and target give log-probabilities of the same distribution, if both do."""
        laws = ((self.draft, sampling), (self.target, sampling.scored))
        writers = [(m, law) for m, law in laws if m is not None and Capability.LOG_PROBABILITIES not in m.lacks]
        raw = [model.name for model, law in writers if model.raw and not law.neutral]
        exact = [model.name for model, law in writers if not model.raw or law.neutral]
        if raw and exact:
            raise InputError(
                f"{raw[0]} gives log-probabilities at temperature 1 only and {exact[0]} at {sampling.temperature:g}, "
                "so their ratio means nothing; sample at temperature 1 without filters, or see docs/engines.md"
            )

    def inexact(self, sampling: SamplingParams) -> bool:
        """Whether some model's log-probabilities belong to another distribution than methods compare."""
        laws = ((self.draft, sampling), (self.target, sampling.scored))
        return any(model is not None and model.raw and not law.neutral for model, law in laws)
