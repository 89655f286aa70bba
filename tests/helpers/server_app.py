"""The server application on the exact models of `toy`, or on others, with and without a socket."""

import io
import json
import logging
import threading
from contextlib import contextmanager
from types import MappingProxyType

import uvicorn
from starlette.testclient import TestClient

from helpers import toy
from specs.server.access_log import start_event_log
from specs.server.app import ServerSettings, create_app
from specs.server.jobs import JobRunner
from specs.server.lifecycle import bind
from specs.server.metrics import Metrics
from specs.server.model_catalog import build_catalog
from specs.server.queue import SolveQueue


def app_of(settings=None, max_running=1, max_waiting=8, presets=MappingProxyType({}), models=None, **tables):
    models = models or toy.models(**tables)
    queue = SolveQueue(max_running, max_waiting)
    runner = JobRunner(models, queue, Metrics(queue))
    settings = settings or ServerSettings()
    return create_app(runner, build_catalog(models, presets), settings)


def http_client(settings=None, **options):
    return TestClient(app_of(settings, **options), raise_server_exceptions=False)


def chat_body(question, **fields):
    """The body of a chat request for a few short steps."""
    body = {"model": "specs", "messages": [{"role": "user", "content": question}], "seed": 1, "max_tokens": 12}
    return body | fields


@contextmanager
def captured_log():
    """The lines of the log, parsed."""
    stream = io.StringIO()
    loggers = [logging.getLogger(name) for name in ("specs.server", "uvicorn.error")]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    start_event_log(stream)
    writer = loggers[0].handlers[0]
    try:
        yield lambda: (writer.flush(), [json.loads(line) for line in stream.getvalue().splitlines()])[1]
    finally:
        for one, (handlers, propagate, level) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)


@contextmanager
def running_server(app):
    """Serves the application on a free port; yields its address."""
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
