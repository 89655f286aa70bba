"""The server's page, which `specs view` also writes as a file with recorded solves; import `html` and `POLICY`.

The page is one string of plain HTML, CSS and JavaScript: there is no build step, and it loads nothing from
elsewhere. A model's text reaches the page as JSON and is shown as text, never as markup.
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
from specs.config.solve_config import SETTINGS_VERSION
from specs.traces.schema import plain

SCRIPTS = (
    "dom.js", "traces.js", "files.js", "figure.js", "steps.js", "step_list.js", "totals.js", "solve.js", "client.js",
    "page.js",
)  # fmt: skip
"""Parts of the page's script, in order."""


def html(traces: Sequence[dict[str, Any]] | None = None, scope: str | None = None) -> str:
    """The whole page.

    Args:
        traces: solves in the form of `specs.traces.schema.result_json(result, candidates=True)`, shown without a
            server; None for the live page, which sends questions to its server.
        scope: one sentence on the only questions that the server's models can solve; None if there is no such bound.
    """
    parts = {
        "mode": "live" if traces is None else "file",
        "policy": markup.escape(_policy("'none'" if traces is not None else "'self'")),
        "style": _style(),
        "script": _script(),
        "scope": f'<p id="scope">{markup.escape(scope)}</p>' if scope else "",
        "settings": str(SETTINGS_VERSION),
        "traces": _embedded(list(traces or ())),
        "version": __version__,
    }
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: parts[found[1]], _read("index.html"))


def _policy(server: str) -> str:
    """The content security policy: the page may use its own style and script and connect to `server` only."""
    return (
        f"default-src 'none'; style-src '{_hash(_style())}'; script-src '{_hash(_script())}'; img-src data:; "
        f"connect-src {server}; base-uri 'none'; form-action 'none'"
    )


def _embedded(value: Any) -> str:
    """JSON that is safe inside a script element: ASCII, with no character that opens or closes a tag."""
    text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _style() -> str:
    return _read("page.css")


@cache
def _script() -> str:
    return "\n".join(_read(name) for name in SCRIPTS)


def _hash(text: str) -> str:
    """The hash by which a Content-Security-Policy allows exactly this inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


POLICY = _policy("'self'") + "; frame-ancestors 'none'"
"""Content-Security-Policy header of the live page."""
