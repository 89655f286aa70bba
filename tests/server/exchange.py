"""Sends hostile requests, and checks what every answer to them has to be."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from http.client import BadStatusLine, HTTPException, HTTPResponse

from server.hostile import MARK, Case
from server.process import ServerProcess


def answer_to(server: ServerProcess, case: Case) -> tuple[int, Mapping[str, str], bytes]:
    """Status (0: no answer), headers and body."""
    with server.connect() as raw:
        with suppress(BrokenPipeError, ConnectionResetError):  # the server may answer before it has read everything
            raw.sendall(case.data)
        if case.leave:
            raw.shutdown(socket.SHUT_WR)
        answer = HTTPResponse(raw, method="HEAD" if case.data.startswith(b"HEAD") else None)
        try:
            answer.begin()
            return answer.status, answer.headers, answer.read()
        except (BadStatusLine, ConnectionResetError):
            return 0, {}, b""
        except HTTPException as error:
            raise AssertionError(f"{case.name}: {error!r}") from None
        finally:
            answer.close()


def check(case: Case, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Conditions on every single answer."""
    assert status in case.statuses, f"{case.name}: {status} {body[:300]}"
    if "x-request-id" not in headers:
        assert status in (0, 400), case.name  # no HTTP: the application never saw it
        return
    assert MARK not in str(headers), case.name
    if status < 400 or not body:
        return
    assert headers["content-type"] == "application/json", case.name
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}, case.name
    assert error["message"].isprintable(), case.name
    assert len(error["message"]) < 1000, case.name
    if status == 503:
        assert (error["type"], error["code"]) == ("server_error", "deadline"), case.name
        return
    assert error["type"] == "invalid_request_error", case.name
    if case.param != "*":
        named = error["param"]
        assert (named == case.param) if case.param is None else f"{named}.".startswith(f"{case.param}."), (
            f"{case.name}: {error}"
        )
