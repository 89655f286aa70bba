"""A trace that `specs.traces.schema` wrote is read back completely; errors in a file name their place."""

import gzip
import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import toy
from helpers.fitting import fitting
from helpers.odd_values import odd_versions, short
from specs import api
from specs.errors import InputError
from specs.methods.registry import NAMES
from specs.traces.codec import read_traces, result_from
from specs.traces.schema import json_text, result_json, write_json, write_text
from specs.types import DRAWS, Chat, Turn

OPTIONS = dict(n=4, max_steps=4, max_step_tokens=4, temperature=0.9)


def only_a(ids):
    """The target of a trace with log-probabilities of -inf: it cannot write what the draft writes."""
    return [0.0, -math.inf, -math.inf, -math.inf, -math.inf]


def solve(name="specs", seed=0, models=None):
    return api.solve("q", models or toy.models_for(name), name, seed=seed, **fitting(name, **OPTIONS))


def written(result):
    return json.loads(json.dumps(result_json(result, candidates=True)))


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_read_back_equals_the_result(name):
    for seed in range(5):
        result = solve(name, seed)
        assert result_from(written(result), "file") == result


def test_the_rule_of_draws_is_read_back_and_defaults_to_the_first():
    result = solve()
    value = written(result)
    assert value["draws"] == result.draws == DRAWS
    del value["draws"]
    assert result_from(value, "file").draws == 1


def test_numbers_that_json_lacks_are_read_back():
    result = api.solve("q", toy.models(target=only_a), start="draft", **OPTIONS)
    assert any(c.log_p == -math.inf for step in result.steps for c in step.candidates)
    assert result_from(written(result), "file") == result
    models = toy.unsupported(toy.models(target=only_a, rate=lambda steps: 0.0))
    unsupported = api.solve("q", models, "beam", **OPTIONS)
    assert written(result_from(written(unsupported), "file")) == written(unsupported)


def test_a_file_has_one_solve_a_line_and_may_be_gzipped(tmp_path):
    results = [solve(seed=seed) for seed in range(3)]
    lines = "\n\n".join(json.dumps({**written(result), "correct": True}) for result in results)
    plain, zipped, single = tmp_path / "t.jsonl", tmp_path / "t.jsonl.gz", tmp_path / "t.json"
    plain.write_text(lines)
    zipped.write_bytes(gzip.compress(lines.encode()))
    write_json(single, result_json(results[0], candidates=True))
    assert [result for _, result in read_traces(plain)] == results
    assert [result for _, result in read_traces(zipped)] == results
    assert list(read_traces(single)) == [(f"{single}, line 1", results[0])]
    assert [place for place, _ in read_traces(plain)][-1] == f"{plain}, line 5"


def without(value, *path):
    del inner(value, path[:-1])[path[-1]]


def set_to(value, new, *path):
    inner(value, path[:-1])[path[-1]] = new


def inner(value, path):
    for name in path:
        value = value[name]
    return value


WRONG = {
    "t, line 1: no 'seed'; give a whole trace": lambda v: without(v, "seed"),
    "t, line 1: 'seed' is not a whole number": lambda v: set_to(v, True, "seed"),
    "t, line 1: 'finish_reason' is 'bored', none of answer": lambda v: set_to(v, "bored", "finish_reason"),
    "t, line 1: 'text' is not text": lambda v: set_to(v, None, "text"),
    "t, line 1: 'settings' is not an object": lambda v: set_to(v, [], "settings"),
    "t, line 1, usage: 'judge' is none of draft": lambda v: set_to(v, {}, "usage", "judge"),
    "t, line 1, usage, draft: no 'cached'": lambda v: without(v, "usage", "draft", "cached"),
    "t, line 1, step 1 is not an object": lambda v: set_to(v, 3, "steps", 0),
    "t, line 1, step 1: no 'candidates'; give a whole trace": lambda v: without(v, "steps", 0, "candidates"),
    "t, line 1, step 1: 'writer' is 'me', none of draft": lambda v: set_to(v, "me", "steps", 0, "writer"),
    "t, line 1, step 1: 'chosen' is 4 of 4 candidates": lambda v: set_to(v, 4, "steps", 0, "chosen"),
    "t, line 1, step 1: 'kept' is [0, 4] of 4 candidates": lambda v: set_to(v, [0, 4], "steps", 0, "kept"),
    "t, line 1, step 1: no 'step_idx'": lambda v: without(v, "steps", 0, "step_idx"),
    "t, line 1, step 1: 'chosen' is None of 0 candidates": lambda v: v["steps"][0].update(chosen=None, candidates=[]),
    "t, line 1, step 1, candidate 2: 'reward' is not a number": lambda v: set_to(
        v, "high", "steps", 0, "candidates", 1, "reward"
    ),
    "t, line 1, step 1, candidate 1: 'token_ids' are not all whole numbers": lambda v: set_to(
        v, [1.5], "steps", 0, "candidates", 0, "token_ids"
    ),
    "t, line 1, step 1: 'writer' is 'prm', none of draft, target": lambda v: set_to(v, "prm", "steps", 0, "writer"),
    "t, line 1, step 1, candidate 2: 'duplicates_of' is 4 of 4 candidates": lambda v: set_to(
        v, 4, "steps", 0, "candidates", 1, "duplicates_of"
    ),
    "t, line 1, step 1, candidate 1: 'log_p' is too large for a number": lambda v: set_to(
        v, 10**400, "steps", 0, "candidates", 0, "log_p"
    ),
    "t, line 1, prompt_token_ids: 'draft' is not a list": lambda v: set_to(v, 1, "prompt_token_ids", "draft"),
    "t, line 1: its settings have version 99, which is newer": lambda v: set_to(v, 99, "settings", "version"),
    "t, line 1: the settings' version is 'new'; give a whole number": lambda v: set_to(v, "new", "settings", "version"),
    "t, line 1: its settings 'method' are nested too deeply": lambda v: set_to(v, nested(9), "settings", "method", "x"),
    "t, line 1, chat, turn 1: no 'content'": lambda v: set_to(
        v, {"before": [{"role": "user"}], "template": True}, "chat"
    ),
}


def nested(levels):
    return [nested(levels - 1)] if levels else 0


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_field_is_named(message):
    value = written(solve())
    WRONG[message](value)
    with pytest.raises(InputError) as caught:
        result_from(value, "t, line 1")
    assert str(caught.value).startswith(message)


def test_files_without_traces_are_refused(tmp_path):
    file = tmp_path / "t.jsonl"
    for content, message in (
        (b"", "holds no traces; give what 'specs solve --trace' writes"),
        (b"{", "line 1: not JSON"),
        (b"[1]", "line 1 is not an object"),
        (b"\xff\xfe", "cannot be read"),
    ):
        file.write_bytes(content)
        with pytest.raises(InputError, match=message):
            list(read_traces(file))
    with pytest.raises(InputError, match="is not a file"):
        list(read_traces(tmp_path / "nowhere"))
    broken = bytearray(gzip.compress(b"{}" * 99))
    broken[10] ^= 0xFF
    for content in (b"{}", gzip.compress(b"{}" * 99)[:-9], bytes(broken)):
        (tmp_path / "t.gz").write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            list(read_traces(tmp_path / "t.gz"))


def test_written_files_are_json_that_every_parser_accepts(tmp_path):
    """JSON has no NaN or Infinity, and UTF-8 has no lone surrogates."""
    value = {"a": [math.nan, math.inf, {"b": -math.inf}], "c": (1, 2.5), "d": "half \ud83d of one", "e": "ü\u2028"}
    write_json(tmp_path / "file", value)

    def refuse(word):
        raise AssertionError(word)

    read = json.loads((tmp_path / "file").read_bytes().decode(), parse_constant=refuse)
    assert read == {"a": ["nan", "inf", {"b": "-inf"}], "c": [1, 2.5], "d": "half \ud83d of one", "e": "ü\u2028"}


def test_infinite_settings_are_read_back():
    result = api.solve("q", toy.models(), "specs", beta=20.0, seed=0, **OPTIONS)
    settings = result.settings | {"method": result.settings["method"] | {"beta": math.inf, "tau": -math.inf}}
    again = result_from(written(replace(result, settings=settings)), "file")
    assert again.settings == settings


def test_a_file_is_written_in_place(tmp_path):
    """Through a link, with its former mode, into a pipe or a device; completely or not at all."""
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    file.write_text("before")
    file.chmod(0o640)
    link.symlink_to(file)
    write_text(link, "behind the link")
    assert link.is_symlink()
    assert file.read_text() == "behind the link"
    assert file.stat().st_mode & 0o777 == 0o640
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        reader = pool.submit(pipe.read_text)
        write_text(pipe, "through a pipe")
        assert reader.result(timeout=20) == "through a pipe"
    write_text(Path("/dev/null"), "nowhere")
    assert Path("/dev/null").is_char_device()
    if Path("/dev/full").exists():
        with pytest.raises(InputError, match="No space left"):
            write_text(Path("/dev/full"), "too much")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "pipe"]


def test_a_question_with_a_lone_surrogate_is_solved_and_written(tmp_path):
    half, marked = "q" + chr(0xD83D), "q\ufffd"
    chats = [Chat((Turn("user", text), Turn("assistant", "b"))) for text in (half, marked)]
    one, other = (
        api.solve(question, toy.models(), "target", seed=1, chat=chat, **fitting("target", **OPTIONS))
        for question, chat in zip((half, marked), chats, strict=True)
    )
    assert (one.question, one.chat, one.text) == (marked, chats[1], other.text)
    write_json(tmp_path / "trace.json", result_json(one, candidates=True))
    assert json.loads((tmp_path / "trace.json").read_text())["question"] == marked


def test_any_value_in_any_field_is_read_and_written_again_or_refused_in_one_line():
    refused = []
    for _, _, changed in odd_versions(short(written(solve()))):
        try:
            json_text(written(result_from(changed, "t, line 1")))
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 300
    assert [message for message in refused if not message.startswith("t, line 1") or not message.isprintable()] == []


def test_a_trace_is_gzipped_if_its_name_says_so(tmp_path):
    """The same bytes every time, much smaller, and read like any other."""
    result = solve("specs")
    plain, packed, again = (tmp_path / name for name in ("t.json", "t.json.gz", "u.json.gz"))
    for path in (plain, packed, again):
        result.save(path)
    assert packed.read_bytes() == again.read_bytes()
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    ((_, found),) = read_traces(packed)
    assert found.to_json() == result.to_json()
    assert packed.stat().st_size < 0.5 * plain.stat().st_size
