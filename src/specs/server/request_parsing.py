"""From a request to the solves that it asks for."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from specs.config import Limits, SolveConfig, configure
from specs.config.solve_config import TEMPERATURE
from specs.engines.protocol import Models
from specs.errors import InputError, ModelError
from specs.methods import Method, settings_of
from specs.methods.registry import options_of
from specs.server.errors import Refused, quoted
from specs.server.model_catalog import Offer
from specs.server.schemas import ChatRequest, Common, CompletionRequest, Message, SpecsOptions
from specs.types import Chat, Turn

OPTIONS = ("n", "beta", "tau", "width", "threshold")
"""Options of methods that a request may give."""
COLDEST = 0.01
"""The lowest temperature above 0: logits over less are beyond what single precision tells apart."""
SEED_AT_ZERO = 0
"""Of temperature 0, where the request names none."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What a request may ask for at most; `law` is what it gets where it asks for nothing.

    Attributes:
        n: candidates a step.
        tokens: of an answer, and what an answer may have where the request does not say.
        step_tokens: of one step.
        law: as `specs.api.configure` takes it.
    """

    n: int = 64
    tokens: int = 2048
    step_tokens: int = 1024
    law: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Asked:
    """One solve.

    Attributes:
        stop: texts before which the answer ends.
        notes: what was made of the request that its fields do not say.
    """

    model: str
    question: str
    chat: Chat
    config: SolveConfig
    stop: tuple[str, ...]
    notes: tuple[str, ...]


def asked_by(
    request: ChatRequest | CompletionRequest, offers: Mapping[str, Offer], caps: Caps, models: Models
) -> list[Asked]:
    """The solves of a request: its prompts, each `n` times with seeds that follow one another.

    Raises:
        Refused: what cannot be done, by the name of its field.
    """
    offer = offers.get(request.model)
    if offer is None:
        raise Refused(
            404, f"there is no model {quoted(request.model)}; GET /v1/models names them", param="model",
            code="model_not_found",
        )  # fmt: skip
    config, notes = _configured(request, request.specs or SpecsOptions.model_validate({}), offer, caps)
    try:
        models.require(config.method, config.sampling)
    except InputError as error:
        raise Refused(400, str(error)) from None
    if isinstance(request, ChatRequest):
        prompts = [_conversation(request.messages)]
    else:
        prompts = [(prompt, Chat(template=False)) for prompt in request.prompts]
    for question, chat in prompts:
        _check(question, chat, config.method, models, "messages" if isinstance(request, ChatRequest) else "prompt")
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    first = _seed(request)
    return [
        Asked(request.model, question, chat, replace(config, seed=first + k), stop, notes)
        for question, chat in prompts
        for k in range(request.n or 1)
    ]


def _configured(request: Common, own: SpecsOptions, offer: Offer, caps: Caps) -> tuple[SolveConfig, tuple[str, ...]]:
    name = own.method or offer.method
    options = dict(offer.options) if name == offer.method else {}
    given = {option: value for option in OPTIONS if (value := getattr(own, option)) is not None}
    law = {**caps.law, **offer.law}
    limits: dict[str, Any] = {"max_tokens": _tokens(request, caps), "deadline_s": own.deadline_s}
    if own.max_steps is not None:
        limits["max_steps"] = own.max_steps
    if own.max_step_tokens is not None:
        if own.max_step_tokens > caps.step_tokens:
            raise Refused(400, f"specs.max_step_tokens: at most {caps.step_tokens} here", param="specs.max_step_tokens")
        law["max_step_tokens"] = own.max_step_tokens
    if request.top_p is not None:
        law["top_p"] = request.top_p
    notes: tuple[str, ...] = ()
    try:
        known = options_of(name)
        if foreign := [option for option in given if option not in known]:
            raise Refused(400, f"specs.{foreign[0]}: method {name} has no such option", param=f"specs.{foreign[0]}")
        options |= given
        if request.temperature and request.temperature < COLDEST:
            raise Refused(400, f"temperature: 0, or at least {COLDEST:g}", param="temperature")
        if request.temperature:
            law["temperature"] = request.temperature
        elif request.temperature == 0:
            if "select" in known:
                options["select"] = "best"
            temperature = law.get("temperature", TEMPERATURE)
            notes = (
                f"temperature 0: the best candidate of each step, seed {SEED_AT_ZERO} unless one was given; "
                f"candidates are drawn at {temperature:g}",
            )
        config = configure(name, **law, **limits, **options)
    except InputError as error:
        raise Refused(400, str(error), param="specs" if request.specs else None) from None
    if settings_of(config.method).get("n", 1) > caps.n:
        raise Refused(400, f"specs.n: at most {caps.n} candidates a step here", param="specs.n")
    return config, notes


def _tokens(request: Common, caps: Caps) -> int:
    """What an answer may have."""
    names = ("max_completion_tokens", "max_tokens")
    given = {name: value for name in names if (value := getattr(request, name, None)) is not None}
    if len(set(given.values())) > 1:
        raise Refused(400, "max_tokens and max_completion_tokens differ; give one of them", param="max_tokens")
    for name, value in given.items():
        if value > caps.tokens:
            raise Refused(400, f"{name}: at most {caps.tokens} here", param=name)
        return value
    return caps.tokens


def _seed(request: Common) -> int:
    outer, inner = request.seed, request.specs.seed if request.specs else None
    if outer is not None and inner is not None and outer != inner:
        raise Refused(400, "seed and specs.seed differ; give one of them", param="specs.seed")
    seed = outer if inner is None else inner
    if seed is None:
        return SEED_AT_ZERO if request.temperature == 0 else secrets.randbits(31)
    return seed


def _conversation(messages: Sequence[Message]) -> tuple[str, Chat]:
    """The last user's turn, and the turns before it."""
    if messages[-1].role != "user":
        raise Refused(400, "messages: the last one has to be a user's, which is what is solved", param="messages")
    turns = [
        Turn(cast(Any, "system" if message.role == "developer" else message.role), message.text)
        for message in messages[:-1]
    ]
    return messages[-1].text, Chat(tuple(turns))


def _check(question: str, chat: Chat, method: Method, models: Models, param: str) -> None:
    """Refuse what no model of the method could read."""
    if not question.strip():
        raise Refused(400, f"{param}: the question is empty; say what is to be solved", param=param)
    for role in method.roles:
        try:
            models.prompt(role, question, chat)
        except InputError as error:
            raise Refused(400, f"{param}: {error}", param=param, code="context_length_exceeded") from None
        except ModelError as error:
            raise Refused(400, f"{param}: {error}", param=param) from None


def within(limits: Limits, waited_s: float) -> Limits | None:
    """What is left of the limits after so long in the line; None once the deadline has passed."""
    if limits.deadline_s is None:
        return limits
    left = limits.deadline_s - waited_s
    return replace(limits, deadline_s=left) if left > 0 else None
