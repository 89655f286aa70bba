"""The web page, in a browser, with a server started by `specs serve`: it shows what the trace records."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from specs.cli import main
from specs.server.page import POLICY, html

pytestmark = pytest.mark.browser

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


@pytest.fixture(scope="module")
def address():
    with served() as (_, url):
        yield url


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """A folder with traces: a solve that switches writers, one of beam, and one whose texts are hostile."""
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
    return folder


@pytest.fixture(scope="module")
def written(traces):
    """The first two as one page on disk."""
    both = [json.loads((traces / name).read_text()) for name in ("specs.json", "beam.json")]
    (traces / "both.html").write_text(html(both))
    return (traces / "both.html").as_uri()


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


def steps_of(article):
    """The table on the page: for each step its writer, fate and rows [words, times, reward, log p/q, chance]."""
    return article.locator("tbody[role=rowgroup]").evaluate_all(
        """bodies => bodies.map((body) => ({
            writer: body.querySelector(".head .draft, .head .target").textContent,
            thrown: body.classList.contains("thrown"),
            chosen: body.querySelector("tr.chosen .words")?.textContent ?? null,
            rows: [...body.querySelectorAll("tr:not(.head, .details)")].map((row) =>
              [row.querySelector(".words").textContent,
               ...["td.times", "td:nth-child(3)", "td:nth-child(4)", "td:nth-child(5)"].map((cell) =>
                 row.querySelector(cell).lastChild?.textContent ?? "")]),
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


def test_another_method_writes_differently_and_beam_is_not_compared_with_itself(address, tab):
    page = tab(address)
    page.get_by_label("Method").select_option("target")
    shows(page.locator("#hint"), "one sample of the target")
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


def test_a_server_that_does_not_answer_is_named(tab):
    with served() as (process, url):
        page = tab(url)
        page.locator("#method option").first.wait_for(state="attached")
        process.terminate()
        process.wait(60)
        solve(page)
        assert "cannot be reached" in page.get_by_role("article").locator(".trouble").inner_text()


def test_traces_are_opened_by_picker_and_drop_and_one_is_chosen(address, traces, tmp_path, tab):
    page = tab(address)
    both = [json.loads((traces / name).read_text()) for name in ("specs.json", "beam.json")]
    with gzip.open(tmp_path / "both.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(one) + "\n" for one in both)
    page.get_by_label("Open a trace…").set_input_files(tmp_path / "both.jsonl.gz")
    page.get_by_role("article").nth(1).wait_for()
    assert saved(page) == both
    for article, trace in zip(page.get_by_role("article").all(), both, strict=True):
        same_as(steps_of(article), trace)
    page.get_by_label("beside").select_option("")
    page.get_by_label("Shown").select_option("1")
    same_as(steps_of(page.get_by_role("article")), both[1])
    assert page.get_by_role("article").count() == 1

    drop = """([name, text]) => {
        const files = new DataTransfer();
        files.items.add(new File([text], name));
        for (const kind of ["dragover", "drop"])
          document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(drop, ["one.json", (traces / "specs.json").read_text()])
    page.locator("#first option").nth(2).wait_for(state="attached")
    assert page.get_by_role("article").get_attribute("aria-label") == "Solve with specs"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda trace: "{", "bad.json, line 1: not JSON"),
        (lambda trace: "\n", "bad.json holds no trace"),
        (lambda trace: "[]", "bad.json, line 1 is not an object"),
        (lambda trace: {**trace, "question": 1}, "bad.json, line 1: 'question' is not text"),
        (lambda trace: {**trace, "steps": None}, "bad.json, line 1: 'steps' is not a list"),
        (lambda trace: {**trace, "latency_s": "constructor"}, "bad.json, line 1: 'latency_s' is not a number"),
        (lambda trace: {**trace, "steps": [*trace["steps"], {}]}, "is not whole"),
        (lambda trace: {**trace, "steps": [{**trace["steps"][0], "candidates": [{}]}]}, "step 1: a candidate lacks"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_by_name(change, message, written, traces, tab):
    page = tab(written)
    changed = change(json.loads((traces / "specs.json").read_text()))
    text = changed if isinstance(changed, str) else json.dumps(changed)
    page.locator("#file").set_input_files({"name": "bad.json", "mimeType": "", "buffer": text.encode()})
    page.locator("#trouble").wait_for()
    assert message in page.locator("#trouble").inner_text()
    assert page.get_by_role("article").count() == 2


def test_text_that_a_model_wrote_is_not_interpreted(address, traces, tab):
    trace = json.loads((traces / "hostile.json").read_text())
    (traces / "hostile.html").write_text(html([trace]))
    live = tab(address)
    live.locator("#file").set_input_files(traces / "hostile.json")
    for page in (tab((traces / "hostile.html").as_uri()), live):
        page.get_by_role("article").wait_for()
        page.get_by_role("button", name="All figures", exact=True).click()
        assert {step["chosen"] for step in steps_of(page.get_by_role("article"))} == {HOSTILE}
        assert page.locator("#asked").inner_text().split() == HOSTILE.split()
        assert page.locator("img, iframe, #shown script, [onerror], [onload]").count() == 0
        assert page.title() == "specs"
    solve(live, HOSTILE)
    assert live.title() == "specs"
    assert live.locator("img, [onerror], [onload]").count() == 0


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", 1e308, -1.0, 0])
def test_extreme_numbers_do_not_break_the_page(value, written, traces, tab):
    trace = json.loads((traces / "specs.json").read_text())
    for step in trace["steps"]:
        step["seconds"] = dict.fromkeys(step["seconds"], value)
        step["candidates"] = [
            one | dict.fromkeys(("log_p", "log_q", "reward", "score", "probability"), value)
            for one in step["candidates"]
        ]
    page = tab(written)
    settings = {
        **trace["settings"],
        "method": {**trace["settings"]["method"], "tau": value, "switch_on": "trace", "accept_weight": 0.0},
    }
    strange = {**trace, "latency_s": value, "settings": settings}
    flat = {**settings["limits"], **settings["sampling"], **settings["method"]}  # the flat settings of version 1
    text = json.dumps(strange) + "\n" + json.dumps({**strange, "method": "beam", "settings": flat})
    page.locator("#file").set_input_files({"name": "t.jsonl", "mimeType": "", "buffer": text.encode()})
    page.locator("#first option").nth(3).wait_for(state="attached")
    assert [len(steps_of(article)) for article in page.get_by_role("article").all()] == [len(trace["steps"])] * 2


def test_solves_without_an_answer_are_shown(written, traces, tab):
    trace = json.loads((traces / "specs.json").read_text()) | {"answer": None, "time_to_first_step_s": None}
    page = tab(written)
    for change in (
        {"finish_reason": "deadline", "steps": [], "latency_s": 0.0},
        {
            "finish_reason": "no_support",
            "steps": [{**trace["steps"][0], "chosen": None, "accepted": False, "text": None}],
        },
    ):
        text = json.dumps(trace | change).encode()
        before = page.locator("#first option").count()
        page.locator("#file").set_input_files({"name": "t.json", "mimeType": "", "buffer": text})
        page.locator("#first option").nth(before).wait_for(state="attached")
        article = page.get_by_role("article")
        assert article.locator(".answer").inner_text() == "none"
        assert len(steps_of(article)) == len(change["steps"])
        ended_by = {"deadline": "deadline", "no_support": "no candidate had support"}[change["finish_reason"]]
        assert article.locator(".state").inner_text() == f"ended by: {ended_by}"


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


def test_a_narrow_window_does_not_scroll_sideways(address, written, traces, tab):
    narrow = {"viewport": {"width": 360, "height": 700}}
    live = tab(address, **narrow)
    solve(live, "x" * 400, n=3)
    hostile = tab((traces / "both.html").as_uri(), **narrow)
    hostile.locator("#file").set_input_files(traces / "hostile.json")
    for page in (live, hostile, tab(written, **narrow)):
        page.get_by_role("button", name="All figures", exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        outside = page.locator("#shown *:visible, header *:visible, form *:visible").evaluate_all(
            "all => all.filter((one) => !one.closest('.hidden') && one.getBoundingClientRect().right > 360.5)"
            ".map((one) => one.outerHTML.slice(0, 80))"
        )
        assert outside == []


def test_everything_works_by_keyboard(address, tab):
    page = tab(address)
    page.locator("#method option").first.wait_for(state="attached")

    def focused():
        name, ring = page.evaluate(
            """() => {
                const here = document.activeElement;
                const ring = here.id === "file" ? document.querySelector(".button") : here;
                return [here.id || here.ariaLabel || here.tagName, getComputedStyle(ring).outlineStyle];
            }"""
        )
        assert ring == "solid", name
        return name

    def to(name):
        for _ in range(60):
            page.keyboard.press("Tab")
            if focused() == name:
                return
        raise AssertionError(f"{name} cannot be reached")

    to("file")
    to("question")
    page.keyboard.type(SWITCHED)
    to("method")
    page.keyboard.type("beam")
    assert page.locator("#method").input_value() == "beam"
    to("more")
    page.keyboard.press("Enter")
    to("go")
    page.keyboard.press("Enter")
    ended(page)
    assert page.evaluate("document.activeElement.id") == "go"
    to("Step 1, target: all figures")
    page.keyboard.press("Enter")
    assert focused() == "Step 1, target: all figures"
    assert page.locator("tbody.open").count() == 1
    assert "log p" in page.locator("tbody.open tr.details").first.inner_text()
    page.locator("#question").focus()
    page.keyboard.press("Control+Enter")
    page.locator("#first option").nth(1).wait_for(state="attached")
    ended(page)


CONTRASTS = """() => {
    const mixed = (top, under) => top.slice(0, 3).map((c, k) => c * top[3] + under[k] * (1 - top[3]));
    const parsed = (text) => {
        const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const light = (rgb) => {
        const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (one) => {
        if (!one) return [255, 255, 255];
        const own = parsed(getComputedStyle(one).backgroundColor);
        return own[3] === 1 ? own.slice(0, 3) : mixed(own, ground(one.parentElement));
    };
    const found = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const one = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !one.checkVisibility()) continue;
        if (one.closest(".hidden, script, title, option")) continue;
        const style = getComputedStyle(one);
        const ink = parsed(one instanceof SVGElement ? style.fill : style.color);
        const under = ground(one);
        const [a, b] = [light(mixed(ink, under)), light(under)].sort((x, y) => y - x);
        found.push([(a + 0.05) / (b + 0.05), texts.currentNode.data.trim()]);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(scheme, address, traces, written, tab):
    live = tab(address, color_scheme=scheme)
    solve(live)
    live.locator("#file").set_input_files({"name": "bad.json", "mimeType": "", "buffer": b"{"})
    live.locator("#trouble").wait_for()
    recorded = tab(written, color_scheme=scheme)
    for page in (live, recorded):
        page.get_by_role("button", name="All figures", exact=True).click()
        page.evaluate("document.querySelector('.reading').open = true")
        found = page.evaluate(CONTRASTS)
        assert len(found) > 100
        assert [text for contrast, text in found if contrast < 4.5] == []
    grounds = {page.evaluate("getComputedStyle(document.body).backgroundColor") for page in (live, recorded)}
    assert len(grounds) == 1
    assert (max(map(int, re.findall(r"\d+", grounds.pop()))) < 60) == (scheme == "dark")


def test_colours_of_bars_and_dots_have_enough_contrast(written, tab):
    for scheme in ("light", "dark"):
        page = tab(written, color_scheme=scheme)
        found = page.evaluate(
            """() => {
                const style = getComputedStyle(document.documentElement);
                return ["paper", "draft", "target", "score", "prm", "focus", "edge"].map((one) =>
                  style.getPropertyValue(`--${one}`).trim());
            }"""
        )
        paper, *others = map(_luminance, found)
        for name, other in zip(("draft", "target", "score", "prm", "focus"), others, strict=False):
            high, low = max(paper, other), min(paper, other)
            assert (high + 0.05) / (low + 0.05) >= 3, (scheme, name)


def _luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_there_is_no_animation_if_the_user_wants_none(address, tab):
    page = tab(address, reduced_motion="reduce")
    page.evaluate(
        """() => {
            globalThis.moved = 0;
            document.addEventListener("animationstart", () => (moved += 1), true);
        }"""
    )
    solve(page)
    assert page.evaluate("moved") == 0
    assert page.evaluate("document.getAnimations().length") == 0
