"""HTTP connections: uvicorn's, which also refuse bodies in many tiny chunks."""

from __future__ import annotations

from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEAD_BYTES = 1 << 16
"""Size limit of a request's head."""
FEW_CHUNKS = 1000
"""Chunks of a body that may be of any size."""
CHUNK_BYTES = 64
"""Mean size, in bytes, that the chunks of a body need if there are more than `FEW_CHUNKS`."""


class _Parser(h11.Connection):
    """Raises `RemoteProtocolError` in a body of tiny chunks: each takes the server as long as a large one."""

    _chunked, _chunks, _bytes = False, 0, 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
            self._chunks = self._bytes = 0
        elif self._chunked and isinstance(event, h11.Data):
            self._chunks += 1
            self._bytes += len(event.data)
            if self._chunks > FEW_CHUNKS and self._bytes < CHUNK_BYTES * self._chunks:
                raise h11.RemoteProtocolError("the chunks of the body are too small")
        return event


class HttpConnection(H11Protocol):
    """A connection with `_Parser`; otherwise uvicorn's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Parser(h11.SERVER, MAX_HEAD_BYTES)
