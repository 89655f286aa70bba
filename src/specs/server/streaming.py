"""The response to a request, whole or as a stream, while its solves go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from specs.server.answers import Answer
from specs.server.jobs import Ended, Event, Failed, Solves, Step
from specs.server.request_parsing import Asked

QUIET_S = 10.0
"""Seconds after which a stream that has nothing to say says so, so that nobody on the way closes it."""


class Happening:
    """The solves of a request: their events as they come, until the client leaves, which ends them.

    Attributes:
        said: what the log will say of the request.
    """

    def __init__(self, solves: Solves, asked: Sequence[Asked], request: Request) -> None:
        """Begins them. Raises `Refused`: there is no room in the line."""
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._request = request
        self.said: dict[str, Any] = request.state.said
        self._jobs = solves.begin(asked, request.state.client, lambda k, event: self._events.put_nowait((k, event)))

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

    def __len__(self) -> int:
        return len(self._jobs)


async def _gone(request: Request) -> None:
    """Returns once the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def whole(answer: Answer, happening: Happening, log_prompts: bool) -> Response:
    """All at once, when all solves have ended. Raises `Refused`: one of them failed."""
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
    if len(ended) < len(happening):
        return Response(status_code=499)  # nobody reads it
    in_order = [ended[k] for k in sorted(ended)]
    _say_ended(happening.said, in_order, log_prompts)
    return JSONResponse(answer.whole(in_order))


async def streamed(answer: Answer, happening: Happening, spent: bool, log_prompts: bool) -> AsyncIterator[str]:
    """Server-sent events: a part a step, the last one `[DONE]`; with `spent` the usage before it."""
    ended: dict[int, Ended] = {}
    for part in answer.opening():
        yield _event(part)
    async for item in happening:
        if item is None:
            yield ": still here\n\n"
            continue
        k, event = item
        if isinstance(event, Failed):
            happening.said.update(failed=event.refusal.message)
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
        if spent and len(ended) == len(happening):
            yield _event(answer.spent([ended[k] for k in sorted(ended)]))
    _say_ended(happening.said, list(ended.values()), log_prompts)
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
