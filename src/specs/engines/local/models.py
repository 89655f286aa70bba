"""Models in this process: a backend, its text, and what a solve opens on them."""

from __future__ import annotations

from dataclasses import dataclass

from specs.engines.inputs import fitting
from specs.engines.local.backend import Backend
from specs.engines.local.session import PolicySession, RewardSession
from specs.engines.protocol import Watch
from specs.engines.text import Text
from specs.rewards.formats import Family
from specs.types import ALONE, Chat


@dataclass(frozen=True)
class LocalPolicy:
    """A language model in this process.

    `system` is the system prompt that the model writes, and is scored, under; None for none.
    """

    backend: Backend
    text: Text
    system: str | None = None

    @property
    def raw(self) -> bool:
        return False

    @property
    def by_token(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def parameters(self) -> int:
        return self.backend.parameters

    @property
    def fingerprint(self) -> str:
        return self.text.fingerprint

    def prompt(self, question: str, chat: Chat = ALONE) -> tuple[int, ...]:
        ids = self.text.prompt(question, self.system, chat=chat)
        return fitting(ids, self.name, self.backend.context, self.backend.vocabulary)

    def open(self, prompt_ids: tuple[int, ...], fingerprints: frozenset[str], watch: Watch) -> PolicySession:
        return PolicySession(self.backend, self.text, prompt_ids, fingerprints, watch)


@dataclass(frozen=True)
class LocalReward:
    """A process reward model in this process, read in its own format; `why` says how that was told."""

    backend: Backend
    form: Family
    why: str

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def parameters(self) -> int:
        return self.backend.parameters

    def prompt(self, question: str) -> tuple[int, ...]:
        return fitting(self.form.prompt(question), self.name, self.backend.context, self.backend.vocabulary)

    def open(self, prompt_ids: tuple[int, ...], watch: Watch) -> RewardSession:
        return RewardSession(self.backend, self.form, prompt_ids)
