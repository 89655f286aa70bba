"""Turns an HTTP request into the solves that it asks for (`parse_request`)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from specs.config import Limits, SolveConfig, configure
from specs.config.solve_config import MAX_THINKING_TOKENS
from specs.decoding.closing import thinking_of
from specs.engines.protocol import Models
from specs.errors import InputError, ModelError
from specs.methods import Method, candidates_of
from specs.methods.early_exit import EarlyExit
from specs.methods.registry import options_of
from specs.server.errors import Refused, quoted
from specs.server.model_catalog import ServedModel, default_model
from specs.server.schemas import (
    SEED,
    ChatRequest,
    Common,
    CompletionRequest,
    Message,
    SpecsOptions,
    unknown_fields,
)
from specs.server.thinking import ThinkingRequest, TokenLimit, divided, parse_thinking
from specs.types import Chat, Thinking, Turn

METHOD_OPTIONS = ("n", "beta", "tau", "width", "threshold")
"""Method options that a request may set."""
MIN_TEMPERATURE = 0.01
"""The lowest temperature above 0: single precision cannot represent logits divided by less."""
MAX_NAMED = 16
"""The most ignored fields that a note names."""
SEED_AT_TEMPERATURE_0 = 0
"""The seed of a request at temperature 0 that sets none."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The most that a request may ask for, the server's sampling defaults, and what happens to unknown fields.

    Attributes:
        n: candidates per step.
        tokens: tokens of an answer, thinking apart; also the limit of a request that sets none or a higher one.
        step_tokens: tokens of one step.
        law: default sampling options, as `specs.api.configure` takes them.
        ignore_unknown: ignore unknown fields, except those under `specs`, instead of refusing them.
        think: whether the models think for a request that does not say.
        thinking_tokens: tokens after which the thinking is closed; also the budget of a request that sets none or a
            larger one.
        early_exit: the rule that may end the thinking of any request early; None for no rule.
    """

    n: int = 64
    tokens: int = 2048
    step_tokens: int = 1024
    law: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ignore_unknown: bool = False
    think: bool = False
    thinking_tokens: int = MAX_THINKING_TOKENS
    early_exit: EarlyExit | None = None


@dataclass(frozen=True, slots=True)
class SolveRequest:
    """One solve that a request asks for.

    Attributes:
        model: the name that the client requested, or the default for a request that names none.
        stop: stop strings; the answer ends before the first one.
        notes: remarks for the client on how the server interpreted the request.
        thinking: how the models mark their thinking; None if they do not think.
        include_thinking: whether the answer has the text of the thinking, if the models think.
    """

    model: str
    question: str
    chat: Chat
    config: SolveConfig
    stop: tuple[str, ...]
    notes: tuple[str, ...]
    thinking: Thinking | None = None
    include_thinking: bool = True


def parse_request(
    request: ChatRequest | CompletionRequest,
    catalog: Mapping[str, ServedModel],
    request_limits: RequestLimits,
    models: Models,
    notes: tuple[str, ...],
) -> list[SolveRequest]:
    """The solves of a request: each prompt `n` times, with consecutive seeds. `notes` come before its own.

    Raises:
        Refused: something cannot be done; the error names the field.
    """
    thinking = parse_thinking(request, request_limits.think, request_limits.thinking_tokens)
    model = default_model(catalog, thinking.think) if request.model is None else request.model
    served = catalog.get(model)
    if served is None:
        raise Refused(
            404, f"there is no model {quoted(model)}; GET /v1/models names them", param="model", code="model_not_found"
        )
    config, marks, further_notes = _thinking_config(request, served, request_limits, models, thinking)
    notes += further_notes
    if isinstance(request, ChatRequest):
        prompts = [_question_and_chat(request.messages)]
    else:
        prompts = [(prompt, Chat(template=False)) for prompt in request.prompts]
    if config.sampling.thinks:
        prompts = [(question, replace(chat, think=True)) for question, chat in prompts]
    for question, chat in prompts:
        param = "messages" if isinstance(request, ChatRequest) else "prompt"
        _check_prompt(question, chat, config.method, models, param, thinking.param)
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    first = _seed(request)
    if first + (request.n or 1) > SEED:
        raise Refused(400, f"seed: the {request.n} answers have consecutive seeds, all below 2^63", param="seed")
    return [
        SolveRequest(
            model, question, chat, replace(config, seed=first + answer_idx), stop, notes, marks, thinking.include
        )
        for question, chat in prompts
        for answer_idx in range(request.n or 1)
    ]


def note_unknown_fields(request: Common, request_limits: RequestLimits) -> tuple[str, ...]:
    """A note that names the ignored fields, if there are any.

    Raises:
        Refused: a field is unknown, and the server does not ignore those or the field is under `specs`. Only this
            server defines those, so it is misspelt.
    """
    unknown = list(unknown_fields(request))
    for path in unknown:
        if not request_limits.ignore_unknown or path.startswith("specs."):
            shown = quoted(path)[1:-1]
            hint = "" if path.startswith("specs.") else ", or start the server with --ignore-unknown"
            raise Refused(400, f"{shown}: there is no such field; leave it out{hint}", param=shown)
    named = [quoted(path) for path in unknown[:MAX_NAMED]]
    if len(unknown) > MAX_NAMED:
        named.append(f"and {len(unknown) - MAX_NAMED} more")
    return (f"ignored, because there are no such fields: {', '.join(named)}",) if named else ()


def _thinking_config(
    request: Common, served: ServedModel, request_limits: RequestLimits, models: Models, thinking: ThinkingRequest
) -> tuple[SolveConfig, Thinking | None, tuple[str, ...]]:
    """The configuration with or without thinking, how the models mark it, and notes.

    Where thinking is only the server's default, methods that cannot think answer without it.
    """
    limit = _token_limit(request)
    config, notes = _configure(request, served, request_limits, thinking)
    try:
        models.require(config.method, config.sampling)
    except InputError as error:
        raise Refused(400, str(error)) from None
    try:
        marks = thinking_of(models, config.method, config.sampling)
        if marks is not None and limit is not None:
            limits, more = divided(config.limits, limit, request_limits.tokens, marks)
            config, notes = replace(config, limits=limits), (*notes, *more)
    except InputError as error:
        if thinking.param is not None:
            raise Refused(400, f"{thinking.param}: {_said(error, thinking.param)}", param=thinking.param) from None
        config, notes = _configure(request, served, request_limits, replace(thinking, think=False))
        return config, None, (*notes, f"answered without thinking: {str(error).partition(';')[0]}")
    return config, marks, (*thinking.notes, *notes)


def _configure(
    request: Common, served: ServedModel, request_limits: RequestLimits, thinking: ThinkingRequest
) -> tuple[SolveConfig, tuple[str, ...]]:
    own = request.specs or SpecsOptions.model_validate({})
    name = own.method or served.method
    options = dict(served.options) if name == served.method else {}
    given = {option: value for option in METHOD_OPTIONS if (value := getattr(own, option)) is not None}
    law = {**request_limits.law, **served.law}
    notes: tuple[str, ...] = ()
    limits: dict[str, Any] = {"max_tokens": request_limits.tokens, "deadline_s": own.deadline_s}
    if (limit := _token_limit(request)) is not None:
        limits["max_tokens"] = min(limit.value, request_limits.tokens)
        if limit.value > request_limits.tokens and not thinking.think:
            notes = (f"{limit.param}: cut to {request_limits.tokens}, the most that this server allows",)
    if thinking.think:
        limits |= {"think": True, "max_thinking_tokens": thinking.max_tokens}
        limits["early_exit"] = request_limits.early_exit
    if own.max_steps is not None:
        limits["max_steps"] = own.max_steps
    if own.max_step_tokens is not None:
        if own.max_step_tokens > request_limits.step_tokens:
            raise Refused(
                400, f"specs.max_step_tokens: at most {request_limits.step_tokens} here", param="specs.max_step_tokens"
            )
        law["max_step_tokens"] = own.max_step_tokens
    if request.top_p is not None:
        law["top_p"] = request.top_p
    if request.top_k is not None:
        law["top_k"] = max(request.top_k, 0)
    if request.min_p is not None:
        law["min_p"] = request.min_p
    try:
        known = options_of(name)
        if foreign := [option for option in given if option not in known]:
            raise Refused(400, f"specs.{foreign[0]}: method {name} has no such option", param=f"specs.{foreign[0]}")
        options |= given
        if request.temperature and request.temperature < MIN_TEMPERATURE:
            raise Refused(400, f"temperature: give 0, or at least {MIN_TEMPERATURE:g}", param="temperature")
        if request.temperature:
            law["temperature"] = request.temperature
        elif request.temperature == 0:
            if "select" in known:
                options["select"] = "best"
        config = configure(name, **law, **limits, **options)
        if request.temperature == 0:
            notes += (
                f"temperature 0: the best candidate of each step, seed {SEED_AT_TEMPERATURE_0} unless you set one; "
                f"candidates are sampled at {config.sampling.temperature:g}",
            )
    except InputError as error:
        raise Refused(400, str(error), param="specs" if request.specs else None) from None
    if candidates_of(config.method) > request_limits.n:
        raise Refused(400, f"specs.n: at most {request_limits.n} candidates a step here", param="specs.n")
    return config, notes


def _token_limit(request: Common) -> TokenLimit | None:
    """The most tokens that a request wants; None if it does not say."""
    names = [name for name in ("max_completion_tokens", "max_tokens") if name in type(request).model_fields]
    given = {name: value for name in names if (value := getattr(request, name)) is not None}
    if len(set(given.values())) > 1:
        raise Refused(400, "max_tokens and max_completion_tokens differ; give one of them", param="max_tokens")
    return next((TokenLimit(name, value) for name, value in given.items()), None)


def _seed(request: Common) -> int:
    outer, inner = request.seed, request.specs.seed if request.specs else None
    if outer is not None and inner is not None and outer != inner:
        raise Refused(400, "seed and specs.seed differ; give one of them", param="specs.seed")
    seed = outer if inner is None else inner
    if seed is None:
        return SEED_AT_TEMPERATURE_0 if request.temperature == 0 else secrets.randbits(31)
    return seed


def _question_and_chat(messages: Sequence[Message]) -> tuple[str, Chat]:
    """The last message, which is the question, and the turns before it."""
    if messages[-1].role != "user":
        raise Refused(400, "messages: the last message must have the role user; it is the question", param="messages")
    for place, message in enumerate(messages):
        for name in ("reasoning", "reasoning_content"):
            if message.role != "assistant" and getattr(message, name) is not None:
                param = f"messages.{place}.{name}"
                raise Refused(400, f"{param}: only the assistant's messages have reasoning; leave it out", param=param)
    turns = [
        Turn(cast(Any, "system" if message.role == "developer" else message.role), message.text)
        for message in messages[:-1]
    ]
    return messages[-1].text, Chat(tuple(turns))


def _said(error: Exception, thinking: str | None) -> str:
    """An error's message, in which the field that asks for thinking takes the place of the command line's option."""
    return str(error).replace("'think' (--think)", thinking or "reasoning_effort")


def _check_prompt(question: str, chat: Chat, method: Method, models: Models, param: str, thinking: str | None) -> None:
    """Refuse a prompt that one of the method's models cannot read; `thinking` is the field that asks for thinking."""
    if not question.strip():
        raise Refused(400, f"{param}: the question is empty; write what to solve", param=param)
    for role in method.roles:
        try:
            models.prompt(role, question, chat)
        except InputError as error:
            raise Refused(400, f"{param}: {error}", param=param, code="context_length_exceeded") from None
        except ModelError as error:
            raise Refused(400, f"{param}: {_said(error, thinking)}", param=param) from None


def remaining_limits(limits: Limits, waited_s: float) -> Limits | None:
    """The limits after `waited_s` seconds in the queue; None once the deadline has passed."""
    if limits.deadline_s is None:
        return limits
    left = limits.deadline_s - waited_s
    return replace(limits, deadline_s=left) if left > 0 else None
