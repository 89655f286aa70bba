"""The response to a request, whole or as server-sent events, while its solves run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from specs.server.answers import ResponseBuilder
from specs.server.jobs import JobRunner, SolveEnded, SolveEvent, SolveFailed, StepDone
from specs.server.request_parsing import SolveRequest
from specs.traces.schema import plain

KEEPALIVE_S = 10.0
"""Seconds without an event after which a stream sends a comment, so that no proxy closes the connection."""


class SolveEvents:
    """The events of a request's solves as they happen; if the client disconnects, the solves are cancelled.

    Attributes:
        log_fields: fields that the request's log line will have.
    """

    def __init__(self, runner: JobRunner, solve_requests: Sequence[SolveRequest], request: Request) -> None:
        """Start the solves. Raises `Refused` if the queue has not enough free slots."""
        self._events: asyncio.Queue[tuple[int, SolveEvent]] = asyncio.Queue()
        self._request = request
        self.log_fields: dict[str, Any] = request.state.log_fields
        self._jobs = runner.start(
            solve_requests,
            request.state.client,
            lambda solve_idx, event: self._events.put_nowait((solve_idx, event)),
            request.state.arrived_s,
        )

    async def __aiter__(self) -> AsyncIterator[tuple[int, SolveEvent] | None]:
        """Yield (solve_idx, event), or None after `KEEPALIVE_S` without one; stop early if the client disconnects."""
        disconnected = asyncio.ensure_future(_wait_for_disconnect(self._request))
        pending = len(self._jobs)
        try:
            while pending:
                next_event = asyncio.ensure_future(self._events.get())
                done, _ = await asyncio.wait(
                    {next_event, disconnected}, timeout=KEEPALIVE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if next_event not in done:
                    next_event.cancel()
                if disconnected in done:
                    return
                if next_event not in done:
                    yield None
                    continue
                solve_idx, event = next_event.result()
                pending -= not isinstance(event, StepDone)
                yield solve_idx, event
        finally:
            disconnected.cancel()
            for job in self._jobs:
                job.cancel()

    def __len__(self) -> int:
        return len(self._jobs)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def complete_response(builder: ResponseBuilder, events: SolveEvents, log_prompts: bool) -> Response:
    """The whole response, once all solves have ended. Raises `Refused` if one of them fails."""
    ended: dict[int, SolveEnded] = {}
    async for item in events:
        if item is None:
            continue
        solve_idx, event = item
        if isinstance(event, SolveFailed):
            raise event.refusal
        if isinstance(event, StepDone):
            builder.record_step(solve_idx, event)
        else:
            ended[solve_idx] = event
    if len(ended) < len(events):
        return Response(status_code=499)  # the client has disconnected
    in_order = [ended[solve_idx] for solve_idx in sorted(ended)]
    _log_results(events.log_fields, in_order, log_prompts)
    return JSONResponse(plain(builder.complete(in_order)))


async def stream_response(
    builder: ResponseBuilder, events: SolveEvents, include_usage: bool, log_prompts: bool
) -> AsyncIterator[str]:
    """Server-sent events: one chunk per step, then the token counts if `include_usage`, then `[DONE]`."""
    ended: dict[int, SolveEnded] = {}
    for chunk in builder.opening_chunks():
        yield _sse(chunk)
    async for item in events:
        if item is None:
            yield ": still here\n\n"
            continue
        solve_idx, event = item
        if isinstance(event, SolveFailed):
            events.log_fields.update(failed=event.refusal.message)
            yield _sse(event.refusal.body)
            break
        if isinstance(event, StepDone):
            if (chunk := builder.step_chunk(solve_idx, event)) is not None:
                yield _sse(chunk)
            continue
        ended[solve_idx] = event
        for chunk in builder.closing_chunks(solve_idx, event):
            yield _sse(chunk)
    else:
        if include_usage and len(ended) == len(events):
            yield _sse(builder.usage_chunk([ended[solve_idx] for solve_idx in sorted(ended)]))
    _log_results(events.log_fields, list(ended.values()), log_prompts)
    yield "data: [DONE]\n\n"


def _sse(chunk: dict[str, Any]) -> str:
    """In ASCII: some clients also end lines at U+2028 and its like, which JSON leaves as they are."""
    return f"data: {json.dumps(plain(chunk), allow_nan=False)}\n\n"


def _log_results(log_fields: dict[str, Any], ended: list[SolveEnded], log_prompts: bool) -> None:
    results = [solve.result for solve in ended]
    log_fields.update(
        finish=[str(result.finish_reason) for result in results],
        queue_s=[round(solve.queue_s, 6) for solve in ended],
        solve_s=[round(result.latency_s, 6) for result in results],
        steps=[len(result.accepted) for result in results],
        tokens=[sum(len(record.step.token_ids) for record in result.accepted if record.step) for result in results],
    )
    if log_prompts:
        log_fields.update(answers=[result.text for result in results])
