"""A server, a browser and trace files for the tests of the web page."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from helpers.browsing import HOSTILE, SWITCHED, served
from specs.cli import main
from specs.server.page import html


@pytest.fixture(scope="session")
def address():
    with served() as (_, url):
        yield url


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def tab(browser):
    """Opens pages; at the end no page may have reported an error, violated its policy or loaded from another origin."""
    contexts, troubles = [], []

    def opened(url, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        origin = re.match(r"\w+://[^/]*", url)[0]
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: troubles.append(said.text) if _broken(said) else None)
        page.on("request", lambda request: troubles.append(request.url) if _away(request.url, origin) else None)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def _broken(said):
    """Whether a console message is more than an HTTP status, which the page itself shows."""
    return said.type in ("error", "warning") and "Failed to load resource" not in said.text


def _away(url, origin):
    return not url.startswith((origin, "blob:", "data:"))


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    """A folder with traces: a solve that switches writers, one of beam, and one with hostile texts, also long."""
    folder = tmp_path_factory.mktemp("traces")
    options = ["--seed", "3", "--json", "--trace"]
    rewriting = ["--method", "specs:start=target:tau=0.999:deferral=rewrite"]
    assert main(["solve", SWITCHED, *rewriting, *options, str(folder / "specs.json")]) == 0
    assert main(["solve", SWITCHED, "--method", "beam:width=2", *options, str(folder / "beam.json")]) == 0
    one = json.loads((folder / "specs.json").read_text())
    one |= {"question": HOSTILE, "answer": HOSTILE, "method": HOSTILE, "error": HOSTILE}
    one["models"] = dict.fromkeys(one["models"], HOSTILE)
    one["settings"]["method"] |= {HOSTILE: HOSTILE}
    for step in one["steps"]:
        step["candidates"] = [candidate | {"text": HOSTILE, "end": HOSTILE} for candidate in step["candidates"]]
    (folder / "hostile.json").write_text(json.dumps(one))
    many = [step | {"step_idx": k} for k, step in enumerate(one["steps"] * 6)]
    (folder / "long.html").write_text(html([one | {"steps": many}]))
    return folder


@pytest.fixture(scope="session")
def written(traces):
    """The first two as one page on disk."""
    both = [json.loads((traces / name).read_text()) for name in ("specs.json", "beam.json")]
    (traces / "both.html").write_text(html(both))
    return (traces / "both.html").as_uri()
