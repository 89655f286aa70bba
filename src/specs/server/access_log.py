"""The server's log: one JSON object per line, with the request's id.

Clients' texts are in the log only with `ServerSettings.log_prompts`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TextIO

log = logging.getLogger("specs.server")


class _JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: time, level, event, and the fields in `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def start_event_log(stream: TextIO = sys.stderr) -> None:
    """Send the server's log and uvicorn's errors to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonFormatter())
    for name in ("specs.server", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "specs.server" else logging.WARNING)


def log_event(event: str, level: int = logging.INFO, **fields: object) -> None:
    """Write one line to the log."""
    log.log(level, event, extra={"fields": fields})
