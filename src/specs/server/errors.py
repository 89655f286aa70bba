"""What a request is answered with when it is not served: OpenAI's error bodies."""

from __future__ import annotations

from typing import Any

DEFECT = "the server failed on this request; its log says how"
ROOM = 300
"""Characters of a client's own words that are said back to it."""


class Refused(Exception):
    """A request that ends with an HTTP error.

    Attributes:
        status: of HTTP.
        message: one line that names the input and the mend.
        param: the field that is wrong; None where none is.
        code: OpenAI's word for it; None for none.
        retry_after_s: whole seconds until trying again makes sense; None where it does not.
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
    """A client's own words as part of a message: on one line, not too many, every character printable."""
    return ascii(words if len(words) <= ROOM else words[:ROOM] + "...")
