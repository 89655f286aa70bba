"""The OpenAPI document of a server: what its routes take, with the names and caps that it was started with, and
how they answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from specs.methods.registry import NAMES
from specs.server.request_parsing import Caps

Schema = dict[str, Any]


def _object(**properties: Any) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT, COUNT, NONE = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "null"}
TEXT_OR_NONE: Schema = {"type": ["string", "null"]}
ERROR = _object(error=_object(message=TEXT, type=TEXT, param=TEXT_OR_NONE, code=TEXT_OR_NONE))
USAGE = _object(prompt_tokens=COUNT, completion_tokens=COUNT, total_tokens=COUNT, by_role={"type": "object"})


def _answer(kind: str, **content: Schema) -> Schema:
    choice = _object(
        index=COUNT, **content, logprobs=NONE, finish_reason={"enum": ["stop", "length"]}, specs={"type": "object"}
    )
    return _object(
        id=TEXT, object={"const": kind}, created=COUNT, model=TEXT, system_fingerprint=TEXT, choices=_list(choice),
        usage=USAGE,
    )  # fmt: skip


_MESSAGE = _object(role={"const": "assistant"}, content=TEXT, refusal=NONE)
_ANSWERS = {True: _answer("chat.completion", message=_MESSAGE), False: _answer("text_completion", text=TEXT)}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How a route refuses."""
    return {
        status: {"description": "refused", "content": {"application/json": {"schema": ERROR}}} for status in statuses
    }


def answers(chat: bool) -> dict[int | str, dict[str, Any]]:
    """How a question is answered."""
    content = {"application/json": {"schema": _ANSWERS[chat]}, "text/event-stream": {}}
    return {
        200: {"description": "the answer, whole or as a stream", "content": content},
        **refusals(400, 401, 404, 408, 413, 429, 502, 503),
    }


def documented(app: FastAPI, names: Collection[str], caps: Caps) -> Schema:
    """The document; `names` are those of the models."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)  # FastAPI's own answer to bad input, which the server replaces
        schemas = document["components"]["schemas"]
        for request in ("ChatRequest", "CompletionRequest"):
            fields = schemas[request]["properties"]
            fields["model"]["enum"] = list(names)
            for name in {"max_tokens", "max_completion_tokens"} & fields.keys():
                fields[name]["anyOf"][0]["maximum"] = caps.tokens
        own = schemas["SpecsOptions"]["properties"]
        own["method"]["anyOf"][0]["enum"] = list(NAMES)
        own["n"]["anyOf"][0]["maximum"] = caps.n
        own["max_step_tokens"]["anyOf"][0]["maximum"] = caps.step_tokens
        app.openapi_schema = document
    return app.openapi_schema
