"""Models behind Python classes, and `adapt`, which makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from specs.engines.adapter.interface import ScoringModel, TextModel, TextRewards, check_object
from specs.engines.adapter.sessions import AdaptedPolicySession, AdaptedRewardSession
from specs.engines.protocol import CheckStop, LanguageModel, Models, RewardModel
from specs.errors import InputError
from specs.types import NO_CONTEXT, Capability, Chat


def adapt(
    draft: TextModel | LanguageModel | None = None,
    target: TextModel | LanguageModel | None = None,
    prm: TextRewards | RewardModel | None = None,
) -> Models:
    """Make models of objects of your own: a server's client, a sampler, a heuristic reward.

        class Guess:
            def sample(self, question, solution, n, sampling, seed):
                return [f"The answer is \\\\boxed{{{(seed + k) % 10}}}." for k in range(n)]

        solve("...", adapt(target=Guess()), "majority")

    Args:
        draft, target: objects with a method `sample` and perhaps `score`; None for no model. Without `score` a method
            that needs log-probabilities, such as `specs`, is refused.
        prm: an object with a method `rewards`; None for none.

    `specs.engines.adapter.interface` says what the methods take and return; each may be `async def`. A model that is
    loaded already, such as `load(None, None, "bundled").prm`, stays as it is.

    Raises:
        InputError: an object lacks a method, or a method does not take what it is given.
    """
    return Models(_writer("draft", draft), _writer("target", target), _rewards("prm", prm))


def _writer(role: str, given: TextModel | LanguageModel | None) -> LanguageModel | None:
    if given is None or (hasattr(given, "open") and hasattr(given, "fingerprint")):
        return cast(LanguageModel | None, given)
    check_object(role, given, "sample", "question, solution, n, sampling, seed")
    if hasattr(given, "score"):
        check_object(role, given, "score", "question, solution, steps, sampling")
    return AdaptedPolicy(cast(TextModel, given))


def _rewards(role: str, given: TextRewards | RewardModel | None) -> RewardModel | None:
    if given is None or (hasattr(given, "open") and hasattr(given, "prompt")):
        return cast(RewardModel | None, given)
    check_object(role, given, "rewards", "question, solutions")
    return AdaptedReward(cast(TextRewards, given))


class AdaptedPolicy:
    """A language model behind a class.

    Attributes:
        fingerprint: different for every object: nothing is known of its vocabulary.
        parameters: None, because nothing is known of them.
    """

    raw = False
    in_process = False
    parameters = None

    def __init__(self, model: TextModel) -> None:
        self.model, self.name = model, _name(model)
        self.fingerprint = f"{type(model).__name__} at {id(model):x}"

    @property
    def thinking(self) -> None:
        """None: the interface has no thinking."""
        return None

    @property
    def lacks(self) -> Mapping[Capability, str]:
        kind = type(self.model).__name__
        lacks = {
            Capability.TOKEN_LOG_PROBABILITIES: f"is of class {kind}, which scores steps, not tokens; use specs or gsi",
            Capability.RATINGS: f"is of class {kind}, which rates no steps; choose a method with a PRM, such as rsd",
            Capability.TOKEN_SPECULATION: f"is of class {kind}, which writes steps, not tokens; leave out +speculation",
            Capability.ENTROPIES: f"is of class {kind}, which gives no entropies of tokens; use rsd or specreason",
        }
        if isinstance(self.model, ScoringModel):
            return lacks
        why = f"is of class {kind}, which has no method score; add one, or choose beam, best-of-n, majority or rsd"
        return {**lacks, Capability.LOG_PROBABILITIES: why}

    def prompt(self, question: str, chat: Chat = NO_CONTEXT) -> tuple[int, ...]:
        """The bytes of the question.

        Raises:
            InputError: the chat has a system turn or is raw text; the class has no place for either.
        """
        if any(turn.role == "system" for turn in chat.before):
            raise InputError(f"{self.name} takes no system turn; write it into the class, or into the question")
        if not chat.template:
            raise InputError(f"{self.name} takes questions, not raw text to continue; leave out template=False")
        return _bytes(chat.as_single_question(question))

    def encode(self, text: str) -> tuple[int, ...]:
        """The bytes of the text."""
        return _bytes(text)

    def open(
        self, prompt_ids: tuple[int, ...], fingerprints: frozenset[str], check_stop: CheckStop
    ) -> AdaptedPolicySession:
        through_text = fingerprints != frozenset({self.fingerprint})
        return AdaptedPolicySession(self.model, bytes(prompt_ids).decode(), through_text, check_stop)


class AdaptedReward:
    """A process reward model behind a class; `parameters` is None, because nothing is known of them."""

    parameters = None

    def __init__(self, model: TextRewards) -> None:
        self.model, self.name = model, _name(model)

    def prompt(self, question: str) -> tuple[int, ...]:
        """The bytes of the question."""
        return _bytes(question)

    def open(self, prompt_ids: tuple[int, ...], check_stop: CheckStop) -> AdaptedRewardSession:
        return AdaptedRewardSession(self.model, bytes(prompt_ids).decode(), check_stop)


def _bytes(text: str) -> tuple[int, ...]:
    return tuple(text.encode())


def _name(model: object) -> str:
    name = getattr(model, "name", None)
    return name if isinstance(name, str) else type(model).__name__
