"""The web page on solves that think: the thinking is dimmed, folds, and is no part of the solution."""

from __future__ import annotations

import pytest

from helpers.browsing import saved, shows, solve
from helpers.server_app import app_of, running_server
from helpers.thinkers import NEVER, thinkers
from specs import api
from specs.server.app import ServerSettings
from specs.server.page import html
from specs.server.request_parsing import RequestLimits

pytestmark = pytest.mark.browser


def trace_of(steps):
    """A solve with about so many steps of thinking, each of 3 tokens or fewer."""
    models = thinkers(close=NEVER, end=NEVER)
    law = {"temperature": 1.0, "think": True, "max_thinking_step_tokens": 3, "max_step_tokens": 4, "max_tokens": 20}
    return api.solve("q", models, "specreason", seed=5, max_thinking_tokens=2 * steps, **law)


def opened(tab, folder, steps, **options):
    """The page with such a solve, and its trace."""
    trace = trace_of(steps).to_dict()
    (folder / "page.html").write_text(html([trace]))
    return tab((folder / "page.html").as_uri(), **options), trace


def words(text):
    return "".join(text.split())


def test_the_solution_is_the_answer_and_the_thinking_is_apart(tab, tmp_path):
    page, trace = opened(tab, tmp_path, 5)
    solution = page.get_by_role("region", name="Solution")
    answer, thinking = trace["text"].removeprefix(trace["thinking"]), trace["thinking"].rstrip()
    assert words(answer)
    assert words(solution.get_by_label("Text of the solution").inner_text()) == words(answer)
    text = solution.get_by_label("Text of the thinking")
    assert not text.is_visible()
    solution.get_by_text("The thinking before the answer").click()
    assert words(text.inner_text()) == words(thinking.removesuffix("</think>"))
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', { value: { writeText: (t) => (globalThis.got = t) } })"
    )
    page.get_by_role("button", name="Copy solution").click()
    shows(page.locator("#said"), "solution copied")
    assert page.evaluate("got") == answer


def test_few_steps_of_thinking_are_open_and_dimmed(tab, tmp_path):
    page, trace = opened(tab, tmp_path, 5)
    phases = ["thinking" if step.get("phase") == "thinking" else "answer" for step in trace["steps"]]
    assert 1 < phases.count("thinking") <= 20
    assert page.locator(".step").count() == len(phases)
    thinking, answer = page.locator(".step.thinking"), page.locator(".step:not(.thinking)")
    assert (thinking.count(), answer.count()) == (phases.count("thinking"), phases.count("answer"))
    assert thinking.first.is_visible()
    colour = "one => getComputedStyle(one).color"
    kept = ".row.chosen .words"
    assert thinking.locator(kept).first.evaluate(colour) != answer.locator(kept).first.evaluate(colour)
    tokens = sum(step["n_tokens"] for step in trace["steps"] if step.get("phase") and step["accepted"])
    shows(page.locator(".steps summary"), f"Thinking {phases.count('thinking')} steps, {tokens} tokens")


def test_hundreds_of_steps_of_thinking_fold_and_stay_usable(tab, tmp_path):
    page, trace = opened(tab, tmp_path, 500)
    count = sum("phase" in step for step in trace["steps"])
    assert count > 500
    fold = page.locator(".steps details")
    assert fold.get_attribute("open") is None
    assert page.locator(".step:not(.thinking)").first.is_visible()
    fold.locator("summary").click()
    page.locator(".step.thinking").first.wait_for()
    assert 20 <= page.locator(".step.thinking").count() < 200
    fold.locator("summary").click()
    page.get_by_label("Go to step").fill("400")
    page.get_by_label("Go to step").press("Enter")
    step = page.locator(".step.pointed")
    step.wait_for()
    assert fold.get_attribute("open") is not None
    assert step.locator(".head b").inner_text() == str(trace["steps"][399]["step_idx"] + 1)
    page.wait_for_function("document.querySelectorAll('.step.thinking').length < 200")
    page.get_by_label("Go to step").fill(str(len(trace["steps"])))
    page.get_by_label("Go to step").press("Enter")
    page.locator(".step.pointed:not(.thinking)").wait_for()
    assert page.locator(".step.pointed").count() == 1


def test_a_server_that_thinks_is_asked_with_its_usual_method(tab):
    limits = RequestLimits(tokens=20, think=True, thinking_tokens=20)
    with running_server(app_of(ServerSettings(request_limits=limits), models=thinkers(close=NEVER, end=NEVER))) as url:
        page = tab(url)
        page.locator("#method option").first.wait_for(state="attached")
        assert page.get_by_label("Method").input_value() == "specreason"
        solve(page, "q")
        (trace,) = saved(page)
        assert trace["thinking"]
        answer = trace["text"].removeprefix(trace["thinking"])
        assert words(page.get_by_label("Text of the solution").inner_text()) == words(answer)
        assert page.locator(".step.thinking").count() == sum("phase" in step for step in trace["steps"])
