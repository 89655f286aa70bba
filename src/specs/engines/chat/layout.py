"""Renders conversations with a chat template, and finds the parts of the rendered text that come from turns.

It renders the turns twice: as plain text, which is what a model reads, and as marked text
(`specs.engines.chat.provenance`). It compares the two renderings character by character, ignoring white space. That
shows which characters come from turns, and so whether each turn arrived and which control tokens the template wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, islice
from typing import TYPE_CHECKING

from specs.engines.chat.control import Span
from specs.engines.chat.provenance import Written
from specs.errors import ModelError
from specs.types import Turn

if TYPE_CHECKING:
    from specs.engines.chat.templates import ChatTemplate

_KINDS = {"system": "system turns", "user": "turns of the user", "assistant": "answers"}
_THOUGHTS_END = re.compile(
    r"[<\[{|](?:[^\s<>\[\]{}]{0,40}end|/)[^\s<>\[\]{}]{0,40}think[^\s<>\[\]{}]{0,40}[>\]}|]", re.I
)
"""Tags that close the reasoning in an answer: `</think>`, `[/THINK]`, `<|END_THINKING|>`."""
_RUN = re.compile(r"([\U00010000-\U0010ffff])\1*")
"""A run of one character from the range that marks are chosen from."""
_SWITCH = re.compile(r"(?<!\S)/\w+")
"""A switch in a system turn, such as `/no_think`."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A conversation as a template renders it.

    Attributes:
        text: the rendered text.
        written: its parts that come from turns, in order, each without white space at its ends.
    """

    text: str
    written: tuple[Span, ...]

    @property
    def tail(self) -> str:
        """What the template writes after the last turn."""
        return self.text[self.written[-1][1] :] if self.written else self.text


def lay_out(
    template: ChatTemplate, turns: Sequence[Turn], generation: bool, switches: Mapping[str, bool] | None = None
) -> Layout:
    """Render a conversation; `generation` opens the assistant's turn at the end.

    The template gets content as text, or as a list of typed parts if it drops text. `switches` are variables that
    switch thinking on or off; without them, `enable_thinking` is false.

    Raises:
        ModelError: the template refuses the conversation, or drops or changes a turn. It may change white
            space, leave the reasoning out of an answer, and remove its own switches from a system turn.
    """
    filled = [turn if turn.content.strip() else Turn(turn.role, "a") for turn in turns]
    if {turn.role for turn in turns} != {turn.role for turn in turns if turn.content.strip()}:
        # All turns of a role are blank, so they do not show which form the template reads; turns with text do.
        for typed in _ways(turns):
            try:
                _rendered(template, filled, generation, typed, switches)
                return _rendered(template, turns, generation, typed, switches)
            except ModelError:
                continue
    failure: ModelError | None = None
    for typed in _ways(turns):
        try:
            return _rendered(template, turns, generation, typed, switches)
        except ModelError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def squeezed(text: str) -> str:
    """`text` with its white space collapsed."""
    return " ".join(text.split())


def _ways(turns: Sequence[Turn]) -> Iterator[frozenset[str]]:
    """All sets of roles whose content may need to be typed, small sets first."""
    roles = sorted({turn.role for turn in turns})
    return (frozenset(some) for size in range(len(roles) + 1) for some in combinations(roles, size))


def _rendered(
    template: ChatTemplate,
    turns: Sequence[Turn],
    generation: bool,
    typed: frozenset[str],
    switches: Mapping[str, bool] | None,
) -> Layout:
    """Render with typed parts as the content of the roles `typed`.

    Raises:
        ModelError: as in `lay_out`.
    """
    now = datetime.now()
    text = template.render(turns, generation, typed, now, switches)
    taken = set(template.source).union(*(turn.content for turn in turns))
    unused = (mark for code in range(0x10FFFF, 0xFFFF, -1) if (mark := chr(code)) not in taken)
    marks = list(islice(unused, len(turns)))
    marked = [Turn(turn.role, Written.by(mark, turn.content)) for turn, mark in zip(turns, marks, strict=True)]
    runs = _laid_over(text, template.render(marked, generation, typed, now, switches), frozenset(marks))
    brought: dict[str, list[str]] = {}
    for mark, (start, end) in runs or ():
        brought.setdefault(mark, []).append(text[start:end])
    for turn, mark in zip(turns, marks, strict=True):
        shown = [text] if runs is None else brought.get(mark, [])
        wanted = [squeezed(form) for form in _forms(turn, template.source)]
        if all(wanted) and not any(form in squeezed(part) for form in wanted for part in shown):
            raise ModelError(_harm(turn, turn is turns[-1], bool(shown)))
    if runs is None:
        raise ModelError("the chat template changes turns in a way that specs cannot follow; use one that keeps them")
    return Layout(text, tuple(span for _, span in runs))


def _laid_over(text: str, marked: str, marks: frozenset[str]) -> list[tuple[str, Span]] | None:
    """Each run of a mark in `marked` and its span in `text`; None if the rest differs by more than white space."""
    places = [place for place, character in enumerate(text) if not character.isspace()]
    over, under = "".join(str.split(marked)), "".join(text.split())
    if len(over) != len(under):
        return None
    runs: list[tuple[str, Span]] = []
    done = 0
    for found in _RUN.finditer(over):
        if found[1] in marks:
            start, end = found.span()
            if over[done:start] != under[done:start]:
                return None
            runs.append((found[1], (places[start], places[end - 1] + 1)))
            done = end
    return runs if over[done:] == under[done:] else None


def _forms(turn: Turn, source: str) -> list[str]:
    """The forms of a turn's content, one of which must arrive."""
    forms = [turn.content]
    if turn.role == "assistant":
        *_, end = (0, *(found.end() for found in _THOUGHTS_END.finditer(turn.content)))
        forms.append(turn.content[end:])
    if turn.role == "system":
        forms.append(_SWITCH.sub(lambda found: "" if found.group() in source else found.group(), turn.content))
    return forms


def _harm(turn: Turn, last: bool, shown: bool) -> str:
    """The error message for a turn that the chat template drops or changes."""
    if not shown:
        return f"the chat template drops {_KINDS[turn.role]}; use a template that keeps them"
    if last and turn.role == "user":
        return "the chat template does not write the question as it is; use a template that does"
    return f"the chat template changes {_KINDS[turn.role]}; use a template that keeps them as they are"
