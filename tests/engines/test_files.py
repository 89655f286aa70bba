"""Errors about damaged model files say how to repair them, and one model's error does not hide another's."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from helpers import tiny
from specs.cli import main
from specs.deploy.doctor import Severity, diagnose
from specs.engines.files import architectures_of, read_object
from specs.engines.loading import Names, load_models
from specs.engines.text import HubText
from specs.errors import ModelError
from specs.types import Role, SamplingParams

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n"
JSON_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "config.json",
)
DAMAGE = {
    b"{": "is damaged",
    b"": "is damaged",
    b'{"a": 1': "is damaged",
    b"[" * 100_000: "is damaged",
    b"[]": "holds a list, not an object",
    b"null": "holds null, not an object",
    b'"a"': "holds a text, not an object",
    b"3": "holds a number, not an object",
    b"\xff\xfe{}": "is not UTF-8 text; save it as UTF-8",
    POINTER.encode(): "is a Git LFS pointer, not the file itself; run 'git lfs pull'",
}


@pytest.fixture
def folder(tmp_path):
    """A model folder without weights."""
    tiny.write_tokenizer(tmp_path / "model")
    (tmp_path / "model/config.json").write_text('{"eos_token_id": 2}')
    return tmp_path / "model"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "model"
    tiny.write_llama(folder, tiny.write_tokenizer(folder), seed=1)
    return folder


def lines_of(error) -> str:
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
@pytest.mark.parametrize("name", JSON_FILES)
def test_a_damaged_file_is_reported(folder, name, damage):
    (folder / name).write_bytes(damage)
    with pytest.raises(ModelError) as caught:
        HubText(folder)
    assert lines_of(caught.value).startswith(f"{folder / name} {DAMAGE[damage]}")


@pytest.mark.parametrize("content", ["{}", '{"model": 3}', '{"model": {"type": "BPE", "vocab": [], "merges": 3}}'])
def test_an_invalid_tokenizer_is_reported(folder, content):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=r"\.json is not a tokenizer \(.+\); save or fetch it again") as caught:
        HubText(folder)
    lines_of(caught.value)


def test_a_byte_order_mark_is_ignored(folder):
    expected = HubText(folder).prompt("a b")
    for name in ("tokenizer_config.json", "config.json"):
        (folder / name).write_text("\ufeff" + (folder / name).read_text())
    assert HubText(folder).prompt("a b") == expected
    assert read_object(folder / "none.json") == {}


@pytest.mark.parametrize("value", ["2", [None], 2.0, [[1, 2]], -1, [2, -1], True, {"a": 1}, ["</s>"] * 50])
@pytest.mark.parametrize("name", ["generation_config.json", "config.json"])
def test_an_end_of_text_outside_the_vocabulary_is_refused(folder, name, value):
    for config in ({"eos_token_id": value}, {"text_config": {"eos_token_id": value}}):
        (folder / name).write_text(json.dumps(config))
        with pytest.raises(
            ModelError, match="not a token id or a list of them; give it the id of the end-of-text"
        ) as one:
            HubText(folder)
        assert lines_of(one.value).startswith(f"{folder / name}: eos_token_id is ")
        assert len(str(one.value)) < len(str(folder)) + 200


def test_the_end_tokens_of_all_config_files_count(folder):
    (folder / "config.json").write_text('{"eos_token_id": null, "text_config": {"eos_token_id": [3, 4]}}')
    (folder / "generation_config.json").write_text('{"eos_token_id": 5}')
    named = HubText(folder).end_ids
    assert named >= {3, 4, 5}
    (folder / "config.json").write_text('{"text_config": null}')
    assert HubText(folder).end_ids == named - {3, 4}


@pytest.mark.parametrize("value", ["LlamaForCausalLM", [1], {"a": 1}, 3])
def test_architectures_must_be_a_list_of_names(folder, value):
    (folder / "config.json").write_text(json.dumps({"architectures": value}))
    with pytest.raises(
        ModelError, match=r"config\.json: architectures is .*, not a list of names; save the model again"
    ):
        architectures_of(folder)


def test_a_template_that_is_not_text_is_refused(folder):
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe{{ messages }}")
    with pytest.raises(ModelError, match=r"chat_template\.jinja is not UTF-8 text; save it as UTF-8"):
        HubText(folder)


@pytest.mark.parametrize(
    "listed",
    [
        [{"name": None, "template": "x"}, {"name": "b", "template": "x"}],
        [{"name": 1, "template": "x"}],
        [{"name": ["x"], "template": "x"}],
        [{"template": "x"}],
        [],
        [1],
    ],
)
def test_lists_of_templates_without_a_default_are_refused(folder, listed):
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": listed}))
    with pytest.raises(ModelError, match=r"save the one to use as chat_template\.jinja"):
        HubText(folder)


def test_doctor_reports_the_errors_of_each_model(whole, tmp_path, capsys):
    damaged = {
        "draft": ("tokenizer.json", "{"),
        "target": ("config.json", '{"eos_token_id": "2"}'),
        "prm": ("tokenizer_config.json", "[]"),
    }
    command = ["doctor", "--engine", "light"]
    for role, (name, content) in damaged.items():
        shutil.copytree(whole, tmp_path / role)
        (tmp_path / role / name).write_text(content)
        command += [f"--{role}", str(tmp_path / role)]
    assert main(command) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["PROBLEM", role] for role in damaged]
    for line, (role, (name, _)) in zip(lines, damaged.items(), strict=True):
        assert str(tmp_path / role / name) in line
    assert main([*command, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [(one["role"], one["state"]) for one in found] == [(role, "problem") for role in damaged]


def test_doctor_continues_after_an_unforeseen_error(whole, monkeypatch):
    """An unforeseen exception at the first model does not hide the report on the second."""
    from specs import api

    load = api.load

    def fails(draft, *others, **loading):
        if draft is not None:
            raise RuntimeError("no such thing\nat all")
        return load(draft, *others, **loading)

    monkeypatch.setattr(api, "load", fails)
    found = list(diagnose({Role.DRAFT: str(whole), Role.TARGET: str(whole)}, SamplingParams(), engine="light"))
    assert (found[0].role, found[0].state, found[0].text) == (
        Role.DRAFT,
        Severity.PROBLEM,
        "RuntimeError: no such thing at all",
    )
    assert [(one.role, one.state) for one in found[1:]] == [(Role.TARGET, Severity.OK)]


def test_errors_name_the_role_and_the_model(whole, tmp_path):
    """While models load, and when a chat template renders a conversation."""
    for name, template in {"torn": "{% if %}", "deaf": "x"}.items():
        shutil.copytree(whole, tmp_path / name)
        (tmp_path / name / "chat_template.jinja").write_text(template)
    torn, deaf = str(tmp_path / "torn"), str(tmp_path / "deaf")
    with pytest.raises(ModelError, match=rf"^target {re.escape(torn)}: the chat template cannot be read: .*; give one"):
        load_models(Names(str(whole), torn, None), engine="light")
    models = load_models(Names(str(whole), deaf, None), engine="light")
    assert models.draft is not None
    assert models.target is not None
    assert models.draft.prompt("a")
    with pytest.raises(ModelError, match=rf"^target {re.escape(deaf)}: the chat template drops turns of the user; use"):
        models.target.prompt("a")
