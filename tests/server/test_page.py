"""The web page, in a browser, with a server started by `specs serve`: it shows what the trace records."""

from __future__ import annotations

import json
import re
from urllib.request import urlopen

import pytest

from helpers.browsing import SWITCHED, ended, same_as, saved, served, shows, solve, steps_of
from specs.bundled.grammar import SCOPE, caveat
from specs.config.describe import describe
from specs.methods.registry import GROUPS, NAMES
from specs.server.page import POLICY

pytestmark = pytest.mark.browser


def test_a_solve_is_shown_as_recorded_and_announced_step_by_step(address, tab):
    page = tab(address)
    page.evaluate(
        """() => {
            globalThis.heard = [];
            const said = document.getElementById("said");
            new MutationObserver((all) => heard.push(...all.flatMap((one) => [...one.addedNodes].map((n) => n.data))))
              .observe(said, { childList: true });
        }"""
    )
    solve(page)
    (trace,) = saved(page)
    article = page.get_by_role("article", name="Solve with specs")
    same_as(steps_of(article), trace)
    assert article.locator(".answer").inner_text() == trace["answer"]
    value, unit = article.locator("dl.facts dd").nth(1).inner_text().splitlines()[0].split()
    assert float(value) * {"ms": 1e-3, "s": 1}[unit] == pytest.approx(trace["latency_s"], rel=0.01)
    heard = page.evaluate("heard")
    step_texts = [one["text"].strip() for one in trace["steps"]]
    assert [line.partition(": ")[2] for line in heard[:-1]] == step_texts
    assert heard[-1].startswith(f"specs: answer {trace['answer']}")
    for role, use in trace["usage"].items():
        row = article.locator(".tokens tbody tr", has=page.locator(f"th.{role}"))
        assert row.locator("td").first.inner_text() == f"{use['processed']:,}"


def test_the_page_says_what_the_bundled_models_can_do_and_gives_an_example(address, tab):
    page = tab(address)
    assert page.locator("#scope").inner_text() == SCOPE
    placeholder = page.get_by_label("Question").get_attribute("placeholder")
    assert caveat(placeholder.removeprefix("For example: ")) is None
    page.get_by_role("button", name="An example").click()
    assert caveat(page.get_by_label("Question").input_value()) is None


def test_methods_are_in_groups_with_a_line_of_description_each(address, tab):
    page = tab(address)
    page.locator("#method option").first.wait_for(state="attached")
    groups = page.locator("#method optgroup").evaluate_all(
        "groups => groups.map((group) => [group.label, [...group.children].map((one) => [one.value, one.textContent])])"
    )
    assert [group for group, _ in groups] == list(GROUPS)
    for group, options in groups:
        assert [name for name, _ in options if name not in ("specs-fast", "specs-wide")] == list(GROUPS[group])
        for name, shown in options:
            start, _, description = shown.partition(" – ")
            assert start == name
            assert len(description.split()) > 3
    for name in NAMES:
        page.get_by_label("Method").select_option(name)
        assert page.locator("#hint").text_content() == describe(name).summary.rstrip(".").replace("`", "")


def test_the_whole_solution_and_the_answer_are_shown_and_copied(address, tab):
    page = tab(address, permissions=["clipboard-read", "clipboard-write"])
    solve(page)
    (trace,) = saved(page)
    solution = page.get_by_role("region", name="Solution")
    assert solution.locator("p").all_inner_texts() == [part.strip() for part in trace["text"].strip().split("\n\n")]
    page.get_by_role("button", name="Copy solution").click()
    shows(page.locator("#said"), "solution copied")
    assert page.evaluate("navigator.clipboard.readText()") == trace["text"]
    page.get_by_role("button", name="Copy answer").click()
    shows(page.locator("#said"), "answer copied")
    assert page.evaluate("navigator.clipboard.readText()") == trace["answer"]


def test_copying_works_without_a_clipboard_interface(address, tab):
    """As on a page that another machine serves over plain HTTP."""
    page = tab(address)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    solve(page)
    (trace,) = saved(page)
    page.get_by_role("button", name="Copy solution").click()
    shows(page.locator("#said"), "solution copied")
    page.get_by_label("Question").fill("")
    page.get_by_label("Question").press("Control+V")
    assert page.get_by_label("Question").input_value() == trace["text"]


def test_candidates_and_steps_that_were_thrown_away_are_closed_until_their_button_opens_them(written, tab):
    page = tab(written)
    article = page.get_by_role("article", name="Solve with specs")
    kept, thrown = article.locator(".step:not(.thrown)"), article.locator(".step.thrown")
    assert kept.count() > 2
    assert thrown.count() > 0
    assert {step.locator(".row").count() for step in kept.all()} == {1}
    assert {step.locator(".row").count() for step in thrown.all()} == {0}
    for step, closed in ((kept.nth(1), 1), (thrown.first, 0)):
        button = step.get_by_role("button", name="8 candidates")
        assert button.inner_text() == "8 candidates"
        assert button.get_attribute("aria-expanded") == "false"
        button.click()
        assert button.get_attribute("aria-expanded") == "true"
        assert step.locator(".row").count() > closed
        assert step.locator(".details").first.inner_text().startswith("candidate ")
        button.click()
        assert step.locator(".row").count() == closed


def test_another_method_writes_differently_and_beam_is_not_compared_with_itself(address, tab):
    page = tab(address)
    page.get_by_label("Method").select_option("target")
    shows(page.locator("#hint"), "One sample of the target alone")
    solve(page)
    steps = steps_of(page.get_by_role("article"))
    assert {step["writer"] for step in steps} == {"target"}
    assert {row[2] for step in steps for row in step["rows"]} == {"–"}
    page.get_by_label("Method").select_option("best-of-n")
    solve(page)
    same_as(steps_of(page.get_by_role("article")), saved(page)[0])
    page.get_by_label("Method").select_option("beam")
    assert page.get_by_label("compare with beam").is_hidden()


def test_only_options_that_the_method_has_are_shown_and_sent(address, tab):
    page = tab(address)
    solve(page, n=3, tau=0.4)
    assert page.get_by_label("n", exact=True).get_attribute("placeholder") == "8"
    page.get_by_label("Method").select_option("beam")
    assert page.get_by_label("n", exact=True).is_visible()
    assert not page.get_by_label("tau", exact=True).is_visible()
    page.get_by_role("button", name="Solve", exact=True).click()
    ended(page)
    page.get_by_label("Method").select_option("specs")
    assert page.get_by_label("tau", exact=True).input_value() == "0.4"
    beam = page.get_by_role("article", name="Solve with beam")
    assert beam.locator(".answer").inner_text()
    (trace,) = saved(page)
    assert (trace["method"], trace["settings"]["method"]["n"]) == ("beam", 3)


def test_a_method_and_beam_are_shown_on_one_axis_with_the_same_seed(address, tab):
    page = tab(address)
    page.get_by_label("Method").select_option("specs-fast")
    page.get_by_label("compare with beam").check()
    solve(page)
    first, second = saved(page)
    assert (first["method"], second["method"]) == ("specs", "beam")
    assert (first["seed"], first["settings"]["method"]["n"]) == (second["seed"], second["settings"]["method"]["n"])
    articles = page.get_by_role("article")
    for article, trace in zip(articles.all(), (first, second), strict=True):
        same_as(steps_of(article), trace)
    axes = [article.locator("svg text[text-anchor=middle].soft").all_inner_texts() for article in articles.all()]
    assert axes[0] == axes[1]
    shown = re.search(r"took ([\d.]+) × the time of beam", page.locator("#verdict").inner_text())[1]
    assert float(shown) == pytest.approx(first["latency_s"] / second["latency_s"], abs=0.00501)
    assert ("the answer is the same" in page.locator("#verdict").inner_text()) == (first["answer"] == second["answer"])


def test_a_refusal_of_the_server_is_shown_with_its_message(address, tab):
    page = tab(address)
    solve(page, n=1000)
    assert re.match(r"400: .*\bn\b", page.get_by_role("article").locator(".trouble").inner_text())
    page.get_by_label("n", exact=True).fill("2")
    page.get_by_role("button", name="Solve", exact=True).click()
    ended(page)
    assert {len(step["candidates"]) for step in saved(page)[0]["steps"]} <= {2}


def test_a_client_that_asks_too_often_is_told_when_to_retry(tab):
    with served("--rate", "1") as (_, url):
        page = tab(url)
        page.locator("#method option").first.wait_for(state="attached")
        solve(page)
        shown = page.get_by_role("article").locator(".trouble").inner_text()
        assert re.match(r"429: .* \(try again in \d+ s\)$", shown)
        assert page.locator("#said").inner_text() == f"specs: {shown}"


def test_stop_also_ends_the_solve_on_the_server(address, tab):
    page = tab(address)
    page.get_by_label("Method").select_option("best-of-n")
    page.get_by_label("Question").fill(SWITCHED)
    page.get_by_role("button", name="Options").click()
    page.get_by_label("n", exact=True).fill("64")
    page.get_by_role("button", name="Solve", exact=True).click()
    page.get_by_role("button", name="Stop").click()
    ended(page)
    assert page.locator(".state").inner_text() == "stopped"
    page.get_by_label("Method").select_option("draft")
    page.get_by_role("button", name="Solve", exact=True).click()
    ended(page)
    assert saved(page)[0]["method"] == "draft"
    with urlopen(f"{address}/health") as reply:
        assert json.load(reply)["running"] == 0


def test_the_page_asks_for_a_key_until_the_server_accepts_it(tab):
    with served(keys="open sesame") as (_, url):
        page = tab(url)
        dialog = page.get_by_role("dialog")
        page.get_by_label("This server needs an API key:").fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_label("The server refuses this API key. Enter another one:").fill("open sesame")
        dialog.get_by_role("button", name="Use it").click()
        solve(page)
        assert len(steps_of(page.get_by_role("article"))) == len(saved(page)[0]["steps"])
        assert page.evaluate("Object.values(sessionStorage)") == ["open sesame"]
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        other = tab(url)
        other.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        shows(other.locator("#trouble"), "401")


def test_a_question_that_is_asked_before_the_methods_are_listed_waits_for_them(address, tab):
    page, held = tab(address), []
    page.route("**/v1/models", lambda route: held.append(route))
    with page.expect_request("**/v1/models"):
        page.reload()
    page.get_by_label("Question").fill(SWITCHED)
    page.get_by_role("button", name="Solve", exact=True).click()
    page.locator("#stop").wait_for(state="visible")
    assert page.get_by_role("article").count() == 0
    (only,) = held
    only.continue_()
    ended(page)
    assert saved(page)[0]["method"] == "specs"


def test_after_a_failure_a_question_asks_for_the_methods_again(tab):
    with served(keys="open sesame") as (_, url):
        page = tab(url)
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Cancel").click()
        shows(page.locator("#trouble"), "The server did not list its methods. 401")
        page.get_by_label("Question").fill(SWITCHED)
        page.get_by_role("button", name="Solve", exact=True).click()
        page.get_by_label("This server needs an API key:").fill("open sesame")
        page.keyboard.press("Enter")
        ended(page)
        assert page.locator("#trouble").is_hidden()
        assert saved(page)[0]["method"] == "specs"
        page.locator("#method option").first.wait_for(state="attached")


def test_a_server_that_does_not_answer_is_named(tab):
    with served() as (process, url):
        page = tab(url)
        page.locator("#method option").first.wait_for(state="attached")
        process.terminate()
        process.wait(60)
        solve(page)
        assert "cannot be reached" in page.get_by_role("article").locator(".trouble").inner_text()


def test_the_content_security_policy_is_sent_and_blocks_foreign_scripts(address, written, browser):
    with urlopen(address) as reply:
        assert reply.headers["Content-Security-Policy"] == POLICY
    for url in (address, written):
        page = browser.new_page()
        page.goto(url)
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "document.title = 'pwned'";
                document.body.append(script);
            }"""
        )
        assert page.title() == "specs"
        page.close()
