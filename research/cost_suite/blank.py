"""A vocabulary without language: each token is a character of its own, so no step or solve ends by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from specs.engines.local.backend import Backend
from specs.engines.local.models import LocalPolicy, LocalReward
from specs.engines.protocol import Models
from specs.rewards.families import DELIMITER, TokenClassification
from specs.types import NO_CONTEXT, Chat, Judge, Phase, Role

_FIRST = 0x20000
"""First code point of the tokens: characters from here on are no white space and have no meaning in text."""


class Blank:
    """`specs.engines.text.Text` and `specs.rewards.format.Tokens` of this vocabulary.

    Encoding a blank line gives token 0, encoding a line break token 1.
    """

    fingerprint = "blank"
    size = 0x110000 - _FIRST
    end_ids: frozenset[int] = frozenset()
    end_id = -1
    bos = None
    thinking = None

    def encode(self, text: str) -> list[int]:
        marked = text.replace(DELIMITER, chr(_FIRST)).replace("\n", chr(_FIRST + 1))
        return [ord(character) - _FIRST for character in marked]

    def encode_plain(self, text: str, before: str = "", after: str = "") -> list[int]:
        return self.encode(before + text + after)

    def piece(self, token: int) -> bytes:
        return self.spelling(token).encode()

    def spelling(self, token: int) -> str:
        return chr(_FIRST + token)

    def prompt(
        self, question: str, system: str | None = None, generation: bool = True, chat: Chat = NO_CONTEXT
    ) -> list[int]:
        return self.encode(question)

    def turns(self) -> tuple[str, str, str]:
        raise NotImplementedError("there are no turns")

    def labelled(self, before: str, labels: Sequence[str]) -> tuple[list[int], list[int]]:
        raise NotImplementedError("there are no labels")

    def judgement(self, judge: Judge, phase: Phase = Phase.ANSWER) -> tuple[list[int], list[int]]:
        raise NotImplementedError("there is nothing to judge")


def question(tokens: int, seed: int = 0) -> str:
    """A question of `tokens` random tokens."""
    ids = np.random.default_rng(seed).integers(2, 700, tokens)
    return "".join(map(Blank().spelling, ids.tolist()))


def blank_models(backends: dict[Role, Backend]) -> Models:
    """Models that solve in this vocabulary, with a given backend for each role."""
    text = Blank()
    return Models(
        draft=LocalPolicy(backends[Role.DRAFT], text),
        target=LocalPolicy(backends[Role.TARGET], text),
        prm=LocalReward(backends[Role.PRM], TokenClassification(text), "random weights"),
    )
