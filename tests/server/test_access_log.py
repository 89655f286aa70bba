"""The server's log: JSON objects, one per line."""

import io
import json
import logging
import time

import pytest

from specs.server.access_log import start_event_log

NAMES = ("specs.server", "specs.engines", "uvicorn.error")


@pytest.fixture
def stream():
    """Where the log goes; the loggers are as before afterwards."""
    before = [(logger.handlers, logger.propagate, logger.level) for logger in map(logging.getLogger, NAMES)]
    start_event_log(found := io.StringIO())
    yield found
    for name, (handlers, propagate, level) in zip(NAMES, before, strict=True):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate, logger.level = handlers, propagate, level


def test_warnings_of_engines_are_lines_of_the_log(stream):
    """Such as that a replica has failed; an operator reads one log."""
    logging.getLogger("specs.engines.vllm.replicas").warning("replica %s answers again", "http://a")
    deadline = time.monotonic() + 10
    while not stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"]) == ("warning", "replica http://a answers again")
