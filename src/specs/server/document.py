"""The server's OpenAPI document: what routes accept, with this server's names and limits, and their responses."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from specs.methods.registry import NAMES
from specs.server.request_parsing import RequestLimits

Schema = dict[str, Any]


def _object_schema(**properties: Any) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list_schema(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT, COUNT, NONE = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "null"}
TEXT_OR_NONE: Schema = {"type": ["string", "null"]}
ERROR = _object_schema(error=_object_schema(message=TEXT, type=TEXT, param=TEXT_OR_NONE, code=TEXT_OR_NONE))
USAGE = _object_schema(
    prompt_tokens=COUNT, completion_tokens=COUNT, total_tokens=COUNT,
    completion_tokens_details=_object_schema(reasoning_tokens=COUNT), by_role={"type": "object"},
)  # fmt: skip


def _answer_schema(kind: str, **content: Schema) -> Schema:
    choice = _object_schema(
        index=COUNT, **content, logprobs=NONE, finish_reason={"enum": ["stop", "length"]}, specs={"type": "object"}
    )
    return _object_schema(
        id=TEXT, object={"const": kind}, created=COUNT, model=TEXT, system_fingerprint=TEXT,
        choices=_list_schema(choice), usage=USAGE,
    )  # fmt: skip


_MESSAGE = _object_schema(role={"const": "assistant"}, content=TEXT, refusal=NONE)
_MESSAGE["properties"] |= {"reasoning": TEXT, "reasoning_content": TEXT}  # only if the models think
_ANSWER_SCHEMAS = {
    True: _answer_schema("chat.completion", message=_MESSAGE),
    False: _answer_schema("text_completion", text=TEXT),
}


def refusal_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route."""
    return {
        status: {"description": "the request is refused", "content": {"application/json": {"schema": ERROR}}}
        for status in statuses
    }


def answer_responses(chat: bool) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that answers questions."""
    content = {"application/json": {"schema": _ANSWER_SCHEMAS[chat]}, "text/event-stream": {}}
    return {
        200: {"description": "the answer, whole or as a stream", "content": content},
        **refusal_responses(400, 401, 404, 408, 413, 429, 502, 503),
    }


def openapi_document(app: FastAPI, names: Collection[str], limits: RequestLimits) -> Schema:
    """The OpenAPI document; `names` are the model names."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)  # FastAPI's answer to bad input; this server answers 400
        schemas = document["components"]["schemas"]
        for name, schema in schemas.items():
            if "additionalProperties" in schema:
                schema["additionalProperties"] = (limits.ignore_unknown and name != "SpecsOptions") or NONE
        for request in ("ChatRequest", "CompletionRequest"):
            fields = schemas[request]["properties"]
            fields["model"]["anyOf"][0]["enum"] = list(names)
        specs_options = schemas["SpecsOptions"]["properties"]
        specs_options["method"]["anyOf"][0]["enum"] = list(NAMES)
        specs_options["n"]["anyOf"][0]["maximum"] = limits.n
        specs_options["max_step_tokens"]["anyOf"][0]["maximum"] = limits.step_tokens
        app.openapi_schema = document
    return app.openapi_schema
