"""The vocabulary of a model: text to token ids and back, with control tokens only where they are meant."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from specs.core.text import readable
from specs.engines.chat.control import Span
from specs.errors import ModelError


class Vocabulary(ABC):
    """What both kinds of tokenizer files have in common (`HubText`, `GgufText`).

    The attributes are those of `specs.engines.text.Text`.
    """

    fingerprint: str
    size: int
    end_ids: frozenset[int]
    end_id: int

    @abstractmethod
    def piece(self, token: int) -> bytes:
        """See `Text.piece`."""

    @abstractmethod
    def spelling(self, token: int) -> str:
        """A token for people to read: its text, or its name if it adds no text."""

    @abstractmethod
    def _encode(self, text: str, written: Sequence[Span]) -> list[int]:
        """Ids of `text`; the spans in `written` never become control tokens."""

    @abstractmethod
    def _control_in(self, text: str) -> list[tuple[int, Span]]:
        """The control tokens that `text` spells, with their spans."""

    @abstractmethod
    def _start(self) -> list[int] | None:
        """The tokens that the tokenizer puts before a text; None if its file does not say."""

    def encode(self, text: str) -> list[int]:
        """See `Text.encode`."""
        return self._encode(readable(text), ())

    def encode_plain(self, text: str, before: str = "", after: str = "") -> list[int]:
        """See `Text.encode_plain`."""
        before, text, after = map(readable, (before, text, after))
        return self._encode(before + text + after, [(len(before), len(before) + len(text))])

    def labelled(self, before: str, labels: Sequence[str]) -> tuple[list[int], list[int]]:
        """Ids of `before`, and the id of each label after it.

        Raises:
            ModelError: a label is not a single token there.
        """
        whole = [self.encode(before + label) for label in labels]
        ids = [sequence[-1] for sequence in whole]
        if any(sequence[:-1] != whole[0][:-1] for sequence in whole) or len(set(ids)) < len(ids):
            raise ModelError(
                f"this vocabulary does not write each of {', '.join(labels)} as one token after {before[-20:]!r}: "
                "use a model whose vocabulary does, or a method or PRM format that needs no labels"
            )
        return whole[0][:-1], ids
