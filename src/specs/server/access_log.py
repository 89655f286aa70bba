"""The server's log: one JSON object per line, with the request's id.

Clients' texts are in the log only with `ServerSettings.log_prompts`.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from typing import TextIO

log = logging.getLogger("specs.server")
MAX_LINES = 10_000
"""Lines that may wait for a reader."""
FLUSH_S = 1.0
"""Seconds that the end of the program waits for the reader."""


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


class _Writer(logging.Handler):
    """Writes lines in a thread of its own, so that nobody who does not read them can stop the server.

    If more than `MAX_LINES` wait, further ones are dropped; the next line that is written says how many.
    """

    dropped = 0
    """Lines dropped by all writers."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.setFormatter(_JsonFormatter())
        self._stream = stream
        self._file: int | None = None
        with suppress(OSError, ValueError):  # text in memory has no file
            self._file = os.dup(stream.fileno())
        self._lines: queue.Queue[str] = queue.Queue(MAX_LINES)
        self._untold = 0
        threading.Thread(target=self._write, name="specs-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._untold += 1
            _Writer.dropped += 1

    def flush(self) -> None:
        """Wait until the lines are written, but not longer than `FLUSH_S`."""
        end = time.monotonic() + FLUSH_S
        while self._lines.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            untold, self._untold = self._untold, 0
            if untold:
                line = json.dumps({"level": "warning", "event": "log lines dropped", "lines": untold}) + "\n" + line
            with suppress(OSError, ValueError):  # the reader has gone, or the stream is closed
                self._out(line + "\n")
            self._lines.task_done()

    def _out(self, text: str) -> None:
        """Write without the stream's own lock, which would block the end of the program while nobody reads."""
        if self._file is None:
            self._stream.write(text)
            return
        left = text.encode(errors="backslashreplace")
        while left:
            left = left[os.write(self._file, left) :]


def start_event_log(stream: TextIO = sys.stderr) -> None:
    """Send the server's log, warnings of engines and uvicorn's errors to a stream."""
    handler = _Writer(stream)
    for name in ("specs.server", "specs.engines", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "specs.server" else logging.WARNING)


def dropped_lines() -> int:
    """Lines that were dropped because nobody read them."""
    return _Writer.dropped


def log_event(event: str, level: int = logging.INFO, **fields: object) -> None:
    """Write one line to the log."""
    log.log(level, event, extra={"fields": fields})
