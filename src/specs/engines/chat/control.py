"""Control tokens: the added tokens that structure a model's input. Users' text must never become one.

Only a template, a PRM format or specs itself writes control tokens. In any other text, their spelling is ordinary text.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from specs.errors import EngineError, SpecsError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Span = tuple[int, int]
"""Characters [start, end) of a text."""

_ENDS = re.compile(r"^[\s\u2581]+|[\s\u2581]+$")
_MARK = re.compile(r"[<\[{|\u3008].*\w.*[>\]}|\u3009]", re.DOTALL)
_SIGNS = "".join(map(chr, range(0x2801, 0x2811))), "ghijklmnopqrstuv"
"""Alphabets of 16 signs for secret names: Braille, or letters if normalisation changes Braille."""
_WORDS = re.compile(r"\w+(?:\W\w+)*")
"""Words and numbers: `don't`, `3.5`."""


def is_control(spelling: str, special: bool, template: str | None) -> bool:
    """Whether an added token is a control token.

    Vocabularies also add tokens for what people write: runs of white space, single characters, digits,
    words. Those are ordinary tokens everywhere. Of the others, these are control tokens: special tokens, tokens
    that look like tags (`<think>`, `[INST]`, `<| end |>`), and tokens that the source of the chat template
    spells (`USER:`). U+2581 means a space or itself.
    """
    core = _ENDS.sub("", spelling)
    if not core or (len(core) == 1 and core.isprintable()):
        return False
    if special or _MARK.fullmatch(core):
        return True
    spelled = any(form in (template or "") for form in (core, core.replace("\u2581", " ")))
    return spelled and not _WORDS.fullmatch(core)


@contextmanager
def guarded(error_of: Callable[[str], SpecsError]) -> Generator[None, None, None]:
    """Turn anything that the `tokenizers` library raises into the error that `error_of` makes from the reason.

    The library raises plain `Exception`, and its own `BaseException` when its code panics (for example, when a
    pattern runs into its limit).
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise error_of(" ".join(str(error).split())) from None


def encoded(tokenizer: Tokenizer, text: str, add_special_tokens: bool = False) -> Encoding:
    """A text as a tokenizer encodes it.

    Raises:
        EngineError: the tokenizer fails on the text.
    """

    def error_of(reason: str) -> EngineError:
        return EngineError(
            f"the tokenizer fails on a text of {len(text):,} characters: {reason}; shorten it, or use another tokenizer"
        )

    with guarded(error_of):
        return tokenizer.encode(text, add_special_tokens=add_special_tokens)


def spelling_in(text: str, span: Span, spelling: str) -> Span:
    """Where a token is spelled within the span that a tokenizer reports for it.

    The span includes the white space that the token absorbs; normalisation may have changed the spelling.
    """
    start, end = span
    found = text[start:end]
    core = spelling if spelling in found else found.strip()
    start += found.find(core)
    return start, start + len(core)


def outside(found: Sequence[tuple[int, Span]], written: Sequence[Span]) -> list[tuple[int, Span]]:
    """The tokens in `found` that share no character with a span in `written`; both are in order."""
    own: list[tuple[int, Span]] = []
    part = 0
    for token, (start, end) in found:
        while part < len(written) and written[part][1] <= start:
            part += 1
        if part == len(written) or end <= written[part][0]:
            own.append((token, (start, end)))
    return own


class Guarded:
    """A tokenizer that encodes like the original, except that no text can spell its control tokens.

    It gives the control tokens secret names, and `encode` writes the secret name wherever the text means a control
    token. So the tokenizer itself still splits and normalises the text and chooses its tokens.
    """

    def __init__(self, path: Path, tokenizer: Tokenizer, control: Mapping[int, str], unknown: int | None) -> None:
        """Guard a tokenizer.

        Args:
            path: the tokenizer.json that it was read from.
            control: the spelling of each control token by its id.
            unknown: id of the token for text that the vocabulary lacks; None if there is none.
        """
        self._names = _secret_names(control, tokenizer)
        self._path, self._control, self._watched = path, control, control.keys() - {unknown}
        self._tokenizer, self._ids = self._sharing(tokenizer)
        # In a vocabulary with gaps, the new id of an added token may belong to another token.
        self._own_model = any(new != old and tokenizer.model.id_to_token(new) for new, old in self._ids.items())
        if self._own_model:
            self._tokenizer, self._ids = self._renaming()

    def encode(self, text: str, own: Sequence[tuple[int, Span]], spells_unknown: bool) -> list[int]:
        """Ids of `text`, in which only the spans in `own`, in order, are control tokens.

        Args:
            spells_unknown: whether the rest of the text spells the token for text that the vocabulary lacks.
        """
        pieces: list[str] = []
        done = 0
        for token, (start, end) in own:
            pieces += text[done:start], self._names[token]
            done = end
        named = "".join((*pieces, text[done:]))
        ids = self._encode(named)
        if not self._own_model:
            watched = self._control.keys() if spells_unknown else self._watched
            found = [token for token in ids if token in watched]
            if found != [token for token, _ in own if token in watched]:  # the model itself spells one
                self._tokenizer, self._ids = self._renaming()
                self._own_model = True
                ids = self._encode(named)
        return ids

    def _encode(self, named: str) -> list[int]:
        ids = encoded(self._tokenizer, named).ids
        return [self._ids.get(token, token) for token in ids]

    def _sharing(self, tokenizer: Tokenizer) -> tuple[Tokenizer, dict[int, int]]:
        """Another tokenizer with the same model, and the original ids of its added tokens; takes milliseconds."""
        from tokenizers import AddedToken, Tokenizer

        shared = Tokenizer(tokenizer.model)
        if tokenizer.normalizer is not None:
            shared.normalizer = tokenizer.normalizer
        if tokenizer.pre_tokenizer is not None:
            shared.pre_tokenizer = tokenizer.pre_tokenizer
        added = sorted(tokenizer.get_added_tokens_decoder().items())
        names = {token: self._names.get(token, one.content) for token, one in added}
        renamed = [
            AddedToken(
                names[token],
                # `encode` already knows where the token is: an adjacent letter must not hide its name.
                single_word=one.single_word and token not in self._control,
                lstrip=one.lstrip,
                rstrip=one.rstrip,
                normalized=one.normalized,
            )
            for token, one in added
        ]
        shared.add_tokens(renamed)  # pyright: ignore[reportUnknownMemberType]
        return shared, _known_by(names, shared)

    def _renaming(self) -> tuple[Tokenizer, dict[int, int]]:
        """Like `_sharing`, but with a copy of the model that has the secret names; a large model takes seconds."""
        from tokenizers import Tokenizer

        parts: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        renamed = {spelling: self._names[token] for token, spelling in self._control.items()}
        _rename(parts["model"], renamed)
        for entry in parts["added_tokens"]:
            if entry["content"] in renamed:
                entry |= {"content": renamed[entry["content"]], "single_word": False}
        parts |= dict.fromkeys(("truncation", "padding", "post_processor", "decoder"))
        tokenizer = Tokenizer.from_str(json.dumps(parts))
        return tokenizer, _known_by(self._names, tokenizer)


def _secret_names(control: Iterable[int], tokenizer: Tokenizer) -> dict[int, str]:
    """For each control token a name that no text can contain, made of signs that normalisation keeps.

    The signs are not letters if possible: next to letters, a token that counts only as a whole word would be missed.
    """
    normalizer = tokenizer.normalizer
    kept = [signs for signs in _SIGNS if normalizer is None or signs in normalizer.normalize_str(signs)]
    digits = str.maketrans("0123456789abcdef", (kept or _SIGNS)[0])
    nonce = secrets.token_hex(8)
    return {token: f"{nonce}{token:08x}".translate(digits) for token in control}


def _known_by(names: Mapping[int, str], tokenizer: Tokenizer) -> dict[int, int]:
    """The original id of each named token by its id in `tokenizer`."""
    return {new: token for token, name in names.items() if (new := tokenizer.token_to_id(name)) is not None}


def _rename(model: dict[str, Any], renamed: Mapping[str, str]) -> None:
    """Rename tokens of a tokenizer's model, and remove the merges that would produce them."""
    if isinstance(model["vocab"], dict):
        vocabulary = cast(dict[str, int], model["vocab"])
        model["vocab"] = {renamed.get(piece, piece): token for piece, token in vocabulary.items()}
    else:
        scored: list[tuple[str, float]] = model["vocab"]
        model["vocab"] = [[renamed.get(piece, piece), score] for piece, score in scored]
    if "merges" in model:
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        model["merges"] = [pair for pair in pairs if renamed.keys().isdisjoint((*pair, "".join(pair)))]
    if model.get("unk_token") in renamed:
        model["unk_token"] = renamed[model["unk_token"]]
