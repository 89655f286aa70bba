"""The application on the exact models of `toy` or others, with and without a socket."""

import io
import json
import logging
import threading
from contextlib import contextmanager
from types import MappingProxyType

import toy
import uvicorn
from starlette.testclient import TestClient

from specs.server.access_log import start_log
from specs.server.app import Settings, create_app
from specs.server.jobs import Solves
from specs.server.lifecycle import bind
from specs.server.metrics import Meters
from specs.server.model_catalog import offers
from specs.server.queue import Line


def app_of(settings=None, at_a_time=1, room=8, presets=MappingProxyType({}), models=None, **tables):
    models = models or toy.models(**tables)
    line = Line(at_a_time, room)
    solves = Solves(models, line, Meters(line))
    settings = settings or Settings()
    return create_app(solves, offers(models, presets), settings)


def client_of(settings=None, **options):
    return TestClient(app_of(settings, **options), raise_server_exceptions=False)


def asked(question, **fields):
    """A chat of few short steps."""
    body = {"model": "specs", "messages": [{"role": "user", "content": question}], "seed": 1, "max_tokens": 12}
    return body | fields


@contextmanager
def logged():
    """The lines of the log, read back."""
    stream = io.StringIO()
    loggers = [logging.getLogger(name) for name in ("specs.server", "uvicorn.error")]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    start_log(stream)
    try:
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        for one, (handlers, propagate, level) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)


@contextmanager
def running(app):
    """The application on a port of its own; its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    listening = bind("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
