"""How a model marks its thinking, and prompts that end inside it or behind it.

Nothing here knows a model by name. A chat template is rendered with thinking on and off, and with an answer that has
reasoning; the markers and the white space around them are read in what it writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from specs.engines.chat.layout import Layout, lay_out
from specs.engines.chat.vocabulary import Vocabulary
from specs.errors import ModelError
from specs.types import Thinking, Turn

if TYPE_CHECKING:
    from specs.engines.chat.templates import ChatTemplate

TIME_IS_UP = "The time for thinking is over, so I give my answer now."
"""The last sentence of a thinking block whose budget is spent."""

_OPENED = re.compile(
    r"[<\[{|](?!/)(?:(?!end|/)[^\s<>\[\]{}]){0,40}think(?:(?!end|/)[^\s<>\[\]{}]){0,40}[>\]}|]\s*\Z", re.I
)
"""A tag at the end of a text that opens a thinking block: `<think>`, `[THINK]`, `<|START_THINKING|>`."""
_OTHER = re.compile(r"<\|channel\|?>|<(?!think>)(?!/)[^\s<>]{0,40}(?:think|thought)[^\s<>]{0,40}>", re.I)
"""Markers of thinking that specs does not follow: `<|channel|>`, `<|START_THINKING|>`, `<seed:think>`."""
_ON, _OFF = ({"enable_thinking": value, "thinking": value} for value in (True, False))
_WITHOUT = "leave out 'think' (--think), or use a model that marks its thinking with <think> or [THINK]"
_QUESTION, _REASONING, _ANSWER = "{a question}", "{the reasoning}", "{the answer}"


class Markers(NamedTuple):
    """What opens and closes a thinking block; each is a single token in the vocabulary of a model that thinks.

    Attributes:
        opens, closes: their spellings.
        lead: white space after `opens` if the template shows none.
        after: white space after `closes` if the template shows none.
    """

    opens: str
    closes: str
    lead: str
    after: str


MARKERS = (Markers("<think>", "</think>", "\n", "\n\n"), Markers("[THINK]", "[/THINK]", "", ""))


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to switch thinking on or off: variables of the template, and a word in the system turn."""

    switches: Mapping[str, bool]
    word: str = ""

    def lay_out(self, template: ChatTemplate, turns: Sequence[Turn]) -> Layout:
        """The conversation up to the answer; raises `ModelError` as `layout.lay_out`."""
        if self.word:
            system = [turn.content for turn in turns[:1] if turn.role == "system"]
            turns = [Turn("system", "\n".join((*system, self.word))), *turns[len(system) :]]
        return lay_out(template, turns, True, self.switches)


def _off(template: ChatTemplate) -> Iterator[_Way]:
    yield _Way({"enable_thinking": False})
    yield _Way(_OFF)
    if "/no_think" in template.source:
        yield _Way(_OFF, "/no_think")


def _on(template: ChatTemplate) -> Iterator[_Way]:
    yield _Way(_ON)
    if "/think" in template.source.replace("</think", ""):
        yield _Way(_ON, "/think")


def answering(template: ChatTemplate, turns: Sequence[Turn]) -> Layout:
    """The conversation up to the answer, without thinking.

    If the template opens a block although `enable_thinking` is false, its other switches are tried. If none helps, the
    layout ends in an open block (`block_at_end`).

    Raises:
        ModelError: as `layout.lay_out`.
    """
    first, *others = _off(template)
    layout = first.lay_out(template, turns)
    if block_at_end(layout) is None:
        return layout
    for way in others:
        try:
            other = way.lay_out(template, turns)
        except ModelError:
            continue
        if block_at_end(other) is None:
            return other
    return layout


def thinking_on(template: ChatTemplate, turns: Sequence[Turn], thinking: Thinking) -> Layout:
    """The conversation up to the first token inside the thinking: it always ends in an open block.

    Raises:
        ModelError: as `layout.lay_out`, or the template closes the block again.
    """
    opens, closes = next(markers[:2] for markers in MARKERS if markers.opens in thinking.opening)
    for way in _on(template):
        try:
            layout = way.lay_out(template, turns)
        except ModelError:
            if way.word:  # the template may refuse system turns
                continue
            raise
        end = layout.tail.rstrip()
        if end.endswith(opens):
            return layout
        if not end.endswith(closes):
            return replace(layout, text=layout.text + thinking.opening)
    raise ModelError(
        "the chat template closes the thinking block before the model can think; if a turn switches thinking off "
        "(/no_think), remove that, otherwise leave out 'think' (--think)"
    )


def block_at_end(layout: Layout) -> str | None:
    """The marker of the thinking block that a template opened at the end; None if it opened none."""
    opened = _OPENED.search(layout.tail)
    return None if opened is None else opened.group().strip()


def closes_block(thinking: Thinking) -> str:
    """What closes an open block, with the white space around it."""
    return thinking.closing.partition(TIME_IS_UP)[2]


def thinking_of(template: ChatTemplate | None, vocabulary: Vocabulary) -> Thinking | str:
    """How a model marks its thinking, or why it cannot think, with the mend."""
    if template is None:
        return f"the model has no chat template, which would show how it thinks; {_WITHOUT}"
    problem = None
    for markers in MARKERS:
        if (block := _block(template, markers)) is not None:
            found = _thinking(vocabulary, markers, *block)
            if isinstance(found, Thinking):
                return found
            problem = problem or found
    if (other := _OTHER.search(template.source)) is not None:
        problem = problem or f"the model marks its thinking with {other.group()}, which specs cannot follow"
    return f"{problem or 'the model does not think: its chat template names no marker of thinking'}; {_WITHOUT}"


def _thinking(vocabulary: Vocabulary, markers: Markers, opening: str, ending: str) -> Thinking | str:
    for marker in markers[:2]:
        ids = vocabulary.encode(marker)
        # A token that people can write as text would let a question close the block.
        if len(ids) != 1 or ids[0] in vocabulary.encode_plain(marker):
            return f"the model marks its thinking with {marker}, which is not a control token of its vocabulary"
    (close_id,) = vocabulary.encode(markers.closes)
    ids = vocabulary.encode(f"\n\n{TIME_IS_UP}{ending}")
    closing = "".join(map(vocabulary.spelling, ids))  # some control tokens absorb the white space beside them
    if ids.count(close_id) != 1 or TIME_IS_UP not in closing or vocabulary.encode(closing) != ids:
        return f"the vocabulary does not write the text that closes a {markers.opens} block as it stands"
    return Thinking(opening, close_id, closing, tuple(ids), vocabulary.spelling(close_id))


def _block(template: ChatTemplate, markers: Markers) -> tuple[str, str] | None:
    """What opens a block at the end of a prompt, and what closes it before the answer, with their white space.

    None if the template neither writes nor names the markers. The white space comes from an answer with reasoning if
    the template shows reasoning, or from an empty block, or it is the usual one.
    """
    ons, offs = ([*_tails(template, ways(template))] for ways in (_on, _off))
    answered = _answered(template)
    if not any(marker in text for marker in markers[:2] for text in (template.source, *ons, *offs)):
        return None
    opens, closes = map(re.escape, markers[:2])
    on = next((tail for tail in ons if not tail.rstrip().endswith(markers.closes)), "")
    opened = re.search(rf"{opens}(\s*)\Z", on)
    full = re.search(rf"(\s*){opens}(\s*){re.escape(_REASONING)}(\s*){closes}(\s*){re.escape(_ANSWER)}", answered)
    empty = next(
        (
            found
            for text in (*offs, answered)
            if (found := re.search(rf"(?:(\s*){opens}(\s*))?{closes}(\s*)(?:{re.escape(_ANSWER)}|\Z)", text))
        ),
        None,
    )
    lead = markers.lead if opened is None else opened[1]
    before, rest, after = "", lead, markers.after
    if full is not None:
        before, lead, rest, after = full.groups()
    elif empty is not None:
        after = empty[3]
        if (inside := empty[2]) is not None:
            middle = (len(inside) + 1) // 2
            before, lead, rest = empty[1], inside[:middle], inside[middle:]
    written = on[len(on.rstrip()) :]
    opening = before.removeprefix(written) + markers.opens + lead if opened is None else opened.group()
    return opening, rest + markers.closes + after


def _tails(template: ChatTemplate, ways: Iterator[_Way]) -> Iterator[str]:
    """What the template writes between a question and the answer, for each way in which it writes that."""
    for way in ways:
        for turns in ([Turn("user", _QUESTION)], [Turn("system", "{the system}"), Turn("user", _QUESTION)]):
            try:
                yield way.lay_out(template, turns).tail
            except ModelError:
                continue
            break


def _answered(template: ChatTemplate) -> str:
    """What the template writes after a question that has an answer with reasoning; empty if it refuses that."""
    for system in ([], [Turn("system", "{the system}")]):
        try:
            text = template.answered([*system, Turn("user", _QUESTION)], _REASONING, _ANSWER, _ON)
        except ModelError:
            continue
        return text.rpartition(_QUESTION)[2]
    return ""
