"""Strings that record which characters of a rendered chat template come from turns.

A template is foreign code: it may trim, join, split, inspect or drop a turn's text. Instead of the text it gets a
string of marks, one for each character, whose methods inspect the real text. So the marks in the result show, character
by character, which text arrived. If a template passes the string to a function that sees the marks themselves (such as
an escape), the result differs from the rendering of plain text, and `specs.engines.chat.layout` notices.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, SupportsIndex, cast

_NO_WHITE = re.compile(r"\S")


class Written(str):
    """Stands for a turn's text while a template is rendered: a mark in place of each character that is not white space.

    Its methods answer for the real text, and the strings that they return are marked as well.
    """

    _text: str  # the sandbox hides names with an underscore from templates

    def __new__(cls, marks: str, text: str) -> Written:
        self = super().__new__(cls, marks)
        self._text = text
        return self

    @classmethod
    def by(cls, mark: str, text: str) -> Written:
        """`text` with every character but white space replaced by `mark`."""
        return cls(_NO_WHITE.sub(mark, text), text)

    def __str__(self) -> str:
        return self

    def __hash__(self) -> int:
        return hash(self._text)

    def __getitem__(self, key: SupportsIndex | slice) -> Written:
        return Written(super().__getitem__(key), self._text[key])

    def __iter__(self) -> Iterator[str]:
        return (self[place] for place in range(len(self)))

    def __add__(self, other: Any) -> str:
        return concat((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: Any) -> str:
        return concat((other, self)) if isinstance(other, str) else NotImplemented

    def join(self, iterable: Iterable[str], /) -> str:
        pieces = [piece for part in iterable for piece in (self, part)]
        return concat(pieces[1:])

    def lstrip(self, chars: str | None = None, /) -> Written:
        return self[len(self) - len(self._text.lstrip(plain(chars))) :]

    def rstrip(self, chars: str | None = None, /) -> Written:
        return self[: len(self._text.rstrip(plain(chars)))]

    def strip(self, chars: str | None = None, /) -> Written:
        return self.lstrip(chars).rstrip(chars)

    def removeprefix(self, prefix: str, /) -> Written:
        return self[len(self) - len(self._text.removeprefix(plain(prefix))) :]

    def removesuffix(self, suffix: str, /) -> Written:
        return self[: len(self._text.removesuffix(plain(suffix)))]

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        before, found, after = self._parts(self._text.partition(plain(sep)))
        return before, found, after

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        before, found, after = self._parts(self._text.rpartition(plain(sep)))
        return before, found, after

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._found(self._text.split(plain(sep), maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._found(self._text.rsplit(plain(sep), maxsplit), sep)

    def splitlines(self, keepends: bool = False) -> list[str]:
        lines = self._parts(self._text.splitlines(True))
        if keepends:
            return lines
        return [line[: len(text)] for line, text in zip(lines, self._text.splitlines(), strict=True)]

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        if not old:
            return super().replace(old, new, count)
        return Written(_marks(new), plain(new)).join(self.split(old, count))

    def _parts(self, parts: Iterable[str]) -> list[str]:
        """Adjacent parts of the text, marked."""
        return self._found(parts, "")

    def _found(self, parts: Iterable[str], sep: str | None) -> list[str]:
        """Parts of the text between separators (None: white space), marked."""
        found, start = list[str](), 0
        for part in parts:
            start = self._text.index(part, start) if sep is None else start
            found.append(self[start : start + len(part)])
            start += len(part) + len(sep or "")
        return found


def plain(value: Any) -> Any:
    """The real text of a marked string; any other value as it is."""
    if isinstance(value, tuple):
        return tuple(plain(part) for part in cast(tuple[Any, ...], value))
    return value._text if isinstance(value, Written) else value  # pyright: ignore[reportPrivateUsage]


def concat(parts: Iterable[str]) -> str:
    """`"".join(parts)`; the result is marked if a part is."""
    parts = list(parts)
    joined = "".join(parts)
    return Written(joined, "".join(map(plain, parts))) if any(isinstance(part, Written) for part in parts) else joined


def _marks(text: str) -> str:
    return str.__str__(text)


def _asking(name: str) -> Callable[..., Any]:
    """A string method that inspects the text."""

    def method(self: Written, *values: Any) -> Any:
        return getattr(plain(self), name)(*map(plain, values))

    return method


def _changing(name: str) -> Callable[[Written], str]:
    """A string method that changes characters; the result is marked text only if the length stays the same."""

    def method(self: Written) -> str:
        text = getattr(plain(self), name)()
        return Written(_marks(self), text) if len(text) == len(self) else getattr(_marks(self), name)()

    return method


_ASKING: Sequence[str] = (
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__contains__"),
    *("startswith", "endswith", "find", "rfind", "index", "rindex", "count"),
    *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric"),
    *("isprintable", "isspace", "istitle", "isupper"),
)
for _name in _ASKING:
    setattr(Written, _name, _asking(_name))
for _name in ("lower", "upper", "casefold", "swapcase", "capitalize", "title"):
    setattr(Written, _name, _changing(_name))
