"""`specs view`, run as a command: the page holds the traces, and no text of a trace can become markup or script."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from specs.cli import main
from specs.server.page import POLICY, html

HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)> \u2028 \ud800 &lt; {{ script }}"


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "specs.json"
    assert main(["solve", "--example", "--seed", "1", "--json", "--trace", str(path)]) == 0
    return path


def embedded(page):
    """The traces that a page embeds, parsed."""
    found = re.findall(r'<script type="application/json" id="traces">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


def test_the_page_holds_the_whole_trace_and_is_named_after_it(trace, capsys):
    assert main(["view", str(trace)]) == 0
    assert capsys.readouterr().out == f"page     {trace.with_suffix('.html')}\n"
    assert embedded(trace.with_suffix(".html").read_text()) == [json.loads(trace.read_text())]


def test_several_files_of_several_solves_are_one_page(trace, tmp_path):
    whole = json.loads(trace.read_text())
    lines = "".join(json.dumps({**whole, "seed": seed}) + "\n" for seed in (2, 3))
    with gzip.open(tmp_path / "more.jsonl.gz", "wt") as file:
        file.write(lines)
    assert main(["view", str(trace), str(tmp_path / "more.jsonl.gz"), "--out", str(tmp_path / "all.html")]) == 0
    assert [one["seed"] for one in embedded((tmp_path / "all.html").read_text())] == [1, 2, 3]
    assert main(["view", str(tmp_path / "more.jsonl.gz")]) == 0
    assert (tmp_path / "more.html").exists()


def test_numbers_that_json_cannot_hold_stay_readable(trace, tmp_path):
    whole = json.loads(trace.read_text())
    whole["steps"][0]["candidates"][0] |= {"log_p": "-inf", "score": "-inf"}
    whole["steps"][0]["ess"] = float("nan")
    (tmp_path / "t.json").write_text(json.dumps(whole))
    assert main(["view", str(tmp_path / "t.json")]) == 0
    step = embedded((tmp_path / "t.html").read_text())[0]["steps"][0]
    assert (step["candidates"][0]["log_p"], step["ess"]) == ("-inf", "nan")


def test_text_that_a_model_wrote_is_escaped(trace):
    whole = {**json.loads(trace.read_text()), "question": HOSTILE, "answer": HOSTILE}
    page, plain = html([whole]), html([])
    assert embedded(page) == [whole]
    for mark in ("<", ">", "\u2028"):
        assert page.count(mark) == plain.count(mark)


def test_the_page_loads_nothing_from_elsewhere(trace):
    for page in (html(), html([json.loads(trace.read_text())])):
        assert set(re.findall(r"\w+://[\w./]+", page)) == {"http://www.w3.org/2000/svg"}
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#x27;", "'")
        sources = [part.split() for part in policy.split(";")]
        assert ["default-src", "'none'"] in sources
        assert "unsafe" not in policy
    assert "connect-src 'self'" in POLICY
    assert ["connect-src", "'none'"] in sources


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "nowhere.json is not a file"),
        (["{trace}", "{trace}"], "several files need a name for their common page; give --out FILE"),
        (["{trace}", "--out", "{trace}"], "is the trace itself; give --out another file"),
        (["{trace}", "--out", "{folder}"], "is a folder; name a file"),
        (["{trace}", "--out", "{folder}/none/p.html"], "is not a folder; make it first"),
        (["{bad}"], "bad.json, line 2: not JSON"),
    ],
)
def test_bad_input_is_one_line_that_names_it(arguments, message, trace, tmp_path, capsys):
    (tmp_path / "bad.json").write_text(trace.read_text() + "{")
    names = {"trace": trace, "folder": tmp_path, "bad": tmp_path / "bad.json"}
    assert main(["view", *(word.format(**names) for word in arguments)]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.glob("*.html")) == []


def test_it_needs_no_package_of_the_extra_serve(trace, tmp_path):
    code = (
        "import sys; sys.modules.update(fastapi=None, starlette=None, uvicorn=None, prometheus_client=None); "
        f"from specs.cli import main; sys.exit(main(['view', {str(trace)!r}, '--out', {str(tmp_path / 'p.html')!r}]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parents[2])
