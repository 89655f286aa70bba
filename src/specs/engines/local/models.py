"""Models of this process: a backend, its vocabulary, and the sessions that they open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from specs.engines.inputs import check_size, checked_prompt
from specs.engines.local.backend import Backend
from specs.engines.local.session import LocalPolicySession, LocalRewardSession
from specs.engines.protocol import CheckStop
from specs.engines.text import Text
from specs.rewards.format import PRMFamily
from specs.types import NO_CONTEXT, Capability, Chat, Thinking


@dataclass(frozen=True)
class LocalPolicy:
    """A language model in this process.

    Attributes:
        system: the system prompt under which the model writes and scores; None for none.
    """

    backend: Backend
    text: Text
    system: str | None = None

    @property
    def raw(self) -> bool:
        return False

    @property
    def in_process(self) -> bool:
        return True

    @property
    def lacks(self) -> Mapping[Capability, str]:
        return {}

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def parameters(self) -> int:
        return self.backend.parameters

    @property
    def fingerprint(self) -> str:
        return self.text.fingerprint

    @property
    def thinking(self) -> Thinking | None:
        return self.text.thinking

    def prompt(self, question: str, chat: Chat = NO_CONTEXT) -> tuple[int, ...]:
        check_size(self.name, self.backend.context, question, chat)
        ids = self.text.prompt(question, self.system, chat=chat)
        return checked_prompt(ids, self.name, self.backend.context, self.backend.vocabulary)

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.text.encode(text))

    def open(
        self, prompt_ids: tuple[int, ...], fingerprints: frozenset[str], check_stop: CheckStop
    ) -> LocalPolicySession:
        return LocalPolicySession(self.backend, self.text, prompt_ids, fingerprints, check_stop)


@dataclass(frozen=True)
class LocalReward:
    """A process reward model in this process.

    Attributes:
        prm_format: how the model reads a trace.
        why: how the format was chosen.
    """

    backend: Backend
    prm_format: PRMFamily
    why: str

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def parameters(self) -> int:
        return self.backend.parameters

    def prompt(self, question: str) -> tuple[int, ...]:
        check_size(self.name, self.backend.context, question)
        ids = self.prm_format.prompt(question)
        return checked_prompt(ids, self.name, self.backend.context, self.backend.vocabulary)

    def open(self, prompt_ids: tuple[int, ...], check_stop: CheckStop) -> LocalRewardSession:
        return LocalRewardSession(self.backend, self.prm_format, prompt_ids)
