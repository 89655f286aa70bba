"""The application: OpenAI's routes, the page, and the routes for operators; `create_app` puts them together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from specs import __version__
from specs.methods import settings_of
from specs.methods.registry import make, options_of
from specs.server.answers import ResponseBuilder
from specs.server.bodies import BoundedRoute
from specs.server.document import answer_responses, openapi_document, refusal_responses
from specs.server.errors import Refused, error_body, quoted
from specs.server.jobs import JobRunner
from specs.server.middleware import AccessMiddleware, AccessRules, HostMiddleware
from specs.server.model_catalog import ServedModel, default_model
from specs.server.page import POLICY, html
from specs.server.patience import Patience
from specs.server.request_parsing import METHOD_OPTIONS, RequestLimits, note_unknown_fields, parse_request
from specs.server.schemas import UNSUPPORTED, ChatRequest, CompletionRequest
from specs.server.streaming import SolveEvents, complete_response, stream_response
from specs.types import Role


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the application behaves.

    Attributes:
        rules: who may use the API.
        request_limits: what a request may ask for.
        hosts: host names that the Host header may have; `*` allows any.
        log_prompts: whether the log contains questions and answers.
    """

    rules: AccessRules = field(default_factory=AccessRules)
    request_limits: RequestLimits = field(default_factory=RequestLimits)
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]", "testserver")
    log_prompts: bool = False


def create_app(runner: JobRunner, catalog: Mapping[str, ServedModel], settings: ServerSettings) -> FastAPI:
    """The application for the loaded models of `runner`; `catalog` holds the models that clients can name."""
    app = FastAPI(
        title="specs",
        version=__version__,
        description="Test-time scaling through speculative drafts behind OpenAI's API.",
        docs_url=None,
        redoc_url=None,
    )
    app.router.route_class = BoundedRoute
    page = html(scope=runner.models.scope)
    started = int(time.time())
    patience = Patience()
    usual = default_model(catalog, settings.request_limits.think)

    def entry(served: ServedModel) -> dict[str, Any]:
        return _model_entry(served, started, served.name == usual)

    @app.get("/", include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    @app.get("/health", responses=refusal_responses(503))
    async def health() -> dict[str, Any]:
        queue = runner.queue
        if queue.closed:
            raise Refused(503, "the server is shutting down", code="shutting_down")
        return {"status": "ok", "running": queue.running, "waiting": queue.waiting}

    @app.get("/version")
    async def version() -> dict[str, Any]:
        models = {str(role): model.name for role in Role if (model := getattr(runner.models, role)) is not None}
        return {"version": __version__, "models": models}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(runner.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models", responses=refusal_responses(401, 429))
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [entry(served) for served in catalog.values()]}

    @app.get("/v1/models/{name}", responses=refusal_responses(401, 404, 429))
    async def model(name: str) -> dict[str, Any]:
        if (served := catalog.get(name)) is None:
            raise Refused(404, f"there is no model {quoted(name)}; GET /v1/models names them", code="model_not_found")
        return entry(served)

    @app.post("/v1/chat/completions", response_model=None, responses=answer_responses(chat=True))
    async def chat(body: ChatRequest, request: Request) -> Response:
        return await respond(body, request)

    @app.post("/v1/completions", response_model=None, responses=answer_responses(chat=False))
    async def completion(body: CompletionRequest, request: Request) -> Response:
        return await respond(body, request)

    async def respond(body: ChatRequest | CompletionRequest, request: Request) -> Response:
        log_fields: dict[str, Any] = request.state.log_fields
        log_fields.update(client=request.state.client, stream=bool(body.stream))
        notes = note_unknown_fields(body, settings.request_limits)
        # In a thread, because tokenizing a long text takes a while.
        call = partial(parse_request, body, catalog, settings.request_limits, runner.models, notes)
        solve_requests = await runner.parse(request.state.client, request.is_disconnected, call)
        log_fields.update(model=solve_requests[0].model, solves=len(solve_requests))
        if settings.log_prompts:
            log_fields.update(questions=[solve_request.question for solve_request in solve_requests])
        builder = ResponseBuilder(solve_requests, isinstance(body, ChatRequest), bool(body.specs and body.specs.trace))
        events = SolveEvents(runner, solve_requests, request)
        if body.stream:
            include_usage = bool(body.stream_options and body.stream_options.include_usage)
            parts = stream_response(builder, events, include_usage, settings.log_prompts)
            return StreamingResponse(parts, media_type="text/event-stream")
        return await complete_response(builder, events, settings.log_prompts)

    @app.exception_handler(Refused)
    async def refused(request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refused)
        if refusal.status == 429:
            await asyncio.sleep(patience.pause_s(request.state.client))
        return JSONResponse(refusal.body, refusal.status, refusal.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        param, message = _form_error(request) or _first_error(error)
        return JSONResponse(error_body(400, message, param), 400)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        cause = error.__cause__  # raised while the body was read
        if isinstance(cause, Refused | ClientDisconnect):
            raise cause
        detail = str(error.detail) if cause is None else "the body is not JSON: it is nested too deeply or is not UTF-8"
        if error.status_code == 404:
            detail = f"there is nothing at {quoted(request.url.path)}; the API is at /v1 (POST /v1/chat/completions)"
        elif cause is not None and (form := _form_error(request)):
            detail = form[1]
        headers = dict(error.headers or {})
        return JSONResponse(error_body(error.status_code, detail), error.status_code, headers)

    app.openapi = lambda: openapi_document(app, catalog, settings.request_limits)
    app.add_middleware(HostMiddleware, names=settings.hosts)
    app.add_middleware(AccessMiddleware, rules=settings.rules, metrics=runner.metrics)
    return app


def _model_entry(served: ServedModel, created: int, default: bool) -> dict[str, Any]:
    method, option_names = make(served.method, **served.options), options_of(served.method)
    settings = settings_of(method)
    adjustable = {name: settings[name] for name in METHOD_OPTIONS if name in option_names}
    specs_fields = {
        "method": served.method,
        "group": served.group,
        "description": served.description,
        "options": served.options | adjustable,
        "law": served.law,
        "default": default,
    }
    return {"id": served.name, "object": "model", "created": created, "owned_by": "specs", "specs": specs_fields}


def _form_error(request: Request) -> tuple[None, str] | None:
    """What is wrong with the headers of a body that could not be read, if anything is."""
    if encoding := request.headers.get("content-encoding"):
        return None, f"the body is encoded as {quoted(encoding)}, which is not supported; send it as it is"
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "application/json":
        return None, f"the body is sent as {quoted(kind or 'nothing')}; send 'Content-Type: application/json'"
    return None


_OTHER_FORM = {"string_type", "list_type", "dict_type"}
"""A field may be text or a list; these errors say only that it is the other one."""


def _first_error(error: RequestValidationError) -> tuple[str | None, str]:
    """The field of the first error, and a message that says how to correct it."""
    errors = error.errors()
    first = next((one for one in errors if one["type"] not in _OTHER_FORM), errors[0])
    if first["loc"][:2] != errors[0]["loc"][:2]:
        first = errors[0]
    if first["type"] == "json_invalid":
        return None, f"the body is not JSON: {first.get('ctx', {}).get('error', 'it ends early')}"
    # The location also holds type names of union members, which clients do not know; keep fields and indices.
    path = [str(part) for part in first["loc"] if part != "body"]
    names = [part for part in path if part.isidentifier() or part.isdecimal()]
    param = ".".join(names) or None
    shown = quoted(param)[1:-1] if param else "the body"
    if names[-1:] == ["type"] and "content" in names:
        return param, f"{shown}: only parts of type 'text' can be read, no images, audio or files"
    if why := next((UNSUPPORTED[name] for name in names if name in UNSUPPORTED), None):
        return param, f"{shown}: not supported ({why}); leave it out"
    return param, f"{shown}: {first['msg'][0].lower()}{first['msg'][1:]}"
