"""The web page, in a browser: it opens trace files, and says what is wrong with those that it cannot show."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from helpers.browsing import HOSTILE, open_all, same_as, saved, solve, steps_of
from helpers.odd_values import odd_versions, short
from specs.server.page import html

pytestmark = pytest.mark.browser


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


def opened(page, text, name="bad.json"):
    """Open a file and return what the page says about it."""
    page.locator("#trouble").evaluate("one => { one.hidden = true; }")
    page.locator("#file").set_input_files({"name": name, "mimeType": "", "buffer": text})
    page.locator("#trouble").wait_for()
    return page.locator("#trouble").inner_text()


CANDIDATE = "step 1, candidate 1: "
WRONG = [
    (lambda trace: "{", "bad.json, line 1: not JSON"),
    (lambda trace: "[" * 100_000, "bad.json, line 1: not JSON"),
    (lambda trace: "\n", "bad.json holds no trace"),
    (lambda trace: "[]", "bad.json, line 1 is not an object"),
    (lambda trace: {"model": "specs", "messages": []}, "bad.json, line 1: no 'question'; give what"),
    (lambda trace: trace | {"question": 1}, "bad.json, line 1: 'question' is not text"),
    (lambda trace: trace | {"steps": None}, "bad.json, line 1: 'steps' is not a list"),
    (lambda trace: trace | {"steps": [None]}, "bad.json, line 1, step 1 is not an object"),
    (lambda trace: trace | {"latency_s": "constructor"}, "bad.json, line 1: 'latency_s' is not a number or null"),
    (lambda trace: trace | {"models": {"draft": 1}}, "bad.json, line 1: 'models' is not an object of texts"),
    (lambda trace: trace | {"notes": "<b>"}, "bad.json, line 1: 'notes' is not a list of texts"),
    (lambda trace: trace | {"settings": {"version": 99}}, "version 99, which is newer than this page; update specs"),
    (lambda trace: trace | {"settings": {"version": "<b>"}}, "line 1, settings: 'version' is not a whole number"),
    (lambda trace: changed_step(trace, step_idx="0"), "step 1: 'step_idx' is not a whole number"),
    (lambda trace: changed_step(trace, chosen=8), "step 1: 'chosen' is not one of its 8 candidates or null"),
    (lambda trace: changed_step(trace, candidates=[{}], chosen=None, kept=None), CANDIDATE + "no 'text'"),
    (lambda trace: changed_step(trace, candidates=None), "step 1: 'candidates' is not a list"),
    (lambda trace: changed_step(trace, seconds={"wall": "1 s"}), "step 1: 'seconds' is not an object of numbers"),
]


def changed_step(trace, **fields):
    return trace | {"steps": [trace["steps"][0] | fields]}


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_file_that_is_no_trace_is_refused_by_name(change, message, written, traces, tab):
    page = tab(written)
    changed = change(json.loads((traces / "specs.json").read_text()))
    said = opened(page, (changed if isinstance(changed, str) else json.dumps(changed)).encode())
    assert message in said
    assert said.count("\n") == 0
    assert page.get_by_role("article").count() == 2


def test_a_damaged_or_too_large_archive_is_refused_by_name(written, traces, tab):
    page = tab(written)
    whole = gzip.compress((traces / "specs.json").read_bytes())
    for content in (b"garbage", whole[:-9], whole[:40] + bytes(reversed(whole[40:]))):
        assert (
            opened(page, content, "bad.json.gz") == "bad.json.gz cannot be read; give JSON lines, gzipped if named .gz"
        )
    assert "not JSON" in opened(page, whole, "zipped.json")
    assert opened(page, gzip.compress(b"1" * (2**27 + 1)), "big.gz") == "big.gz is larger than 128 MB; split it"
    assert "has 2,001 lines" in opened(page, b"{}\n" * 2_001)


def test_any_value_in_any_field_is_shown_or_refused_in_one_sentence(written, traces, tab):
    """Nothing may end in an error of the script: `tab` collects them."""
    page = tab(written)
    values = (None, "<img src=x>", {}, [None])
    whole = short(json.loads((traces / "specs.json").read_text()))
    texts = [json.dumps(changed) for _, _, changed in odd_versions(whole, values)]
    said = page.evaluate(
        """async (texts) => {
            const [trouble, list] = ["trouble", "first"].map((id) => document.getElementById(id));
            const said = [];
            for (const text of texts) {
              const files = new DataTransfer();
              files.items.add(new File([text], "t.json"));
              const before = list.options.length;
              const event = { dataTransfer: files, bubbles: true, cancelable: true };
              document.body.dispatchEvent(new DragEvent("drop", event));
              for (let k = 0; trouble.hidden && list.options.length === before; k++) {
                if (k > 1000) return [text];
                await new Promise((done) => setTimeout(done));
              }
              said.push(trouble.textContent);
            }
            return said;
        }""",
        texts,
    )
    assert len(said) == len(texts)
    refused = [one for one in said if one]
    assert 100 < len(refused) < len(said)
    assert [one for one in refused if not one.startswith("t.json, line 1") or "\n" in one or len(one) > 160] == []
    assert page.locator("#shown img").count() == 0


GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", ["v1/bundled.jsonl.gz", "v1/tabular.jsonl.gz"])
def test_traces_of_earlier_versions_are_shown(name, written, tab):
    page = tab(written)
    with gzip.open(GOLDEN / name, "rt") as file:
        traces = [json.loads(line) for line in file]
    page.locator("#file").set_input_files(GOLDEN / name)
    page.locator("#first option").nth(len(traces) + 1).wait_for(state="attached")
    page.locator("#first").select_option("2")
    page.locator("#second").select_option("")
    assert page.locator("#asked").inner_text().split() == traces[0]["question"].split()
    assert page.get_by_role("article").locator(".step").count() == len(traces[0]["steps"])


def test_thousands_of_steps_stay_usable(written, traces, tmp_path, tab):
    """3,000 steps of 8 candidates: bounds for elements, memory and the time until the page answers."""
    trace = json.loads((traces / "specs.json").read_text())
    full = [step for step in trace["steps"] if len(step["candidates"]) == 8]
    trace["steps"] = [full[idx % len(full)] | {"step_idx": idx} for idx in range(3_000)]
    trace["text"] = trace["text"] * 300
    (tmp_path / "long.json").write_text(json.dumps(trace))
    page = tab(written)
    page.evaluate(
        """() => {
            globalThis.ready = new Promise((done) => document.getElementById("file").addEventListener("change", () => {
              const began = performance.now();
              const wait = () => document.querySelectorAll("article").length === 1
                ? requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)))
                : setTimeout(wait, 5);
              wait();
            }, true));
        }"""
    )
    size = "document.querySelectorAll('*').length"
    page.locator("#file").set_input_files(tmp_path / "long.json")
    assert page.evaluate("ready") < 5_000
    sizes = [page.evaluate(size)]
    page.keyboard.press("End")
    expect(page.locator("[aria-posinset='3000']")).to_be_in_viewport()
    assert page.locator("[aria-posinset='3000'] .head b").inner_text() == "3000"
    sizes.append(page.evaluate(size))
    open_all(page)
    page.get_by_label("Go to step").fill("1500")
    page.keyboard.press("Enter")
    middle = page.locator("[aria-posinset='1500']")
    expect(middle).to_be_in_viewport()
    middle.get_by_role("button").click()
    assert middle.get_by_role("button").get_attribute("aria-expanded") == "false"
    sizes.append(page.evaluate(size))
    assert max(sizes) < 9_000
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    assert session.send("Runtime.getHeapUsage")["usedSize"] < 60e6


def test_text_that_a_model_wrote_is_not_interpreted(address, traces, tab):
    trace = json.loads((traces / "hostile.json").read_text())
    (traces / "hostile.html").write_text(html([trace]))
    live = tab(address)
    live.locator("#file").set_input_files(traces / "hostile.json")
    for page in (tab((traces / "hostile.html").as_uri()), live):
        page.get_by_role("article").wait_for()
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
