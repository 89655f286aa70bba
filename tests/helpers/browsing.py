"""Drives the web page in a browser: starts a server, asks a question, reads the steps that are shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

SWITCHED = (
    "Carl has 120 nuts. Then 38 of the nuts break. He gives 77 nuts to Ruth. He loses 2 of them. How many are left?"
)
HOSTILE = (
    "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script></script>"
    "<svg onload=document.title='pwned'> \u2028 javascript:alert(1)"
)


@contextmanager
def served(*options, keys=""):
    """Start `specs serve` with the bundled models on a free port; yields the process and its address."""
    command = [sys.executable, "-m", "specs", "serve", "--port", "0", *options]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **({"SPECS_SERVER_KEYS": keys} if keys else {})}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            yield process, first.split()[1]
        finally:
            process.terminate()
            process.communicate(timeout=60)


def solve(page, question=SWITCHED, **options):
    """Ask a question and wait for the end of the solve."""
    page.get_by_label("Question").fill(question)
    if options:
        page.get_by_role("button", name="Options").click()
        for name, value in options.items():
            page.get_by_label(name, exact=True).fill(str(value))
    page.get_by_role("button", name="Solve", exact=True).click()
    ended(page)


def ended(page):
    page.locator("#go").wait_for(state="visible", timeout=60_000)


def shows(locator, text):
    """Wait until an element shows a text: what the page asks the server for arrives later."""
    from playwright.sync_api import expect

    expect(locator).to_contain_text(text, timeout=20_000)


def saved(page):
    """The traces on the page, as it exports them."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save trace").click()
    return [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]


def open_all(page):
    """Open the candidates of all steps of all solves on the page."""
    for button in page.get_by_role("button", name="Open all candidates").all():
        button.click()


def steps_of(article):
    """The steps on the page, all opened: for each its writer, fate and rows [words, times, reward, log p/q, chance]."""
    opener = article.get_by_role("button", name="Open all candidates")
    if opener.is_visible() and opener.get_attribute("aria-pressed") == "false":
        opener.click()
    return article.locator(".step").evaluate_all(
        """steps => steps.map((step) => ({
            writer: step.querySelector(".head .draft, .head .target").textContent,
            thrown: step.classList.contains("thrown"),
            chosen: step.querySelector(".row.chosen .words")?.textContent ?? null,
            rows: [...step.querySelectorAll(".row")].map((row) =>
              [row.querySelector(".words").textContent, row.querySelector(".times").textContent,
               ...[...row.querySelectorAll(".share")].map((cell) => cell.lastChild.textContent)]),
        }))"""
    )


def same_as(shown, trace):
    """Compare the table with the record."""
    assert [step["writer"] for step in shown] == [step["writer"] for step in trace["steps"]]
    assert [step["thrown"] for step in shown] == [not step["accepted"] for step in trace["steps"]]
    for seen, step in zip(shown, trace["steps"], strict=True):
        assert seen["chosen"] == step["candidates"][step["chosen"]]["text"].strip()
        assert sum(int(times[1:] or 1) for _, times, *_ in seen["rows"]) == len(step["candidates"])
        leads = [one for one in step["candidates"] if one["duplicates_of"] is None]
        found = {(one["text"].strip(), _text(one["reward"]), _ratio(step, one)) for one in leads}
        assert {(words, reward, ratio) for words, _, reward, ratio, _ in seen["rows"]} == found
        chances = [row[4] for row in seen["rows"]]
        if any(one["probability"] is None for one in step["candidates"]):  # the target has not read all of them
            assert sorted(chances) == ["drawn", *["–"] * (len(chances) - 1)]
            continue
        shares = [int(chance.replace("<1", "0").replace(">99", "100")[:-1]) for chance in chances]
        assert abs(sum(shares) - 100) <= len(shares)


def _text(value):
    return "–" if value is None else f"{value:.3f}"


def _ratio(step, one):
    if step["writer"] == "target" or one["log_p"] is None:
        return "–"
    return f"{one['log_p'] - one['log_q']:+.2f}".replace("-", "−")
