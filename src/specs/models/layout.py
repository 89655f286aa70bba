"""Conversations in a chat template, and which parts of the rendered text people or models wrote.

A template is foreign code that may trim, join, take apart or drop what it is given. So turns are rendered
a second time with marks, characters that occur nowhere else, at both ends of each: what stands between
them in the result is the turn's. Where a template looks into a text in a way that these marks change
(an answer whose reasoning it leaves out, say), only the control tokens spelled in that text are marked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, islice
from typing import TYPE_CHECKING

from specs.errors import ModelError
from specs.models.control import Span
from specs.types import Turn

if TYPE_CHECKING:
    from specs.models.templates import ChatTemplate

Spelled = Callable[[str], Sequence[Span]]
"""Where a text spells control tokens."""

_KINDS = {"system": "system turns", "user": "turns of the user", "assistant": "answers"}


@dataclass(frozen=True, slots=True)
class Layout:
    """A conversation as a template renders it.

    Attributes:
        text: what the template renders.
        written: parts of it that turns brought, in order: each without the white space at its ends, or,
            where the template takes a turn apart, the first character of each control token spelled in it.
    """

    text: str
    written: tuple[Span, ...]


def lay_out(template: ChatTemplate, turns: Sequence[Turn], generation: bool, spelled: Spelled) -> Layout:
    """Render a conversation, with the assistant's turn opened (`generation`) or not.

    Content is given as text; where the template drops that, as a list of typed parts.

    Raises:
        ModelError: the template refuses the conversation, or drops a turn.
    """
    failure: ModelError | None = None
    doubtful: _Marking | None = None
    for typed in _ways(turns):
        try:
            marking = _Marking(template, turns, generation, typed, spelled)
        except ModelError as error:
            failure = failure or error
            continue
        if all(marking.shows(k) for k in marking.filled):
            return marking.layout()
        if doubtful is None and all(marking.contains(k) for k in marking.filled):
            doubtful = marking
        failure = failure or marking.drops()
    if doubtful is not None:  # all words are there; the template may look for something that marks hide
        return doubtful.layout()
    assert failure is not None
    raise failure


def squeezed(text: str) -> str:
    """`text` with its white space collapsed."""
    return " ".join(text.split())


def _ways(turns: Sequence[Turn]) -> list[frozenset[str]]:
    """Sets of roles whose content may have to be typed, small ones first."""
    roles = sorted({turn.role for turn in turns})
    return [frozenset(some) for size in range(len(roles) + 1) for some in combinations(roles, size)]


class _Marking:
    """One way of giving a template its turns, rendered with marks and without."""

    def __init__(
        self, template: ChatTemplate, turns: Sequence[Turn], generation: bool, typed: frozenset[str], spelled: Spelled
    ) -> None:
        self._template, self._turns, self._generation, self._typed = template, turns, generation, typed
        self._spelled, self._now = spelled, datetime.now()
        self._text = template.render(turns, generation, typed, self._now)
        taken = template.characters.union(*(turn.content for turn in turns))
        unused = (mark for code in range(0x10FFFF, 0xFFFF, -1) if (mark := chr(code)) not in taken)
        self._token, *self._ends = islice(unused, len(turns) + 1)
        self.filled = [k for k, turn in enumerate(turns) if turn.content.strip()]
        self._whole = self._marked(self.filled)

    def shows(self, k: int) -> bool:
        """Whether a turn is in the text for sure."""
        return self._ends[k] in self._whole if self._whole is not None else self.contains(k)

    def contains(self, k: int) -> bool:
        """Whether the words of a turn are in the text, its own or not."""
        return squeezed(self._turns[k].content) in squeezed(self._text)

    def drops(self) -> ModelError:
        """What to say of turns that are not in the text."""
        role = next(self._turns[k].role for k in self.filled if not self.shows(k))
        return ModelError(f"the chat template drops {_KINDS[role]}; use a template that keeps them")

    def layout(self) -> Layout:
        """See `lay_out`.

        Raises:
            ModelError: control tokens that a turn spells cannot be told from those of the template.
        """
        layout = self._unmarked(self._whole)
        unharmed = [k for k in self.filled if self._whole and self._whole.count(self._ends[k]) % 2 == 0]
        for whole in (unharmed, []):
            if layout is not None and layout.text == self._text:
                break
            layout = self._unmarked(self._marked(whole))
        if layout is None or squeezed(layout.text) != squeezed(self._text):
            raise ModelError("the chat template takes apart a turn that spells control tokens; leave them out of it")
        return layout

    def _marked(self, whole: Sequence[int]) -> str | None:
        """Rendered with marks at both ends of these turns, and before control tokens spelled in the others.

        None where the template fails on that.
        """
        contents = [
            self._between(turn.content, self._ends[k]) if k in whole else self._before_tokens(turn.content)
            for k, turn in enumerate(self._turns)
        ]
        turns = [Turn(turn.role, content) for turn, content in zip(self._turns, contents, strict=True)]
        try:
            return self._template.render(turns, self._generation, self._typed, self._now)
        except ModelError:
            return None

    def _between(self, content: str, mark: str) -> str:
        core = content.strip()
        before, _, after = content.partition(core)
        return f"{before}{mark}{core}{mark}{after}"

    def _before_tokens(self, content: str) -> str:
        for start, _ in reversed(self._spelled(content)):
            content = f"{content[:start]}{self._token}{content[start:]}"
        return content

    def _unmarked(self, marked: str | None) -> Layout | None:
        """The layout that marks tell; None if there are none to tell it, or one has lost its fellow."""
        if marked is None:
            return None
        text, written = "", list[Span]()
        begun: dict[str, int] = {}
        for piece in re.split(f"([{self._token}{''.join(self._ends)}])", marked):
            if piece == self._token:
                written.append((len(text), len(text) + 1))
            elif piece not in self._ends:
                text += piece
            elif piece in begun:
                written.append((begun.pop(piece), len(text)))
            else:
                begun[piece] = len(text)
        return None if begun else Layout(text, tuple(sorted(written)))
