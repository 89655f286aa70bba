"""Prompts, and questions about an answer, in the layout of a model's chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from specs.core.text import readable
from specs.engines.chat.layout import Layout, lay_out
from specs.engines.chat.thinking import answering, block_at_end, closes_block, thinking_of, thinking_on
from specs.engines.chat.vocabulary import Vocabulary
from specs.errors import ModelError
from specs.types import NO_CONTEXT, Chat, Judge, Phase, Thinking, Turn

_ANSWER = "{the answer}"
"""Stands for a trace while a template is rendered."""


class Templated(Vocabulary):
    """A vocabulary with a chat template: makes prompts, and questions about an answer.

    A model without a template gets the text of the turns, with a blank line after each. Control tokens come
    only from the template: text in turns never becomes one (`specs.engines.chat.control`).

    Attributes:
        name: the model's name in error messages.
        bos: spelling of the beginning-of-text token; None if no file names one.
    """

    name: str

    def __init__(self, name: str, template: str | None, tokens: Mapping[str, str]) -> None:
        """`tokens` are the special tokens by name (`bos_token`, ...)."""
        from specs.engines.chat.templates import ChatTemplate

        self.name = name
        self._template = None if template is None else ChatTemplate(template, tokens)
        self.bos = tokens.get("bos_token")
        self._judgements: dict[tuple[Judge, Phase], tuple[list[int], list[int]]] = {}

    @property
    def thinking(self) -> Thinking | None:
        """See `Text.thinking`."""
        return found if isinstance(found := self._found_thinking, Thinking) else None

    @cached_property
    def _found_thinking(self) -> Thinking | str:
        return thinking_of(self._template, self)

    def prompt(
        self, question: str, system: str | None = None, generation: bool = True, chat: Chat = NO_CONTEXT
    ) -> list[int]:
        """See `Text.prompt`.

        Raises:
            ModelError: the chat template refuses the conversation, drops or changes a part of it, or opens a thinking
                block although thinking is off; or the model is asked to think and cannot.
        """
        if not chat.template:
            start, ids = self._raw_start(), self.encode(question)  # the user writes the layout
            return ids if ids[: len(start)] == start else start + ids
        turns = [*chat.before, Turn("user", question)]
        if system is not None and turns[0].role != "system":
            turns.insert(0, Turn("system", system))
        if generation and chat.think:
            layout = self._thinking_on(turns)
            return self._encode(layout.text, layout.written)
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

    def _laid_out(self, turns: Sequence[Turn], generation: bool, close: bool = False) -> Layout:
        """The conversation without thinking; with `close`, a block that the template opens nevertheless is closed."""
        assert self._template is not None
        turns = [Turn(turn.role, readable(turn.content)) for turn in turns]
        try:
            if not generation:
                return lay_out(self._template, turns, False)
            layout = answering(self._template, turns)
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from None
        if (marker := block_at_end(layout)) is None:
            return layout
        if close and self.thinking is not None:
            return replace(layout, text=layout.text + closes_block(self.thinking))
        opens = f"{self.name}: the chat template opens a {marker} block"
        if self.thinking is None:
            raise ModelError(
                f"{opens}, which cannot be stepped through; use a model or template that can switch thinking off"
            )
        raise ModelError(
            f"{opens} although thinking is off; let the model think with 'think' (--think), or use a model or template "
            "that can switch thinking off"
        )

    def _thinking_on(self, turns: Sequence[Turn]) -> Layout:
        """The conversation up to the first token inside the thinking."""
        try:
            if isinstance(self._found_thinking, str):
                raise ModelError(self._found_thinking)
            assert self._template is not None
            readable_turns = [Turn(turn.role, readable(turn.content)) for turn in turns]
            return thinking_on(self._template, readable_turns, self._found_thinking)
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from None

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
            layout = self._thinking_on(turns) if thinks else self._laid_out(turns, True, close=True)
            _, found, asked = layout.text.rpartition(_ANSWER)
            if not found:
                raise ModelError("the chat template changes answers, so the model cannot be asked about one")
        return self.labelled(asked + (judge.thought if thinks else "") + judge.opening, judge.labels)

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
