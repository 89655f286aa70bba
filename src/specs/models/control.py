"""Control tokens: the added tokens that lay out what a model reads, and that no text of users may become.

They count where a template, a PRM format or specs itself writes them. Elsewhere their spelling is text.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Span = tuple[int, int]
"""Characters [start, end) of a text."""

_MARK = re.compile(r"[<\[{|]\S*\w\S*[>\]}|]")


def is_control(spelling: str, special: bool, template: str | None) -> bool:
    """Whether an added token lays out what a model reads.

    Vocabularies also add tokens for what people write: runs of white space, digits, words. Those stay
    tokens wherever they stand. Control tokens are, of the others, the special ones, those that look like
    marks (`<think>`, `[INST]`), and those that the source of the chat template spells (`USER:`).
    """
    core = spelling.replace("\u2581", " ").strip()
    if len(core) < 2 and core.isprintable():
        return False
    if special or _MARK.fullmatch(core):
        return True
    return not core.isalnum() and core in (template or "")


def spelling_in(text: str, span: Span, spelling: str) -> Span:
    """Where a token is spelled within the span that a tokenizer says is its own.

    The span has the white space that the token takes along; normalisation may have changed the spelling.
    """
    start, end = span
    found = text[start:end]
    core = spelling if spelling in found else found.strip()
    start += found.find(core)
    return start, start + len(core)


def overlap(span: Span, others: Sequence[Span]) -> bool:
    """Whether a span shares a character with one of the others."""
    return any(start < span[1] and span[0] < end for start, end in others)


class Guarded:
    """A tokenizer of which no text can spell a control token, but that otherwise does what the original does.

    It is made of the same tokenizer.json with control tokens under secret names: where text is cut, how it
    is normalised and which tokens are made of it stays the tokenizer's own matter.
    """

    def __init__(self, path: Path, control: Mapping[int, str]) -> None:
        """`control` has the spelling of each control token by its id."""
        from tokenizers import Tokenizer

        nonce = secrets.token_hex(8)
        self._names = {token: f"{nonce}{token:08x}" for token in control}
        renamed = {spelling: self._names[token] for token, spelling in control.items()}
        parts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for entry in parts["added_tokens"]:
            if entry["content"] in renamed:
                # Where it stands has been found: a letter beside it must not hide the name.
                entry |= {"content": renamed[entry["content"]], "single_word": False}
        _rename(parts["model"], renamed)
        parts |= dict.fromkeys(("truncation", "padding", "post_processor", "decoder"))
        self._tokenizer = Tokenizer.from_str(json.dumps(parts))
        self._ids = {self._tokenizer.token_to_id(name): token for token, name in self._names.items()}

    def encode(self, text: str, own: Sequence[tuple[int, Span]]) -> list[int]:
        """Ids of `text`, in which just the spans of `own`, in order, are control tokens."""
        pieces: list[str] = []
        done = 0
        for token, (start, end) in own:
            pieces += text[done:start], self._names[token]
            done = end
        ids = self._tokenizer.encode("".join((*pieces, text[done:])), add_special_tokens=False).ids
        return [self._ids.get(token, token) for token in ids]


def _rename(model: dict[str, Any], renamed: Mapping[str, str]) -> None:
    """Rename tokens of a tokenizer's model, and let it make none of them by itself."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {renamed.get(piece, piece): token for piece, token in vocabulary.items()}
    else:
        model["vocab"] = [[renamed.get(piece, piece), score] for piece, score in vocabulary]
    if "merges" in model:
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        model["merges"] = [pair for pair in pairs if renamed.keys().isdisjoint((*pair, "".join(pair)))]
    if model.get("unk_token") in renamed:
        model["unk_token"] = renamed[model["unk_token"]]
