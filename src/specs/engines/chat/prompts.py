"""Prompts, and questions about an answer, in the layout of a model's chat template."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

from specs.core.text import readable
from specs.engines.chat.control import Span
from specs.engines.chat.layout import Layout, lay_out
from specs.errors import ModelError
from specs.types import NO_CONTEXT, Chat, Judge, Phase, Thinking, Turn

_THOUGHTS = re.compile(
    r"[<\[{|](?!/)(?:(?!end|/)[^\s<>\[\]{}]){0,40}think(?:(?!end|/)[^\s<>\[\]{}]){0,40}[>\]}|]\s*\Z", re.I
)
"""A tag at the end of a text that opens a thinking block: `<think>`, `[THINK]`, `<|START_THINKING|>`."""
_ANSWER = "{the answer}"
"""Stands for a trace while a template is rendered."""


class Templated(ABC):
    """A vocabulary with a chat template: makes prompts, and questions about an answer.

    A model without a template gets the text of the turns, with a blank line after each. Control tokens come
    only from the template: text in turns never becomes one (`specs.engines.chat.control`).

    Attributes:
        name: the model's name in error messages.
        bos: spelling of the beginning-of-text token; None if no file names one.
        thinking: see `Text.thinking`.
    """

    thinking: Thinking | None = None
    name: str
    fingerprint: str
    size: int
    end_ids: frozenset[int]
    end_id: int

    def __init__(self, name: str, template: str | None, tokens: Mapping[str, str]) -> None:
        """`tokens` are the special tokens by name (`bos_token`, ...)."""
        from specs.engines.chat.templates import ChatTemplate

        self.name = name
        self._template = None if template is None else ChatTemplate(template, tokens)
        self.bos = tokens.get("bos_token")
        self._judgements: dict[tuple[Judge, Phase], tuple[list[int], list[int]]] = {}

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

    def prompt(
        self, question: str, system: str | None = None, generation: bool = True, chat: Chat = NO_CONTEXT
    ) -> list[int]:
        """See `Text.prompt`.

        Raises:
            ModelError: the chat template refuses the conversation, drops or changes a part of it, or
                opens a thinking block.
        """
        if not chat.template:
            start, ids = self._raw_start(), self.encode(question)  # the user writes the layout
            return ids if ids[: len(start)] == start else start + ids
        turns = [*chat.before, Turn("user", question)]
        if system is not None and turns[0].role != "system":
            turns.insert(0, Turn("system", system))
        if self._template is None:
            return [*(self._start() or ()), *self.encode_plain("".join(f"{turn.content}\n\n" for turn in turns))]
        layout = self._laid_out(turns, generation)
        return self._encode(layout.text, layout.written)

    def _raw_start(self) -> list[int]:
        """The tokens before a raw text that the model continues."""
        start = self._start()
        # Many tokenizers add no token because the template does; the model has never seen a text without it.
        if not start and self.bos and (start is None or (self._template and self._template.writes_bos)):
            return self.encode(self.bos)
        return start or []

    def _laid_out(self, turns: Sequence[Turn], generation: bool, thinks: bool = False) -> Layout:
        """The conversation; with `thinks` it ends inside the thinking."""
        assert self._template is not None
        turns = [Turn(turn.role, readable(turn.content)) for turn in turns]
        try:
            layout = lay_out(self._template, turns, generation)
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from None
        ends = layout.written[-1][1] if layout.written else 0
        if thinks and self.thinking is not None:
            tail, _, _ = layout.text[ends:].partition(self.thinking.opening.strip())
            return replace(layout, text=layout.text[:ends] + tail + self.thinking.opening)
        if generation and (opened := _THOUGHTS.search(layout.text, ends)):
            raise ModelError(
                f"{self.name}: the chat template opens a {opened.group().strip()} block, which cannot be stepped "
                "through; use a model or template that can switch thinking off"
            )
        return layout

    def _turn_end(self) -> int | None:
        """The control token that the template writes directly after an answer, last or not; None if there is none.

        Many templates write nothing after the last answer. Then it is the token after an earlier answer, unless
        that token opens the next turn.
        """
        if self._template is None:
            return None
        turns = [Turn("user", "{a question}"), Turn("assistant", _ANSWER), Turn("user", "{the next}")]
        between, last = self._around_answer(turns), self._around_answer(turns[:2])
        if between is None:
            return None
        end = self._first_control(between[1])
        if last is not None and last[1].strip():
            return end if end == self._first_control(last[1]) else None
        opened = {token for token, _ in self._control_in(between[0].partition(turns[0].content)[0])}
        return None if end in opened else end

    def _around_answer(self, turns: Sequence[Turn]) -> tuple[str, str] | None:
        """The texts before and after an answer, with a system turn if the template needs one; None if it refuses."""
        for conversation in (turns, [Turn("system", "{the system}"), *turns]):
            try:
                before, found, behind = self._laid_out(conversation, False).text.rpartition(_ANSWER)
            except ModelError:
                continue
            return (before, behind) if found else None
        return None

    def _first_control(self, text: str) -> int | None:
        """The control token that a text begins with, ignoring white space; None if there is none."""
        tokens = self._control_in(text.lstrip())
        return tokens[0][0] if tokens and tokens[0][1][0] == 0 else None

    def judgement(self, judge: Judge, phase: Phase = Phase.ANSWER) -> tuple[list[int], list[int]]:
        """See `Text.judgement`.

        Raises:
            ModelError: a label is not a single token after the opening, or the chat template
                cannot continue after an answer.
        """
        if (known := self._judgements.get((judge, phase))) is None:
            known = self._judgements[judge, phase] = self._judgement(judge, phase)
        return known

    def _judgement(self, judge: Judge, phase: Phase) -> tuple[list[int], list[int]]:
        """In the thinking, the trace's block stays as it is, the template ends the turn, and a new block is opened."""
        thinks = phase is Phase.THINKING
        if self._template is None:
            asked = f"\n\n{judge.instruction}\n\n"
        else:
            turns = [Turn("user", ""), Turn("assistant", _ANSWER), Turn("user", judge.instruction)]
            _, found, asked = self._laid_out(turns, True, thinks).text.rpartition(_ANSWER)
            if not found:
                raise ModelError("the chat template changes answers, so the model cannot be asked about one")
        return self.labelled(asked + (judge.thought if thinks else "") + judge.opening, judge.labels)

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

    def turns(self) -> tuple[str, str, str]:
        """What the template writes before a user's turn, between it and the answer, and after the answer.

        Raises:
            ModelError: there is no template, or it does not keep turns as they are.
        """
        if self._template is None:
            raise ModelError("there is no chat template, and the PRM is asked in turns: add its chat_template.jinja")
        marks = ["{the question}", _ANSWER, "{the next question}"]
        turns = [Turn("user", marks[0]), Turn("assistant", marks[1]), Turn("user", marks[2])]
        try:
            rest = self._laid_out(turns, False).text
        except ModelError as error:
            raise ModelError(
                "the chat template drops turns or refuses them, and the PRM is asked in turns: "
                f"add the PRM's own ({error})"
            ) from None
        parts: list[str] = []
        for mark in marks:
            part, found, rest = rest.partition(mark)
            if not found:
                raise ModelError("the chat template changes turns, and the PRM is asked in turns: add the PRM's own")
            parts.append(part)
        before, answer, following = parts
        return before, answer, following
