"""What a model reads before and behind an answer: prompts and questions, laid out by its chat template."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from specs.core.text import readable
from specs.errors import ModelError
from specs.models.control import Span
from specs.models.layout import Layout, lay_out
from specs.types import ALONE, Chat, Judge, Turn

_THOUGHTS = re.compile(
    r"[<\[{|](?!/)(?:(?!end|/)[^\s<>\[\]{}]){0,40}think(?:(?!end|/)[^\s<>\[\]{}]){0,40}[>\]}|]\s*\Z", re.I
)
"""A mark at the end of a text that opens a block of thoughts: `<think>`, `[THINK]`, `<|START_THINKING|>`."""
_ANSWER = "{the answer}"
"""Stands for a trace while a template is rendered."""


class Templated(ABC):
    """What a chat template makes of a vocabulary: prompts, and questions about an answer.

    A model without a template gets what the turns say, a blank line behind each. Control tokens come
    from the template alone: what turns spell stays text (`specs.models.control`).

    Attributes:
        name: what errors call the model.
        bos: spelling of the beginning-of-text token; None where none is named.
    """

    name: str
    fingerprint: str
    size: int
    end_ids: frozenset[int]
    end_id: int

    def __init__(self, name: str, template: str | None, tokens: Mapping[str, str]) -> None:
        """`tokens` are the special tokens by name (`bos_token`, ...)."""
        from specs.models.templates import ChatTemplate

        self.name = name
        self._template = None if template is None else ChatTemplate(template, tokens)
        self.bos = tokens.get("bos_token")
        self._judgements: dict[Judge, tuple[list[int], list[int]]] = {}

    @abstractmethod
    def piece(self, token: int) -> bytes:
        """See `Text.piece`."""

    @abstractmethod
    def spelling(self, token: int) -> str:
        """A token for people: its text, or its name where it adds none."""

    @abstractmethod
    def _encode(self, text: str, written: Sequence[Span]) -> list[int]:
        """Ids of `text`, in which the spans `written` have no control tokens."""

    @abstractmethod
    def _control_in(self, text: str) -> list[tuple[int, Span]]:
        """Control tokens that `text` spells, and where."""

    @abstractmethod
    def _start(self) -> list[int] | None:
        """What the tokenizer puts before a text; None where it does not say."""

    def encode(self, text: str) -> list[int]:
        """See `Text.encode`."""
        return self._encode(readable(text), ())

    def encode_plain(self, text: str, before: str = "", after: str = "") -> list[int]:
        """See `Text.encode_plain`."""
        before, text, after = map(readable, (before, text, after))
        return self._encode(before + text + after, [(len(before), len(before) + len(text))])

    def prompt(
        self, question: str, system: str | None = None, generation: bool = True, chat: Chat = ALONE
    ) -> list[int]:
        """See `Text.prompt`.

        Raises:
            ModelError: the chat template refuses the conversation, drops or changes a part of it, or
                opens a block of thoughts.
        """
        if not chat.template:
            start, ids = self._raw_start(), self.encode(question)  # its author lays it out by hand
            return ids if ids[: len(start)] == start else start + ids
        turns = [*chat.before, Turn("user", question)]
        if system is not None and turns[0].role != "system":
            turns.insert(0, Turn("system", system))
        if self._template is None:
            return [*(self._start() or ()), *self.encode_plain("".join(f"{turn.content}\n\n" for turn in turns))]
        layout = self._laid_out(turns, generation)
        return self._encode(layout.text, layout.written)

    def _raw_start(self) -> list[int]:
        """What stands before a raw text that the model continues."""
        start = self._start()
        # Many tokenizers add nothing because the template does: the model has never seen a text without it.
        if not start and self.bos and (start is None or (self._template and self._template.writes_bos)):
            return self.encode(self.bos)
        return start or []

    def _laid_out(self, turns: Sequence[Turn], generation: bool) -> Layout:
        assert self._template is not None
        turns = [Turn(turn.role, readable(turn.content)) for turn in turns]
        try:
            layout = lay_out(self._template, turns, generation)
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from None
        ends = layout.written[-1][1] if layout.written else 0
        if generation and (opened := _THOUGHTS.search(layout.text, ends)):
            raise ModelError(
                f"{self.name}: the chat template opens a {opened.group().strip()} block, which cannot be stepped "
                "through; use a model or template that can switch thinking off"
            )
        return layout

    def _turn_end(self) -> int | None:
        """The control token that the template writes right behind an answer, last or not; None for none.

        Behind the last one many write nothing: then it is what stands behind an earlier one, unless that
        opens the next turn.
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
        """The texts before and behind an answer, with a system turn where they need one; None where it is refused."""
        for some in (turns, [Turn("system", "{the system}"), *turns]):
            try:
                before, found, behind = self._laid_out(some, False).text.rpartition(_ANSWER)
            except ModelError:
                continue
            return (before, behind) if found else None
        return None

    def _first_control(self, text: str) -> int | None:
        """The control token with which a text begins, white space apart; None for none."""
        tokens = self._control_in(text.lstrip())
        return tokens[0][0] if tokens and tokens[0][1][0] == 0 else None

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
            turns = [Turn("user", ""), Turn("assistant", _ANSWER), Turn("user", judge.instruction)]
            _, found, asked = self._laid_out(turns, True).text.rpartition(_ANSWER)
            if not found:
                raise ModelError("the chat template changes answers, so the model cannot be asked about one")
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
