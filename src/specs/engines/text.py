"""Vocabularies: a tokenizer, its chat template, and the text of each token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from specs.engines.chat.control import Guarded, Span, encoded, guarded, is_control, outside, spelling_in
from specs.engines.chat.prompts import Templated
from specs.engines.files import end_tokens_of, read_object
from specs.errors import ModelError
from specs.types import NO_CONTEXT, Chat, Judge, Phase, Thinking

if TYPE_CHECKING:
    from tokenizers import Encoding


class Text(Protocol):
    """What a session needs to know about a vocabulary."""

    fingerprint: str
    """Equal exactly for equal vocabularies."""
    size: int
    """All token ids are below this; a model's further rows are padding."""
    end_ids: frozenset[int]
    """End-of-text tokens."""
    end_id: int
    """The end-of-text token that normally ends the model's answers."""

    @property
    def thinking(self) -> Thinking | None:
        """How the model marks its thinking; None if it cannot think, or specs cannot follow its markers."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of text that a chat template or this package wrote.

        Control tokens that the text spells become control tokens; beginning-of-text is not added.
        """
        ...

    def encode_plain(self, text: str, before: str = "", after: str = "") -> list[int]:
        """Ids of `before + text + after`: `text`, from users or models, never becomes control tokens."""
        ...

    def piece(self, token: int) -> bytes:
        """Bytes that a token adds to the text; empty for special tokens."""
        ...

    def prompt(
        self, question: str, system: str | None = None, generation: bool = True, chat: Chat = NO_CONTEXT
    ) -> list[int]:
        """Ids up to the start of the answer; a system turn in `chat` replaces `system`.

        If `chat.think`, they end inside an open thinking block, even if the template leaves its opening to the model.
        """
        ...

    def judgement(self, judge: Judge, phase: Phase = Phase.ANSWER) -> tuple[list[int], list[int]]:
        """Ids of the question that follows a trace in this phase, up to the label, and the id of each label."""
        ...


def fingerprint(vocabulary: Mapping[str, int]) -> str:
    """Equal exactly for equal vocabularies, whatever kind of file they come from."""
    return hashlib.sha256(json.dumps(sorted(vocabulary.items())).encode()).hexdigest()[:16]


class HubText(Templated):
    """A Hugging Face tokenizer folder (`tokenizer.json`), read without transformers."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        from specs.engines.chat.templates import named_tokens, source_of

        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"{folder} has no tokenizer.json; save the model's fast tokenizer there")
        self._path = path
        model = read_object(path)
        with guarded(lambda reason: ModelError(f"{path} is not a tokenizer ({reason}); save or fetch it again")):
            self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        config = read_object(folder / "tokenizer_config.json")
        tokens = named_tokens(config, read_object(folder / "special_tokens_map.json"))
        source = source_of(folder, config)
        super().__init__(str(folder), source, tokens)
        if self.bos is not None and self._tokenizer.token_to_id(self.bos) is None:
            self.bos = None  # the vocabulary has no such token
        self._byte_level = "ByteLevel" in json.dumps([model.get("decoder"), model.get("pre_tokenizer")])
        added = self._tokenizer.get_added_tokens_decoder()
        self._special = {token for token, entry in added.items() if entry.special}
        self._control = {
            token: entry.content for token, entry in added.items() if is_control(entry.content, entry.special, source)
        }
        unknown = model["model"].get("unk_token")
        self._unknown = model["model"].get("unk_id") if unknown is None else self._tokenizer.token_to_id(unknown)
        self._silent = model.get("post_processor") is None
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        self.fingerprint = fingerprint(vocabulary)
        own = (self._turn_end(), self._tokenizer.token_to_id(tokens.get("eos_token", "")))
        ends = [*(token for token in own if token is not None), *sorted(end_tokens_of(folder))]
        if not ends:
            raise ModelError(f"{folder} names no end-of-text token; set eos_token_id in its config.json")
        self.end_id, self.end_ids = ends[0], frozenset(ends)
        self.size = 1 + max({*vocabulary.values(), *ends})
        self._pieces: dict[int, bytes] = {}

    def _start(self) -> list[int] | None:
        probe = encoded(self._tokenizer, "a", add_special_tokens=True)
        added = takewhile(lambda pair: pair[1], zip(probe.ids, probe.special_tokens_mask, strict=True))
        return None if self._silent else [token for token, _ in added]

    def _encode(self, text: str, written: Sequence[Span]) -> list[int]:
        encoding = encoded(self._tokenizer, text)
        if not written or self._control.keys().isdisjoint(encoding.ids):
            return encoding.ids
        found = self._control_of(text, encoding)
        own = outside(found, written)
        if len(own) == len(found):
            return encoding.ids
        spells_unknown = self._unknown is not None and (self._unknown in {token for token, _ in set(found) - set(own)})
        return self._guarded.encode(text, own, spells_unknown)

    def _control_in(self, text: str) -> list[tuple[int, Span]]:
        return self._control_of(text, encoded(self._tokenizer, text))

    def _control_of(self, text: str, encoding: Encoding) -> list[tuple[int, Span]]:
        return [
            (token, spelling_in(text, span, self._control[token]))
            for token, span in zip(encoding.ids, encoding.offsets, strict=True)
            # The unknown token, if it is a control token, also stands for characters that do not spell it.
            if token in self._control and (token != self._unknown or self._control[token] in text[slice(*span)])
        ]

    @cached_property
    def _guarded(self) -> Guarded:
        return Guarded(self._path, self._tokenizer, self._control, self._unknown)

    def spelling(self, token: int) -> str:
        return self.piece(token).decode("utf-8", "backslashreplace") or self._tokenizer.id_to_token(token) or ""

    def piece(self, token: int) -> bytes:
        if (piece := self._pieces.get(token)) is None:
            piece = self._pieces[token] = self._bytes(token)
        return piece

    def _bytes(self, token: int) -> bytes:
        if token in self._special or token in self.end_ids:
            return b""
        content = self._tokenizer.id_to_token(token)
        if content is None:  # a padding row beyond the vocabulary
            return b""
        if self._byte_level:
            table = _byte_table()
            if all(character in table for character in content):
                return bytes(table[character] for character in content)
            return content.encode()
        if len(content) == 6 and content.startswith("<0x") and content.endswith(">"):
            return bytes([int(content[3:5], 16)])
        return content.replace("\u2581", " ").encode()


def _byte_table() -> dict[str, int]:
    """Each byte by its character in byte-level vocabularies: visible Latin-1 is itself, the rest is U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    table = {chr(byte): byte for byte in visible}
    table.update({chr(0x100 + hidden_idx): byte for hidden_idx, byte in enumerate(hidden)})
    return table


def to_text(pieces: Sequence[bytes]) -> str:
    """The bytes of consecutive tokens as text; bytes that are not UTF-8 become surrogates (`core.text.readable`)."""
    return b"".join(pieces).decode("utf-8", "surrogateescape")


def checked_ids(ids: Sequence[int], name: str, vocabulary: float) -> tuple[int, ...]:
    """The tokens unchanged; raises `ModelError` if one is not below `vocabulary`, because the model lacks it."""
    if (token := max(ids, default=0)) >= vocabulary:
        raise ModelError(
            f"{name} has no token {token}, only {vocabulary:g}: tokenizer and model do not belong together; "
            "use the tokenizer that belongs to the model"
        )
    return tuple(ids)
