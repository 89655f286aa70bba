"""The web page, in a browser: layout, contrast, keyboard and motion."""

from __future__ import annotations

import re

import pytest

from helpers.browsing import SWITCHED, ended, open_all, solve

pytestmark = pytest.mark.browser


BLOCKS = (
    "header, #ask, #question, #method, #asked, article, .totals h3, .steps, .list, .step, .tokens, .reading, footer"
)


@pytest.mark.parametrize("width", [1360, 1024, 768, 380, 320])
def test_all_blocks_end_at_one_right_edge_and_nothing_sticks_out(width, address, written, traces, tab):
    window = {"viewport": {"width": width, "height": 700}}
    live = tab(address, **window)
    solve(live, "x" * 400, n=3)
    hostile = tab((traces / "both.html").as_uri(), **window)
    hostile.locator("#file").set_input_files(traces / "hostile.json")
    hostile.locator("#first option").nth(2).wait_for(state="attached")
    # So many steps that the title also asks which one to go to.
    long = tab((traces / "long.html").as_uri(), **window)
    long.get_by_label("Go to step").wait_for()
    for page in (live, hostile, long, tab(written, **window)):
        open_all(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        edge, ends = page.evaluate(
            """(blocks) => {
                const visible = [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility());
                const right = (one) => one.getBoundingClientRect().right;
                const out = visible.filter((one) => !one.closest(".hidden, option, .share b"));
                const panels = document.querySelectorAll("article");
                const last = panels[panels.length - 1];
                const own = (one) => !one.closest("article") || one.closest("article") === last;
                return [
                  right(document.querySelector("header")),
                  { out: out.map((one) => [one.outerHTML.slice(0, 80), right(one)]),
                    blocks: visible.filter((one) => one.matches(blocks) && own(one))
                      .map((one) => [one.tagName, right(one)]) },
                ];
            }""",
            BLOCKS,
        )
        assert edge <= width
        shares = page.locator(".chosen .share").evaluate_all(
            "all => all.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent)"
        )
        assert shares == []
        assert [one for one in ends["out"] if one[1] > edge + 0.5] == []
        assert len(ends["blocks"]) > 8
        assert [one for one in ends["blocks"] if abs(one[1] - edge) > 0.5] == []


def test_help_is_open_beside_the_form_of_a_desktop_and_closed_on_a_phone(address, written, tab):
    reading = "document.querySelector('.reading').open"
    assert tab(address).evaluate(reading)
    phone = {"viewport": {"width": 380, "height": 700}}
    page = tab(address, **phone)
    assert not page.evaluate(reading)
    assert not tab(written, **phone).evaluate(reading)
    page.get_by_text("How to read this").click()
    assert page.get_by_text("The reward model's estimate").is_visible()


@pytest.mark.parametrize("width", [1360, 380])
def test_the_layout_does_not_jump_while_steps_arrive(width, address, tab):
    """Chrome's score of layout shifts, from the first frame of a solve to its end; 0.1 counts as good."""
    page = tab(address, viewport={"width": width, "height": 800})
    page.locator("#method option").first.wait_for(state="attached")
    page.get_by_label("Question").fill(SWITCHED)
    page.evaluate(
        """async () => {
            const frame = () => new Promise(requestAnimationFrame);
            document.getElementById("ask").requestSubmit();
            await frame();
            await frame();
            globalThis.shifts = [];
            new PerformanceObserver((list) => shifts.push(...list.getEntries().map((one) => one.value)))
              .observe({ type: "layout-shift" });
        }"""
    )
    ended(page)
    page.locator(".tokens").wait_for()
    assert page.evaluate("shifts.reduce((sum, one) => sum + one, 0)") < 0.02


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
    to("Step 1, target: 8 candidates")
    page.keyboard.press("Enter")
    assert focused() == "Step 1, target: 8 candidates"
    assert page.locator(".step.open").count() == 1
    assert "log p" in page.locator(".step.open .details").first.inner_text()
    page.keyboard.press("Space")
    assert page.locator(".step.open").count() == 0
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
        open_all(page)
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
