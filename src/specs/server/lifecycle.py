"""Runs the application until a signal stops it, and stops it gracefully.

On SIGINT, SIGTERM or SIGHUP (its terminal has gone) the server refuses new and waiting solves and gives running ones
`grace_s` seconds to end. Then it cancels them, and they answer with what they have so far. A second signal ends the
server at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from specs.errors import InputError
from specs.server.access_log import log_event
from specs.server.connections import HttpConnection
from specs.server.jobs import JobRunner

ANSWER_GRACE_S = 5.0
"""Seconds for sending the answers of cancelled solves to their clients."""
MAX_CONNECTIONS = 1000
"""Connections at the same time; the server answers further ones with 503."""


class _GracefulServer(uvicorn.Server):
    """uvicorn, but it waits for the solves to end."""

    def __init__(self, config: uvicorn.Config, runner: JobRunner, grace_s: float) -> None:
        super().__init__(config)
        self._runner, self._grace_s = runner, grace_s
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """uvicorn's signals and SIGHUP."""
        with super().capture_signals():
            if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
                yield
                return
            before = signal.signal(signal.SIGHUP, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(signal.SIGHUP, before)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; unlike uvicorn's, this handler does not raise the signal again, since a clean stop is no failure."""
        if self.should_exit:
            self.force_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._runner.cancel if self.should_exit else self._stop_gracefully)
        self.should_exit = True

    def _stop_gracefully(self) -> None:
        log_event(
            "stopping", running=self._runner.queue.running, waiting=self._runner.queue.waiting, grace_s=self._grace_s
        )
        self._runner.close()
        asyncio.get_running_loop().call_later(self._grace_s, self._runner.cancel)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free port.

    Raises:
        InputError: the address is in use or does not belong to this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it. Otherwise head and body of an answer wait 40 ms for each other on a kept connection;
        # asyncio sets it only for sockets that name their protocol.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise InputError(f"cannot listen on {host} port {port} ({why}); choose another") from None


def serve(app: FastAPI, runner: JobRunner, listening: socket.socket, grace_s: float) -> None:
    """Serve until a signal; returns once all requests are answered."""
    config = uvicorn.Config(
        app,
        http=HttpConnection,  # of all implementations that uvicorn may find, the one that bounds heads
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # any client could send forged X-Forwarded headers
        timeout_graceful_shutdown=round(grace_s + ANSWER_GRACE_S),
        limit_concurrency=MAX_CONNECTIONS,
    )
    _GracefulServer(config, runner, grace_s).run(sockets=[listening])
    log_event("stopped")
