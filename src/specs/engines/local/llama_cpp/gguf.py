"""GGUF files: llama.cpp's library, the files that it opens, and their vocabularies.

This needs the extra `specs-llm[llama]`; nothing here imports llama.cpp before it opens a file.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import ctypes
import os
import re
import weakref
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from specs.engines.chat.control import Span, is_control, outside
from specs.engines.chat.prompts import Templated
from specs.engines.text import fingerprint
from specs.errors import ModelError, install_command

_ERROR = 4
_NAMED = {"bos": "bos", "eos": "eos", "sep": "seperator", "pad": "padding", "mask": "mask"}
"""The names in metadata (`tokenizer.ggml.bos_token_id`) of the tokens that templates may use."""
_PADDING = re.compile(r"\[PAD\d+\]")
"""The names that converters give to padding rows."""

_log_errors: list[str] = []
"""Errors in llama.cpp's log since the last file was opened."""

_kept: list[object] = []
"""Callbacks that llama.cpp keeps calling, so they must stay alive."""


def _on_log(level: int, text: bytes, _: object) -> None:
    if level == _ERROR:
        _log_errors.append(text.decode("utf-8", "replace").strip())


@cache
def library() -> Any:
    """llama.cpp's functions; its log is silent.

    Raises:
        ModelError: the extra is missing.
    """
    # Waiting threads must sleep: if they spin next to another engine's threads, a token takes many times longer.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import llama_cpp
    except ImportError as error:
        raise ModelError(f"GGUF files need llama-cpp-python ({error}): {install_command('llama')}") from None
    listener = llama_cpp.llama_log_callback(_on_log)
    _kept.append(listener)
    llama_cpp.llama_log_set(listener, ctypes.c_void_p())
    llama_cpp.llama_backend_init()
    return llama_cpp


class Gguf:
    """A file that llama.cpp has open; deleting this object closes it.

    Attributes:
        model: llama.cpp's model.
        vocabulary: llama.cpp's vocabulary, a part of the model.
    """

    def __init__(self, path: Path, *, vocabulary_only: bool = False, gpu: bool = False) -> None:
        """Open a file; with `gpu`, all layers run on a GPU if llama.cpp was built for one.

        Raises:
            ModelError: the extra is missing, or the file cannot be read.
        """
        lib = library()
        params = lib.llama_model_default_params()
        params.vocab_only = vocabulary_only
        params.n_gpu_layers = -1 if gpu else 0
        _log_errors.clear()
        model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if model is None:
            reason = _log_errors[0] if _log_errors else "there may not be enough memory"
            raise ModelError(f"{path}: llama.cpp cannot load it ({reason}); give a complete GGUF file of a known model")
        self.model = model
        self.vocabulary = lib.llama_model_get_vocab(model)
        weakref.finalize(self, lib.llama_model_free, model)

    def value(self, key: str) -> str | None:
        """Metadata as text; None if the file has no such key."""
        buffer = ctypes.create_string_buffer(256)
        length = library().llama_model_meta_val_str(self.model, key.encode(), buffer, len(buffer))
        return buffer.value.decode() if length >= 0 else None


class GgufText(Templated):
    """The vocabulary and the chat template of a GGUF file."""

    def __init__(self, path: Path) -> None:
        self._lib = lib = library()
        self._file = file = Gguf(path, vocabulary_only=True)
        self._pieces: dict[int, bytes] = {}
        template = lib.llama_model_chat_template(file.model, None)
        source = None if template is None else template.decode()
        self._named = named = {name: self._token(name) for name in _NAMED}
        super().__init__(
            str(path),
            source,
            {f"{name}_token": spelling for name, token in named.items() if (spelling := self._content(token))},
        )
        tokens = range(lib.llama_vocab_n_tokens(file.vocabulary))
        # The strings are those of `tokenizer.json`, so the same vocabulary has the same fingerprint there.
        contents = {self._content(token): token for token in tokens}
        vocabulary = {text: id_ for text, id_ in contents.items() if not _PADDING.fullmatch(text)}
        self.fingerprint = fingerprint(vocabulary)
        self.size = 1 + max(vocabulary.values())
        special = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN
        self._control = {
            spelling: token
            for spelling, token in contents.items()
            if (kind := self._attributes(token)) & (special | lib.LLAMA_TOKEN_ATTR_USER_DEFINED)
            and is_control(spelling, bool(kind & special), source)
        }
        longest_first = sorted(self._control, key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        own = (self._turn_end(), lib.llama_vocab_eot(file.vocabulary), named["eos"])
        end_of_text = (token for token in tokens if lib.llama_vocab_is_eog(file.vocabulary, token))
        unnamed = lib.llama_vocab_eos(file.vocabulary) if named["eos"] < 0 else -1
        ends = [token for token in (*own, *end_of_text) if token is not None and token >= 0 and token != unnamed]
        if not ends:
            raise ModelError(f"{path} names no end-of-text token; convert the model with its tokenizer")
        self.end_id, self.end_ids = ends[0], frozenset(ends)

    def _token(self, name: str) -> int:
        """The token with this name in the file; -1 if there is none.

        llama.cpp has default ids for tokens that a file does not name. They may be ordinary text in this vocabulary, so
        a default counts only if it is a control token.
        """
        token = getattr(self._lib, f"llama_vocab_{name}")(self._file.vocabulary)
        named = self._file.value(f"tokenizer.ggml.{_NAMED[name]}_token_id") is not None
        control = token >= 0 and self._attributes(token) & self._lib.LLAMA_TOKEN_ATTR_CONTROL
        return token if named or control else -1

    def _content(self, token: int) -> str:
        """The vocabulary's string for a token; empty for -1."""
        return (
            "" if token < 0 else self._lib.llama_vocab_get_text(self._file.vocabulary, token).decode("utf-8", "replace")
        )

    def _attributes(self, token: int) -> int:
        return self._lib.llama_vocab_get_attr(self._file.vocabulary, token)

    def _start(self) -> list[int] | None:
        adds = self._lib.llama_vocab_get_add_bos(self._file.vocabulary) and self._named["bos"] >= 0
        return [self._named["bos"]] if adds else []

    def _control_in(self, text: str) -> list[tuple[int, Span]]:
        return [(self._control[found.group()], found.span()) for found in self._spelled.finditer(text)]

    def _encode(self, text: str, written: Sequence[Span]) -> list[int]:
        found = self._control_in(text)
        own = outside(found, written)
        if len(own) == len(found):
            return self._tokens(text, True)
        ids: list[int] = []
        done = 0
        takes_white = False
        for token, (start, end) in own:
            attributes = self._attributes(token)
            stretch = text[done:start].lstrip() if takes_white else text[done:start]
            ids += self._plain(stretch.rstrip() if attributes & self._lib.LLAMA_TOKEN_ATTR_LSTRIP else stretch)
            ids.append(token)
            done, takes_white = end, bool(attributes & self._lib.LLAMA_TOKEN_ATTR_RSTRIP)
        return ids + self._plain(text[done:].lstrip() if takes_white else text[done:])

    def _plain(self, text: str) -> list[int]:
        """Ids of `text` without control tokens, whatever it spells."""
        ids = self._tokens(text, False)
        if self._control.keys().isdisjoint(map(self._content, ids)):
            return ids
        # llama.cpp recognises user-defined tokens in any text, so split the text after the first letter of each.
        cuts = [found.start() + 1 for found in self._spelled.finditer(text)]
        first, *others = (text[start:end] for start, end in pairwise((0, *cuts, len(text))))
        return [*self._tokens(first, False), *(token for other in others for token in self._behind(other))]

    def _behind(self, text: str) -> list[int]:
        """Ids of a text that follows other text: some vocabularies put a space before a text that stands alone."""
        lead, ids = self._tokens("\n", False), self._tokens("\n" + text, False)
        return ids[len(lead) :] if ids[: len(lead)] == lead else self._tokens(text, False)

    def _tokens(self, text: str, special: bool) -> list[int]:
        """Ids of a text by llama.cpp; `special` says whether it recognises control tokens."""
        data = text.encode()
        room = len(data) + 8  # every token has a byte, apart from a space that some vocabularies put in front
        tokens = (ctypes.c_int32 * room)()
        count = self._lib.llama_tokenize(self._file.vocabulary, data, len(data), tokens, room, False, special)
        assert 0 <= count <= room
        return tokens[:count]

    def spelling(self, token: int) -> str:
        return self.piece(token).decode("utf-8", "backslashreplace") or self._content(token)

    def piece(self, token: int) -> bytes:
        if (piece := self._pieces.get(token)) is None:
            piece = self._pieces[token] = self._bytes(token)
        return piece

    def _bytes(self, token: int) -> bytes:
        if token in self.end_ids:
            return b""
        for room in (64, 4096):
            buffer = ctypes.create_string_buffer(room)
            length = self._lib.llama_token_to_piece(self._file.vocabulary, token, buffer, room, 0, False)
            if length >= 0:
                return buffer.raw[:length]
        raise ModelError(f"token {token} of the vocabulary is {-length} bytes long")
