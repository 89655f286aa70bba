"""What a request says about thinking, in the words of OpenAI, vLLM and OpenRouter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from specs.config import Limits
from specs.errors import InputError
from specs.server.errors import Refused
from specs.server.schemas import ChatRequest, Common
from specs.types import Thinking

BUDGETS = {"minimal": 2048, "low": 2048, "medium": 8192, "high": 16_384}
"""Tokens of thinking by effort. `xhigh` and `max` stand for the most that the server allows."""


@dataclass(frozen=True, slots=True)
class ThinkingRequest:
    """How the models think for a request.

    Attributes:
        think: whether they think.
        max_tokens: tokens after which the thinking is closed.
        include: whether the answer has the text of the thinking.
        param: the field that asks for thinking; None if no field does.
        notes: remarks for the client.
    """

    think: bool
    max_tokens: int
    include: bool
    param: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """The most tokens that a request wants, thinking and answer together, and the field that says so."""

    param: str
    value: int


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one field says: whether to think, and the budget in tokens if it sets one."""

    param: str
    think: bool
    max_tokens: int | None = None


def parse_thinking(request: Common, default: bool, most: int) -> ThinkingRequest:
    """What a request says about thinking.

    Args:
        default: whether the models think if no field says.
        most: tokens of thinking that the server allows; also the budget of a request that sets none.

    Raises:
        Refused: two fields contradict each other, or a request without a chat template asks for thinking.
    """
    wishes = list(_wishes(request, most))
    include = _include(request)
    for wish in wishes:
        if wish.think != wishes[0].think:
            raise Refused(
                400, f"{wish.param} and {wishes[0].param} contradict each other; give one of them", param=wish.param
            )
    budgets = [wish for wish in wishes if wish.max_tokens is not None]
    for wish in budgets:
        if wish.max_tokens != budgets[0].max_tokens:
            raise Refused(
                400, f"{wish.param} and {budgets[0].param} set different budgets; give one of them", param=wish.param
            )
    if not isinstance(request, ChatRequest):
        if wishes and wishes[0].think:
            raise Refused(
                400,
                f"{wishes[0].param}: a completion continues raw text and cannot think; use /v1/chat/completions",
                param=wishes[0].param,
            )
        return ThinkingRequest(False, most, include)
    if not wishes:
        return ThinkingRequest(default, most, include)
    asked = (budgets or wishes)[0]
    if asked.max_tokens is not None and asked.max_tokens > most:
        note = f"{asked.param}: thinking is cut to {most} tokens, the most that this server allows"
        return ThinkingRequest(asked.think, most, include, asked.param, (note,))
    return ThinkingRequest(asked.think, asked.max_tokens or most, include, asked.param)


def divided(limits: Limits, limit: TokenLimit, most: int, marks: Thinking) -> tuple[Limits, tuple[str, ...]]:
    """Limits under which thinking and answer together keep to `limit`, and notes for the client.

    Half of it, at most `most`, is reserved for the answer. The rest is for the thinking and the text that closes it;
    what their budget leaves of it goes to the answer, too.

    Args:
        limits: limits with the thinking budget that the request would have without `limit`.
        most: tokens of an answer that the server allows.

    Raises:
        InputError: there is no room for both.
    """
    closing = len(marks.closing_ids)
    left = limit.value - min(most, limit.value // 2) - closing
    if left < 1:
        raise InputError(
            f"{limit.param} {limit.value} has no room for thinking and an answer; give at least {2 * closing + 1}"
        )
    notes: tuple[str, ...] = ()
    if left < limits.max_thinking_tokens:
        notes += (f"{limit.param}: {left} of {limit.value} tokens are for the thinking",)
    budget = min(left, limits.max_thinking_tokens)
    answer = limit.value - budget - closing
    if answer > most:
        notes += (f"{limit.param}: the answer is cut to {most} tokens, the most that this server allows",)
    return replace(limits, max_thinking_tokens=budget, max_tokens=min(answer, most)), notes


def _wishes(request: Common, most: int) -> Iterator[_Wish]:
    if request.reasoning_effort is not None:
        yield _by_effort("reasoning_effort", request.reasoning_effort, most)
    if (kwargs := request.chat_template_kwargs) is not None:
        for name, value in (("enable_thinking", kwargs.enable_thinking), ("thinking", kwargs.thinking)):
            if value is not None:
                yield _Wish(f"chat_template_kwargs.{name}", value)
    if (reasoning := request.reasoning) is not None:
        if reasoning.effort is not None:
            yield _by_effort("reasoning.effort", reasoning.effort, most)
        if reasoning.max_tokens is not None:
            yield _Wish("reasoning.max_tokens", True, reasoning.max_tokens)
        if reasoning.enabled is not None:
            yield _Wish("reasoning.enabled", reasoning.enabled)


def _by_effort(param: str, effort: str, most: int) -> _Wish:
    return _Wish(param, False) if effort == "none" else _Wish(param, True, BUDGETS.get(effort, most))


def _include(request: Common) -> bool:
    """Whether the answer has the text of the thinking: `include_reasoning`, or the opposite of `reasoning.exclude`."""
    include = request.include_reasoning
    exclude = request.reasoning.exclude if request.reasoning is not None else None
    if include is not None and exclude is not None and include == exclude:
        raise Refused(
            400, "reasoning.exclude and include_reasoning contradict each other; give one of them",
            param="reasoning.exclude",
        )  # fmt: skip
    return include is not False and exclude is not True
