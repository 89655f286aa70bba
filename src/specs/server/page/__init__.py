"""The page of the server, and the same page around recorded solves: one string that needs nothing else.

Plain HTML, CSS and JavaScript, put together when asked for; nothing is built and nothing is loaded from
elsewhere. What a model wrote reaches the page as JSON and becomes text there, never markup.
"""

from __future__ import annotations

import base64
import hashlib
import html as markup
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from specs import __version__
from specs.traces.schema import plain

SCRIPTS = ("dom.js", "traces.js", "figure.js", "steps.js", "solve.js", "client.js", "page.js")
"""In the order in which they are read, as one script."""


def html(traces: Sequence[dict[str, Any]] | None = None) -> str:
    """The whole page.

    Args:
        traces: solves as `specs.traces.schema.result_json(result, candidates=True)` gives them, to be looked at
            without a server; None for the live page, which asks the server that it comes from.
    """
    parts = {
        "mode": "live" if traces is None else "file",
        "policy": markup.escape(_policy("'none'" if traces is not None else "'self'")),
        "style": _style(),
        "script": _script(),
        "traces": _embedded(list(traces or ())),
        "version": __version__,
    }
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: parts[found[1]], _read("index.html"))


def _policy(server: str) -> str:
    """What the page may do: run its own style and script, and ask `server`, nobody else."""
    return (
        f"default-src 'none'; style-src '{_hash(_style())}'; script-src '{_hash(_script())}'; img-src data:; "
        f"connect-src {server}; base-uri 'none'; form-action 'none'"
    )


def _embedded(value: Any) -> str:
    """JSON that can stand between the tags of a script: ASCII, and nothing in it opens or closes a tag."""
    text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _style() -> str:
    return _read("page.css")


@cache
def _script() -> str:
    return "\n".join(_read(name) for name in SCRIPTS)


def _hash(text: str) -> str:
    """The source of a policy that allows just this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


POLICY = _policy("'self'") + "; frame-ancestors 'none'"
"""Content-Security-Policy of the live page, as a header of the server's answer."""
