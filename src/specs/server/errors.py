"""Refused requests, and their error bodies in OpenAI's format."""

from __future__ import annotations

from typing import Any

DEFECT = "the server failed on this request; its log has the details"
MAX_QUOTED = 300
"""The most characters of a client's own words that a message repeats."""


class Refused(Exception):
    """A request that ends with an HTTP error.

    Attributes:
        status: HTTP status.
        message: one line that names the input and how to correct it.
        param: the field that is wrong, if any.
        code: OpenAI's error code, if it has one.
        retry_after_s: whole seconds until a new attempt makes sense; None if it does not.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry_after_s = retry_after_s

    @property
    def body(self) -> dict[str, Any]:
        return error_body(self.status, self.message, self.param, self.code)

    @property
    def headers(self) -> dict[str, str]:
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The error object of OpenAI's API."""
    return {"error": {"message": message, "type": _kind(status), "param": param, "code": code}}


def _kind(status: int) -> str:
    if status == 401:
        return "authentication_error"
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def quoted(words: str) -> str:
    """A client's own words for a message: on one line, shortened, all characters printable."""
    return ascii(words if len(words) <= MAX_QUOTED else words[:MAX_QUOTED] + "...")
