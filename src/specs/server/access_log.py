"""The log: one JSON object a line, with the id of its request. No words of a client unless asked for."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

log = logging.getLogger("specs.server")


class _Lines(logging.Formatter):
    """A record as a JSON object: time, level, event, and what `extra={"said": {...}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "said", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def start_log(stream: TextIO = sys.stderr) -> None:
    """Send the log of the server, and uvicorn's errors, to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Lines())
    for name in ("specs.server", "uvicorn.error"):
        one = logging.getLogger(name)
        one.handlers, one.propagate = [handler], False
        one.setLevel(logging.INFO if name == "specs.server" else logging.WARNING)


def say(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """One line."""
    log.log(level, event, extra={"said": fields})
