"""Text and token ids: a tokenizer, its chat template, and what each token adds to the text."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from specs.core.text import readable
from specs.errors import ModelError
from specs.types import ALONE, Chat, Judge, Turn

if TYPE_CHECKING:
    from jinja2 import Template

_ANSWER = "{the answer}"
"""Stands for a trace while a template is rendered."""


class Text(Protocol):
    """What a session needs to know about a vocabulary."""

    fingerprint: str
    """Equal exactly for equal vocabularies."""
    size: int
    """Ids of tokens lie below; what a model has beyond them is padding."""
    end_ids: frozenset[int]
    """End-of-text tokens."""

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, no special tokens added."""
        ...

    def piece(self, token: int) -> bytes:
        """Bytes that a token adds to the text; empty for special tokens."""
        ...

    def prompt(
        self, question: str, system: str | None = None, generation: bool = True, chat: Chat = ALONE
    ) -> list[int]:
        """Ids up to where the answer begins; a system turn of `chat` takes the place of `system`."""
        ...

    def judgement(self, judge: Judge) -> tuple[list[int], list[int]]:
        """Ids that follow a trace to ask about it, up to the label; and the id of each label."""
        ...


def fingerprint(vocabulary: Mapping[str, int]) -> str:
    """Equal exactly for equal vocabularies, whichever kind of file they come from."""
    return hashlib.sha256(json.dumps(sorted(vocabulary.items())).encode()).hexdigest()[:16]


class Templated(ABC):
    """What a chat template makes of a vocabulary: prompts, and questions about an answer.

    It is rendered with jinja as transformers does; `enable_thinking` is false for templates that
    know it. A model without a template gets the question and a blank line.
    """

    fingerprint: str
    size: int
    end_ids: frozenset[int]

    def __init__(self, template: str | None, bos: str | None, eos: str | None) -> None:
        """`bos` is the spelling of the beginning-of-text token, `eos` that of the end's; None where none is named."""
        self._template = None if template is None else _compile(template)
        self.bos, self._eos = bos, eos
        self._judgements: dict[Judge, tuple[list[int], list[int]]] = {}

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """See `Text.encode`."""

    @abstractmethod
    def piece(self, token: int) -> bytes:
        """See `Text.piece`."""

    @abstractmethod
    def spelling(self, token: int) -> str:
        """A token for people: its text, or its name where it adds none."""

    def prompt(
        self, question: str, system: str | None = None, generation: bool = True, chat: Chat = ALONE
    ) -> list[int]:
        if not chat.template:
            return self.encode((self.bos or "") + question)
        turns = [*chat.before, Turn("user", question)]
        if system is not None and turns[0].role != "system":
            turns.insert(0, Turn("system", system))
        if self._template is None:
            return self.encode("".join(f"{turn.content}\n\n" for turn in turns))
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        return self.encode(self._rendered(self._template, messages, generation))

    def judgement(self, judge: Judge) -> tuple[list[int], list[int]]:
        """See `Text.judgement`.

        Raises:
            ModelError: a label is not one token of its own behind the opening, or the chat
                template cannot go on after an answer.
        """
        if (known := self._judgements.get(judge)) is None:
            known = self._judgements[judge] = self._judgement(judge)
        return known

    def _judgement(self, judge: Judge) -> tuple[list[int], list[int]]:
        if self._template is None:
            asked = f"\n\n{judge.instruction}\n\n"
        else:
            turns = zip(("user", "assistant", "user"), ("", _ANSWER, judge.instruction), strict=True)
            messages = [{"role": role, "content": content} for role, content in turns]
            _, found, asked = self._rendered(self._template, messages).rpartition(_ANSWER)
            if not found:
                raise ModelError("the chat template drops answers, so the model cannot be asked about one")
        return self.labelled(asked + judge.opening, judge.labels)

    def labelled(self, before: str, labels: Sequence[str]) -> tuple[list[int], list[int]]:
        """Ids of `before`, and the id of each label behind it.

        Raises:
            ModelError: a label is not one token of its own there.
        """
        whole = [self.encode(before + label) for label in labels]
        ids = [one[-1] for one in whole]
        if any(one[:-1] != whole[0][:-1] for one in whole) or len(set(ids)) < len(ids):
            raise ModelError(
                f"this vocabulary does not write each of {', '.join(labels)} as one token behind {before[-20:]!r}: "
                "use a model whose vocabulary does, or a method or PRM format that needs no labels"
            )
        return whole[0][:-1], ids

    def turns(self) -> tuple[str, str, str]:
        """What the chat template writes before a user's turn, from there to the assistant's, and on to the next.

        Raises:
            ModelError: there is no template, or it does not keep turns as they are.
        """
        if self._template is None:
            raise ModelError("there is no chat template, and the PRM is asked in turns: add its chat_template.jinja")
        marks = ["{the question}", _ANSWER, "{the next question}"]
        turns = zip(("user", "assistant", "user"), marks, strict=True)
        rest = self._rendered(self._template, [{"role": role, "content": mark} for role, mark in turns], False)
        parts: list[str] = []
        for mark in marks:
            part, found, rest = rest.partition(mark)
            if not found:
                raise ModelError("the chat template drops turns, and the PRM is asked in turns: add the PRM's own")
            parts.append(part)
        before, answer, following = parts
        return before, answer, following

    def _rendered(self, template: Template, messages: list[dict[str, str]], generation: bool = True) -> str:
        from jinja2 import TemplateError

        try:
            rendered = template.render(
                messages=messages,
                add_generation_prompt=generation,
                enable_thinking=False,
                bos_token=self.bos or "",
                eos_token=self._eos or "",
            )
        except TemplateError as error:
            raise ModelError(f"the chat template refuses this conversation: {error}") from None
        if generation and rendered.rstrip().endswith("<think>"):
            raise ModelError(
                "the chat template opens a <think> block, which cannot be stepped through; "
                "use a model or template that can switch thinking off"
            )
        return rendered


class HubText(Templated):
    """A Hugging Face tokenizer folder (`tokenizer.json`), read without transformers."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"{folder} has no tokenizer.json; save the model's fast tokenizer there")
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._config: dict[str, Any] = _read(folder / "tokenizer_config.json")
        self._named_tokens: dict[str, Any] = _read(folder / "special_tokens_map.json")
        template = folder / "chat_template.jinja"
        source: str | None = template.read_text() if template.is_file() else self._config.get("chat_template")
        super().__init__(source, self._named("bos_token"), self._named("eos_token"))
        model = json.loads(path.read_text())
        self._byte_level = "ByteLevel" in json.dumps([model.get("decoder"), model.get("pre_tokenizer")])
        self._special = {entry["id"] for entry in model.get("added_tokens", []) if entry["special"]}
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        self.fingerprint = fingerprint(vocabulary)
        self.end_ids = self._ends(folder)
        self.size = 1 + max({*vocabulary.values(), *self.end_ids})
        self._pieces: dict[int, bytes] = {}

    def _ends(self, folder: Path) -> frozenset[int]:
        ends: set[int] = set()
        for name in ("generation_config.json", "config.json"):
            value = _read(folder / name).get("eos_token_id")
            ends |= set(value) if isinstance(value, list) else set() if value is None else {value}
        if (token := self._named("eos_token")) and (token_id := self._tokenizer.token_to_id(token)) is not None:
            ends.add(token_id)
        if not ends:
            raise ModelError(f"{folder} names no end-of-text token; set eos_token_id in its config.json")
        return frozenset(ends)

    def _named(self, name: str) -> str | None:
        value = self._config.get(name) or self._named_tokens.get(name)
        return value.get("content") if isinstance(value, dict) else value

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(readable(text), add_special_tokens=False).ids

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
        if content is None:  # rows beyond the vocabulary, which some models pad their head with
            return b""
        if self._byte_level:
            table = _byte_table()
            if all(character in table for character in content):
                return bytes(table[character] for character in content)
            return content.encode()
        if len(content) == 6 and content.startswith("<0x") and content.endswith(">"):
            return bytes([int(content[3:5], 16)])
        return content.replace("\u2581", " ").encode()


def _compile(source: str) -> Template:
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> str:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = refuse
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise ModelError(f"the chat template cannot be read: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _byte_table() -> dict[str, int]:
    """Printable stand-ins of byte-level vocabularies: visible Latin-1 stands for itself, the rest from U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    table = {chr(byte): byte for byte in visible}
    table.update({chr(0x100 + place): byte for place, byte in enumerate(hidden)})
    return table


def to_text(pieces: Sequence[bytes]) -> str:
    """Bytes of consecutive tokens as text, stray bytes as surrogates (`specs.core.text.readable` mends them)."""
    return b"".join(pieces).decode("utf-8", "surrogateescape")
