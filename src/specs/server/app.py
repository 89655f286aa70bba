"""The application: OpenAI's routes over `specs.server.solving`, and what operators ask for."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from specs import __version__
from specs.server.answers import Answer
from specs.server.asking import Asked, Caps, asked_by
from specs.server.errors import Refused, error_body, quoted
from specs.server.guard import Guard, Rules
from specs.server.offers import Offer
from specs.server.page import POLICY, html
from specs.server.schemas import UNSUPPORTED, ChatRequest, CompletionRequest
from specs.server.solving import Ended, Event, Failed, Job, Solves, Step
from specs.types import Role

QUIET_S = 10.0
"""Seconds after which a stream that has nothing to say says so, so that nobody on the way closes it."""


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

    @app.get("/health")
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

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(offer, started) for offer in offers.values()]}

    @app.get("/v1/models/{name}", responses=_errors(404))
    async def model(name: str) -> dict[str, Any]:
        if (offer := offers.get(name)) is None:
            raise Refused(404, f"there is no model {quoted(name)}; GET /v1/models names them", code="model_not_found")
        return _model(offer, started)

    @app.post("/v1/chat/completions", response_model=None, responses=_errors(400, 401, 404, 413, 429, 502, 503))
    async def chat(body: ChatRequest, request: Request) -> Response:
        return await answered(body, request)

    @app.post("/v1/completions", response_model=None, responses=_errors(400, 401, 404, 413, 429, 502, 503))
    async def completion(body: CompletionRequest, request: Request) -> Response:
        return await answered(body, request)

    async def answered(body: ChatRequest | CompletionRequest, request: Request) -> Response:
        said: dict[str, Any] = request.state.said
        said.update(client=request.state.client, stream=bool(body.stream))
        # In a thread: a long text takes a while to be read.
        asked = await asyncio.to_thread(asked_by, body, offers, settings.caps, solves.models)
        said.update(model=body.model, solves=len(asked))
        if settings.log_prompts:
            said.update(questions=[one.question for one in asked])
        events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        jobs = solves.begin(asked, request.state.client, lambda k, event: events.put_nowait((k, event)))
        answer = Answer(asked, isinstance(body, ChatRequest), bool(body.specs and body.specs.trace))
        happening = _Happening(events, jobs, request)
        if body.stream:
            spent = bool(body.stream_options and body.stream_options.include_usage)
            lines = _streamed(answer, happening, spent, said, settings.log_prompts)
            return StreamingResponse(lines, media_type="text/event-stream")
        return await _whole(answer, happening, asked, said, settings.log_prompts)

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
        headers = dict(error.headers or {})
        return JSONResponse(error_body(error.status_code, str(error.detail)), error.status_code, headers)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        return JSONResponse(error_body(500, "the server failed on this request; its log says how"), 500)

    app.openapi = lambda: _documented(app)
    app.add_middleware(Guard, rules=settings.rules, meters=solves.meters, new_id=lambda: f"req-{secrets.token_hex(12)}")
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts), www_redirect=False)
    return app


class _Happening:
    """The events of a request's solves as they come, until the client leaves, which ends the solves."""

    def __init__(self, events: asyncio.Queue[tuple[int, Event]], jobs: list[Job], request: Request) -> None:
        self._events, self._jobs, self._request = events, jobs, request

    async def __aiter__(self) -> AsyncIterator[tuple[int, Event] | None]:
        """Number of the solve and event; None where nothing has happened for a while. Ends early if the client left."""
        gone = asyncio.ensure_future(_gone(self._request))
        left = len(self._jobs)
        try:
            while left:
                coming = asyncio.ensure_future(self._events.get())
                done, _ = await asyncio.wait({coming, gone}, timeout=QUIET_S, return_when=asyncio.FIRST_COMPLETED)
                if coming not in done:
                    coming.cancel()
                if gone in done:
                    return
                if coming not in done:
                    yield None
                    continue
                k, event = coming.result()
                left -= not isinstance(event, Step)
                yield k, event
        finally:
            gone.cancel()
            for job in self._jobs:
                job.cancel()


async def _gone(request: Request) -> None:
    """Returns once the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _whole(
    answer: Answer, happening: _Happening, asked: list[Asked], said: dict[str, Any], log_prompts: bool
) -> Response:
    ended: dict[int, Ended] = {}
    async for item in happening:
        if item is None:
            continue
        k, event = item
        if isinstance(event, Failed):
            raise event.refusal
        if isinstance(event, Step):
            answer.note(k, event)
        else:
            ended[k] = event
    if len(ended) < len(asked):
        said.update(given_up=True)
        return Response(status_code=499)
    in_order = [ended[k] for k in range(len(asked))]
    _say_ended(said, in_order, log_prompts)
    return JSONResponse(answer.whole(in_order))


async def _streamed(
    answer: Answer, happening: _Happening, spent: bool, said: dict[str, Any], log_prompts: bool
) -> AsyncIterator[str]:
    ended: dict[int, Ended] = {}
    for part in answer.opening():
        yield _event(part)
    async for item in happening:
        if item is None:
            yield ": still here\n\n"
            continue
        k, event = item
        if isinstance(event, Failed):
            said.update(failed=event.refusal.message)
            yield _event(event.refusal.body)
            break
        if isinstance(event, Step):
            if (part := answer.step(k, event)) is not None:
                yield _event(part)
            continue
        ended[k] = event
        for part in answer.closing(k, event):
            yield _event(part)
    else:
        if spent and ended:
            yield _event(answer.spent([ended[k] for k in sorted(ended)]))
    _say_ended(said, list(ended.values()), log_prompts)
    yield "data: [DONE]\n\n"


def _event(part: dict[str, Any]) -> str:
    return f"data: {json.dumps(part, ensure_ascii=False)}\n\n"


def _say_ended(said: dict[str, Any], ended: list[Ended], log_prompts: bool) -> None:
    results = [one.result for one in ended]
    said.update(
        finish=[str(one.finish_reason) for one in results],
        queue_s=[round(one.queue_s, 6) for one in ended],
        solve_s=[round(one.latency_s, 6) for one in results],
        steps=[len(one.accepted) for one in results],
        tokens=[sum(len(record.step.token_ids) for record in one.accepted if record.step) for one in results],
    )
    if log_prompts:
        said.update(answers=[one.text for one in results])


def _model(offer: Offer, created: int) -> dict[str, Any]:
    ours = {"method": offer.method, "description": offer.description, "options": offer.options, "law": offer.law}
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


def _documented(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document without FastAPI's own answer to bad input, which `create_app` replaces."""
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path in app.openapi_schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
    return app.openapi_schema


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How the errors of a route look, for its documentation."""
    error = {
        "type": "object",
        "required": ["message", "type", "param", "code"],
        "properties": {
            "message": {"type": "string"},
            "type": {"type": "string"},
            "param": {"type": ["string", "null"]},
            "code": {"type": ["string", "null"]},
        },
    }
    schema = {"type": "object", "required": ["error"], "properties": {"error": error}}
    return {
        status: {"description": "refused", "content": {"application/json": {"schema": schema}}} for status in statuses
    }
