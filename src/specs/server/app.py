"""The application: OpenAI's routes over `specs.server.jobs`, and what operators ask for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from specs import __version__
from specs.methods import settings_of
from specs.methods.registry import make, options_of
from specs.server.answers import Answer
from specs.server.document import answers, documented, refusals
from specs.server.errors import Refused, error_body, quoted
from specs.server.jobs import Solves
from specs.server.middleware import Guard, Hosts, Rules
from specs.server.model_catalog import Offer
from specs.server.page import POLICY, html
from specs.server.request_parsing import OPTIONS, Caps, asked_by
from specs.server.schemas import UNSUPPORTED, ChatRequest, CompletionRequest
from specs.server.streaming import Happening, streamed, whole
from specs.types import Role


@dataclass(frozen=True, slots=True)
class Settings:
    """How the application behaves.

    Attributes:
        hosts: names that it may be called by (the Host header); `*` for any.
        log_prompts: whether the log holds questions and answers.
    """

    rules: Rules = field(default_factory=Rules)
    caps: Caps = field(default_factory=Caps)
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]", "testserver")
    log_prompts: bool = False


def create_app(solves: Solves, offers: Mapping[str, Offer], settings: Settings) -> FastAPI:
    """The application over models that are loaded."""
    app = FastAPI(
        title="specs",
        version=__version__,
        description="Test-time scaling through speculative drafts behind OpenAI's API.",
        docs_url=None,
        redoc_url=None,
    )
    page = html()
    started = int(time.time())

    @app.get("/", include_in_schema=False)
    async def look() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    @app.get("/health", responses=refusals(503))
    async def health() -> dict[str, Any]:
        line = solves.line
        if line.closed:
            raise Refused(503, "the server is shutting down", code="shutting_down")
        return {"status": "ok", "running": line.running, "waiting": line.waiting}

    @app.get("/version")
    async def version() -> dict[str, Any]:
        models = {str(role): model.name for role in Role if (model := getattr(solves.models, role)) is not None}
        return {"version": __version__, "models": models}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(solves.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models", responses=refusals(401, 429))
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(offer, started) for offer in offers.values()]}

    @app.get("/v1/models/{name}", responses=refusals(401, 404, 429))
    async def model(name: str) -> dict[str, Any]:
        if (offer := offers.get(name)) is None:
            raise Refused(404, f"there is no model {quoted(name)}; GET /v1/models names them", code="model_not_found")
        return _model(offer, started)

    @app.post("/v1/chat/completions", response_model=None, responses=answers(chat=True))
    async def chat(body: ChatRequest, request: Request) -> Response:
        return await answered(body, request)

    @app.post("/v1/completions", response_model=None, responses=answers(chat=False))
    async def completion(body: CompletionRequest, request: Request) -> Response:
        return await answered(body, request)

    async def answered(body: ChatRequest | CompletionRequest, request: Request) -> Response:
        said: dict[str, Any] = request.state.said
        said.update(client=request.state.client, stream=bool(body.stream))
        # In a thread: a long text takes a while to be read.
        loop = asyncio.get_running_loop()
        asked = await loop.run_in_executor(solves.reading, asked_by, body, offers, settings.caps, solves.models)
        said.update(model=body.model, solves=len(asked))
        if settings.log_prompts:
            said.update(questions=[one.question for one in asked])
        answer = Answer(asked, isinstance(body, ChatRequest), bool(body.specs and body.specs.trace))
        happening = Happening(solves, asked, request)
        if body.stream:
            spent = bool(body.stream_options and body.stream_options.include_usage)
            lines = streamed(answer, happening, spent, settings.log_prompts)
            return StreamingResponse(lines, media_type="text/event-stream")
        return await whole(answer, happening, settings.log_prompts)

    @app.exception_handler(Refused)
    async def refused(request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refused)
        return JSONResponse(refusal.body, refusal.status, refusal.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        param, message = _first_error(error)
        return JSONResponse(error_body(400, message, param), 400)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        cause = error.__cause__  # while the body was being read
        if isinstance(cause, Refused | ClientDisconnect):
            raise cause
        detail = str(error.detail) if cause is None else "the body is not JSON: it is too deep, or no UTF-8"
        headers = dict(error.headers or {})
        return JSONResponse(error_body(error.status_code, detail), error.status_code, headers)

    app.openapi = lambda: documented(app, offers, settings.caps)
    app.add_middleware(Hosts, names=settings.hosts)
    app.add_middleware(Guard, rules=settings.rules, meters=solves.meters)
    return app


def _model(offer: Offer, created: int) -> dict[str, Any]:
    made, own = make(offer.method, **offer.options), options_of(offer.method)
    given = settings_of(made)
    may_be_asked = {name: given[name] for name in OPTIONS if name in own}
    ours = {
        "method": offer.method,
        "description": offer.description,
        "options": offer.options | may_be_asked,
        "law": offer.law,
    }
    return {"id": offer.name, "object": "model", "created": created, "owned_by": "specs", "specs": ours}


def _first_error(error: RequestValidationError) -> tuple[str | None, str]:
    """The field that is wrong and what to do about it, of the first error."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return None, f"the body is not JSON: {first.get('ctx', {}).get('error', 'it ends early')}"
    # Places of union members are names of types in brackets or words of pydantic's; fields are what clients know.
    path = [str(part) for part in first["loc"] if part != "body"]
    names = [part for part in path if part.isidentifier() or part.isdecimal()]
    param = ".".join(names) or None
    shown = quoted(param)[1:-1] if param else "the body"
    if first["type"] == "extra_forbidden":
        return param, f"{shown}: there is no such field; leave it out"
    if why := next((UNSUPPORTED[name] for name in names if name in UNSUPPORTED), None):
        return param, f"{shown}: not supported ({why}); leave it out"
    return param, f"{shown}: {first['msg'][0].lower()}{first['msg'][1:]}"
