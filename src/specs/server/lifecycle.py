"""Running the application until it is told to stop, and stopping it well.

On SIGINT or SIGTERM nothing new is taken on, what waits in line is sent away, and solves under way get
`grace_s` seconds to end. Then they are cancelled, which answers them with what they have so far. A
second signal ends the server at once.
"""

from __future__ import annotations

import asyncio
import os
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from specs.errors import InputError
from specs.server.access_log import say
from specs.server.jobs import Solves

AFTER_GRACE_S = 5.0
"""Seconds for cancelled solves to be answered and read."""
CONNECTIONS = 1000
"""Connections at a time; more are answered with 503."""


class _Server(uvicorn.Server):
    """uvicorn, with solves that end before it does."""

    def __init__(self, config: uvicorn.Config, solves: Solves, grace_s: float) -> None:
        super().__init__(config)
        self._solves, self._grace_s = solves, grace_s
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not uvicorn's, which raises the signal once more when all is done: to stop well is no failure."""
        if self.should_exit:
            self.force_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._solves.cancel if self.should_exit else self._wind_down)
        self.should_exit = True

    def _wind_down(self) -> None:
        say("stopping", running=self._solves.line.running, waiting=self._solves.line.waiting, grace_s=self._grace_s)
        self._solves.close()
        asyncio.get_running_loop().call_later(self._grace_s, self._solves.cancel)


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises:
        InputError: the address is taken or is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise InputError(f"cannot listen on {host} port {port} ({why}); choose another") from None


def serve(app: FastAPI, solves: Solves, listening: socket.socket, grace_s: float) -> None:
    """Serve until a signal; returns once everything is answered."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whoever asks could say to be anyone
        timeout_graceful_shutdown=round(grace_s + AFTER_GRACE_S),
        limit_concurrency=CONNECTIONS,
    )
    _Server(config, solves, grace_s).run(sockets=[listening])
    say("stopped")
