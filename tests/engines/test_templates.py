"""Conversations are rendered as by transformers, to the same text and tokens, for both in-process engines."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from helpers import templates
from helpers.templates import CONVERSATIONS, FAMILIES
from specs import api
from specs.engines.text import HubText
from specs.errors import ModelError
from specs.types import Chat, Turn

transformers = pytest.importorskip("transformers")
pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("templates")
    return {name: templates.write(family, root / name, model=True) for name, family in FAMILIES.items()}


@pytest.fixture(scope="module", params=["light", "torch"])
def policies(request, folders):
    return {
        name: api.load(None, str(folder), None, engine=request.param, device="cpu", dtype="fp32").target
        for name, folder in folders.items()
    }


def hub(folder) -> Any:
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder)


def theirs(tokenizer, turns, typed) -> list[int]:
    """The token ids by transformers; the content of roles in `typed` is given as a list of typed parts."""
    messages = [
        {"role": role, "content": [{"type": "text", "text": text}] if role in typed else text} for role, text in turns
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    return tokenizer.encode(text, add_special_tokens=False)


def chat_of(turns) -> tuple[str, Chat]:
    *before, (_, question) = turns
    return question, Chat(tuple(Turn(role, text) for role, text in before))


TYPED = {"typed": ("system", "user", "assistant"), "half typed": ("user", "assistant")}


@pytest.mark.parametrize("kind", CONVERSATIONS)
@pytest.mark.parametrize("name", FAMILIES)
def test_prompts_are_those_of_transformers(policies, folders, name, kind):
    turns, tokenizer = CONVERSATIONS[kind], hub(folders[name])
    question, chat = chat_of(turns)
    if kind in FAMILIES[name].refuses:
        with pytest.raises(Exception, match=r"not supported|must alternate"):
            theirs(tokenizer, turns, TYPED.get(name, ()))
        with pytest.raises(ModelError, match=r"refuses this conversation: .*(not supported|must alternate)"):
            policies[name].prompt(question, chat)
    else:
        ids = list(policies[name].prompt(question, chat))
        assert ids == theirs(tokenizer, turns, TYPED.get(name, ()))
        assert question.strip() in tokenizer.decode(ids)


@pytest.mark.parametrize("name", FAMILIES)
def test_both_engines_solve_a_question_in_it(policies, name):
    models = api.Models(target=policies[name])
    result = api.solve("How many?", models, "target", max_steps=1, max_step_tokens=4, seed=1)
    assert result.error is None
    assert 1 <= len(result.steps[0].candidates[0].token_ids) <= 4


@pytest.mark.parametrize("name", FAMILIES)
def test_the_token_that_ends_a_turn_also_ends_a_text(folders, name):
    """No config file of these models names an end token."""
    text, turn_end = HubText(folders[name]), FAMILIES[name].turn_end
    eos = hub(folders[name]).eos_token
    assert {text.spelling(token) for token in text.end_ids} == {eos, turn_end or eos}
    assert text.spelling(text.end_id) == (turn_end or eos)


EACH_TURN = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        (EACH_TURN + "{% if not loop.last %}<|end|>{% endif %}{% endfor %}", True),
        (EACH_TURN + "\n<|end|>{% endfor %}", True),
        (
            "{% if messages[-1].role == 'assistant' %}{{ raise_exception('no') }}{% endif %}"
            + EACH_TURN
            + "<|end|>{% endfor %}",
            True,
        ),
        (
            "{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}"
            + EACH_TURN
            + "<|end|>{% endfor %}",
            True,
        ),
        (EACH_TURN + "{% endfor %}", False),  # the token there opens the next turn
        ("{% for m in messages %}<|end|>{{ m.content }}{% endfor %}", False),
        (EACH_TURN + " Done.<|end|>{% endfor %}", False),
        (EACH_TURN.replace("m.content", "m.content | upper") + "<|end|>{% endfor %}", False),
    ],
)
def test_which_token_ends_a_turn(tmp_path, template, ends):
    folder = templates.write(templates.STRIPPING, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template)
    text = HubText(folder)
    assert text.spelling(text.end_id) == ("<|end|>" if ends else "<|endoftext|>")


FILES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "a text in the config": ({"chat_template": "C{{ messages[0].content }}"}, {}),
    "a list": (
        {
            "chat_template": [
                {"name": "tool_use", "template": "T"},
                {"name": "default", "template": "D{{ messages[0].content }}"},
            ]
        },
        {},
    ),
    "a file beside a text": ({"chat_template": "C"}, {"chat_template.jinja": "F{{ messages[0].content }}"}),
    "files": (
        {},
        {
            "chat_template.jinja": "F{{ messages[0].content }}",
            "additional_chat_templates/tool_use.jinja": "T",
            "additional_chat_templates/rag.jinja": "R",
        },
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_template_is_chosen_as_by_transformers(tmp_path, name):
    config, files = FILES[name]
    folder = templates.write(templates.CHATML, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({**templates.CHATML.named, **config}))
    (folder / "additional_chat_templates").mkdir()
    for file, text in files.items():
        (folder / file).write_text(text)
    assert HubText(folder).prompt("Why?") == theirs(hub(folder), [("user", "Why?")], ())


NAMED = "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ image_token }}|{{ messages[0].content }}"
BOTH = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}


@pytest.mark.parametrize("listed", [{}, {"added_tokens_decoder": {}}], ids=["older", "newer"])
@pytest.mark.parametrize(
    ("config", "special_map"),
    [
        (BOTH, {"bos_token": "<x>", "eos_token": "<y>"}),
        (BOTH, {"bos_token": None}),
        (BOTH, {"pad_token": "<y>", "image_token": "<z>"}),
        ({**BOTH, "bos_token": None}, {"bos_token": "<x>"}),
        ({**BOTH, "bos_token": ""}, {"bos_token": "<x>"}),
        ({**BOTH, "bos_token": ""}, {}),
        (BOTH, {"bos_token": {"content": "<x>", "lstrip": False, "normalized": False}}),
        ({**BOTH, "image_token": "<z>"}, {}),
        ({**BOTH, "extra_special_tokens": {"image_token": "<z>"}}, {"pad_token": "<y>"}),
        ({**BOTH, "model_specific_special_tokens": {"image_token": "<z>"}}, {}),
        (BOTH, {"extra_special_tokens": {"image_token": "<z>"}}),
    ],
)
def test_special_tokens_have_the_same_names_as_in_transformers(tmp_path, config, special_map, listed):
    folder = templates.write(templates.CHATML, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(NAMED)
    (folder / "config.json").write_text('{"eos_token_id": 1}')
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, **listed}))
    (folder / "special_tokens_map.json").write_text(json.dumps(special_map))
    text, tokenizer = HubText(folder), hub(folder)
    messages = [{"role": "user", "content": "Why?"}]
    assert text._laid_out([Turn("user", "Why?")], True).text == tokenizer.apply_chat_template(messages, tokenize=False)
    assert text.bos == (tokenizer.bos_token if tokenizer.bos_token in BOTH.values() else None)  # others are no tokens


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ([{"name": "rag", "template": "R"}], "has the chat templates rag and none called default; save the one to use"),
        (["R"], "chat_template is a list of something other than named templates"),
        (3, "chat_template is not a text; save the template as chat_template.jinja"),
        ("{% if %}", "cannot be read"),
    ],
)
def test_invalid_templates_are_refused(tmp_path, template, message):
    folder = templates.write(templates.CHATML, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": template}))
    with pytest.raises(ModelError, match=message):
        HubText(folder)


def with_template(folder, template, **named) -> HubText:
    templates.write(templates.CHATML, folder)
    (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", **named}))
    return HubText(folder)


@pytest.mark.parametrize(
    ("template", "question", "message"),
    [
        ("Answer the question.", "Why not?", "drops turns of the user"),
        ("{{ messages[0].content | upper }}", "Why not?", "does not write the question as it is"),
        ("{{ messages[0].content[:4] }}", "Why not?", "does not write the question as it is"),
        ("{{ messages[0].content | tojson }}", 'Is "a" \\ b?', "does not write the question as it is"),
        ("{{ messages[0].content | e }}", "Is a < b?", "does not write the question as it is"),
        ("{{ messages[0].content | replace(' ', '') }}", "Why not?", "does not write the question as it is"),
        ("{{ messages[0].content.text.text }}", "Why not?", "refuses this conversation"),
        ("{{ 1 + messages[0].content }}", "Why not?", "refuses this conversation"),
    ],
)
def test_a_template_that_changes_the_question_is_refused(tmp_path, template, question, message):
    with pytest.raises(ModelError, match=message):
        with_template(tmp_path, template).prompt(question)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[-1].content | trim }}",
        "{{ messages[-1].content | wordwrap(12) }}",
        "{{ messages[-1].content | tojson }}",
        "{{ messages[-1].content.split() | join('\n') }}",
        "{% if messages[-1].content.endswith('?') %}{{ messages[-1].content }}{% endif %}",
        "{% if messages[-1].content[0] == 'W' %}{{ messages[-1].content }}{% endif %}",
        "{{ messages[-1].content }}{{ messages[-1].content | length }}",
        "{% if messages[-1].content | length < 37 %}{{ messages[-1].content }}{% endif %}",
        "{{ messages[-1].content }} Again: {{ messages[-1].content }}",
        "{% if 'x' in messages[-1].content %}no{% else %}{{ messages[-1].content }}{% endif %}",
        "{% set c = messages[-1].content %}{% if c[:3] != 'Why' %}{{ raise_exception('no') }}{% endif %}{{ c }}",
    ],
)
def test_templates_may_inspect_a_question(tmp_path, template):
    text, question = with_template(tmp_path, template), "Why is this so long, and not short?"
    assert text.prompt(question) == theirs(hub(tmp_path), [("user", question)], ())


def test_turns_that_a_template_drops_are_refused(tmp_path):
    only_question = with_template(tmp_path / "last", "{{ messages[-1].content }}")
    assert only_question.prompt("Why?")
    with pytest.raises(ModelError, match="drops system turns; use a template that keeps them"):
        only_question.prompt("Why?", "Be brief.")
    with pytest.raises(ModelError, match="drops turns of the user"):
        only_question.prompt("Why?", chat=Chat((Turn("user", "Hi"), Turn("assistant", "Ho"))))
    only_user = with_template(
        tmp_path / "user", "{% for m in messages if m.role != 'assistant' %}{{ m.content }}{% endfor %}"
    )
    with pytest.raises(ModelError, match="drops answers"):
        only_user.prompt("Why?", chat=Chat((Turn("user", "Hi"), Turn("assistant", "Ho"))))


EACH = "{% for m in messages %}"
SHOW = "[{{ m.content }}]{% endfor %}"


@pytest.mark.parametrize(
    ("template", "turns", "message"),
    [
        # The words of the dropped turn occur elsewhere: in another turn, or in the template.
        (
            EACH.replace("messages", "messages if m.role != 'system'") + SHOW,
            "s:Be brief.|u:How many? Be brief.",
            "drops system turns",
        ),
        ("{% for m in messages[-2:] %}" + SHOW, "u:Go on.|a:Step 1.|u:Go on.", "drops turns of the user"),
        ("{% for m in messages[1:] %}user" + SHOW, "s:user|u:Is 9?", "drops system turns"),
        (
            "Say Yes or No." + EACH.replace("messages", "messages if m.role == 'user'") + SHOW,
            "u:Is 7?|a:Yes|u:Is 9?",
            "drops answers",
        ),
        ("[{{ messages[0].content }}]", "u:What is it?|a:What is|u:What is it?", "drops answers"),
        (
            EACH + "{% if not loop.last %}[{{ m.content }}]{% endif %}{% endfor %}",
            "u:Why?|a:So.|u:Why?",
            "drops turns of the user",
        ),
        # Templates whose output depends on a length, a word, or the turn before.
        (
            "You have 4 tools." + EACH + "{% if m.content|length > 1 %}[{{ m.content }}]{% endif %}{% endfor %}",
            "u:4",
            "drops turns of the user",
        ),
        (
            EACH + "{% if m.content != 'Hi' %}[{{ m.content }}]{% endif %}{% endfor %}",
            "u:Hi|a:This.|u:Why?",
            "drops turns of the user",
        ),
        (
            EACH + "{% if loop.first or m.content != loop.previtem.content %}[{{ m.content }}]{% endif %}{% endfor %}",
            "u:Hi|a:Hi|u:Hi",
            "drops answers",
        ),
        (
            EACH + "{% if loop.changed(m.content) %}[{{ m.content }}]{% endif %}{% endfor %}",
            "u:Hi|a:Hi|u:Hi",
            "drops answers",
        ),
        (
            "2024" + EACH + "{% if not m.content.isdigit() %}[{{ m.content }}]{% endif %}{% endfor %}",
            "u:2024",
            "drops turns of the user",
        ),
        # Templates that change earlier turns.
        (
            EACH + "[{{ m.content if loop.last else m.content[:20] }}]{% endfor %}",
            "u:Tell me about numbers, please.|a:ok|u:Why?",
            "changes turns of the user",
        ),
        (
            EACH + "[{{ m.content | truncate(20) }}]{% endfor %}",
            "s:Give the number, never say it in words.|u:Why?",
            "changes system turns",
        ),
        (
            EACH + "[{{ m.content | upper if m.role == 'system' else m.content }}]{% endfor %}",
            "s:Be brief.|u:Why?",
            "changes system turns",
        ),
        (
            EACH + "[{{ m.content if loop.last else m.content | e }}]{% endfor %}",
            "u:Hi|a:1 < 2|u:Why?",
            "changes answers",
        ),
        (
            EACH + "[{{ m.content if loop.last else m.content | striptags }}]{% endfor %}",
            "u:a <b or c> d|a:ok|u:Why?",
            "changes turns of the user",
        ),
        (
            EACH + "[{{ m.content if loop.last else m.content | replace('/no_think', '') }}]{% endfor %}",
            "u:What is /no_think for?|a:ok|u:Why?",
            "changes turns of the user",
        ),
        (
            EACH + "[{{ m.content.split('</think>')[-1] }}]{% endfor %}",
            "u:a</think>b|a:ok|u:Why?",
            "changes turns of the user",
        ),
        (EACH + "[{{ m.content.split(' or ')[-1] }}]{% endfor %}", "u:Hi|a:This or that|u:Why?", "changes answers"),
        (
            EACH + "[{{ m.content | replace('/loud', '') }}]{% endfor %}",
            "s:Be brief /quiet loud.|u:Is it /loud?",
            "does not write the question",
        ),
    ],
)
def test_a_template_that_drops_or_changes_a_turn_is_refused(tmp_path, template, turns, message):
    question, chat = chat_of(conversation(turns))
    with pytest.raises(ModelError, match=message):
        with_template(tmp_path, template).prompt(question, chat=chat)


@pytest.mark.parametrize(
    ("template", "turns"),
    [
        (EACH + "[{{ m.content.split('</think>')[-1].strip() }}]{% endfor %}", "u:Hi|a:<think>hm</think>\n Ho.|u:Why?"),
        (EACH + "[{{ m.content.split('</think>')[-1].strip() }}]{% endfor %}", "u:Hi|a:<think>hm</think>|u:Why?"),
        (EACH + "[{{ m.content.split('[/THINK]')[-1].strip() }}]{% endfor %}", "u:Hi|a:[THINK]hm[/THINK]Ho.|u:Why?"),
        (
            EACH + "[{{ m.content.split('<|END_THINKING|>')[-1] }}]{% endfor %}",
            "a:<|START_THINKING|>hm<|END_THINKING|>Ho.|u:Why?",
        ),
        (
            EACH + "[{{ m.content | replace('<think>', '') | replace('</think>', ' -- ') }}]{% endfor %}",
            "a:<think>hm</think>Ho.|u:Why?",
        ),
        (EACH + "[{{ m.content | replace('/no_think', '') | trim }}]{% endfor %}", "s:Be brief. /no_think|u:Why?"),
        (EACH + "[{{ m.content | replace('/no_think', '') | trim }}]{% endfor %}", "s:/no_think|u:Why?"),
        (EACH + "[{{ m.content.split() | join(' ') }}]{% endfor %}", "s:Be\n\n brief.|u:def f():\n    return 1"),
        (
            "{% set c %}{{ messages[0].content }}{% endset %}{% if 'Wh' in c and c.endswith('?') %}{{ c }}{% endif %}",
            "u:Why?",
        ),
        (
            "{% macro s(c) %}{{ c }}{% endmacro %}{% set c = s(messages[0].content) | trim %}{{ c if c == 'Hi' }}",
            "u:Hi",
        ),
        ("{% set c = '' ~ messages[0].content ~ '!' %}{% if c == 'Hi!' %}{{ c }}{% endif %}", "u:Hi"),
        (
            "{% set c = messages | map(attribute='content') | join('|') %}{% if c == 'a|b' %}{{ c }}{% endif %}",
            "u:a|u:b",
        ),
        ("{{ {'Hi': 'Ho: ' + messages[0].content}[messages[0].content] }}", "u:Hi"),
        ("{% if messages[0].content in ['Hi', 'Ho'] %}{{ messages[0].content }}{% endif %}", "u:Hi"),
        (
            "{% set c = messages[0].content %}{% if c | lower == 'hi' %}{{ c | first }}{{ c[1:] }}{% endif %}",
            "u:Hi",
        ),
        ("{% for c in messages[0].content %}{{ c }}{% endfor %}", "u:a b"),
    ],
)
def test_changes_to_a_turn_that_are_allowed(tmp_path, template, turns):
    turns = conversation(turns)
    question, chat = chat_of(turns)
    assert with_template(tmp_path, template).prompt(question, chat=chat) == theirs(hub(tmp_path), turns, ())


def conversation(turns):
    """Turns from a text such as `u:Hi|a:Hello`, by the first letters of their roles."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [(roles[turn[0]], turn[2:]) for turn in re.split(r"\|(?=[sua]:)", turns)]


def test_blank_turns_are_rendered_as_by_transformers(tmp_path):
    folder = templates.write(templates.TYPED, tmp_path / "model")
    for turns in ([("user", "Hi"), ("assistant", ""), ("user", "3?")], [("system", " "), ("user", "3?")]):
        question, chat = chat_of(turns)
        ids = HubText(folder).prompt(question, chat=chat)
        assert ids == theirs(hub(folder), turns, ("system", "user", "assistant"))
    # A template that drops blank turns, and one that refuses a system turn unless it is blank.
    for template in (
        "{% if m.content %}[{{ m.content }}]{% endif %}",
        "{% if m.content and m.role == 'system' %}{{ raise_exception('no') }}{% endif %}[{{ m.content }}]",
    ):
        turns = [("system", ""), ("user", "3?")]
        text = with_template(tmp_path / str(len(template)), EACH + template + "{% endfor %}")
        question, chat = chat_of(turns)
        assert text.prompt(question, chat=chat) == theirs(hub(tmp_path / str(len(template))), turns, ())


def test_short_questions_are_found_in_the_prompt(tmp_path):
    """The template's own words contain the same letters."""
    folder = templates.write(templates.TYPED, tmp_path / "model")
    for question in ("a", "im", "assistant", "t:"):
        assert HubText(folder).prompt(question) == theirs(hub(folder), [("user", question)], ("user",))


def test_prompts_of_bundled_and_tiny_models_are_those_recorded(tmp_path):
    """tests/golden/v1/record.py recorded them."""
    import shutil
    from pathlib import Path

    from helpers import tiny
    from specs.engines.folders import BUNDLED

    tiny.write_tokenizer(tmp_path / "tiny-template")
    (tmp_path / "tiny-template" / "config.json").write_text('{"eos_token_id": 2}')
    shutil.copytree(tmp_path / "tiny-template", tmp_path / "tiny-plain")
    (tmp_path / "tiny-plain" / "chat_template.jinja").unlink()
    chats = [
        Chat(),
        Chat((Turn("system", "Be brief."),)),
        Chat((Turn("user", "a b"), Turn("assistant", "c d."))),
        Chat(template=False),
    ]
    texts = {role: HubText(BUNDLED / role) for role in ("draft", "target", "prm")}
    texts |= {name: HubText(tmp_path / name) for name in ("tiny-template", "tiny-plain")}
    rows = json.loads((Path(__file__).parents[1] / "golden/v1/prompts.json").read_text())
    assert {row["text"] for row in rows} == set(texts)
    for row in rows:
        assert texts[row["text"]].prompt(row["question"], chat=chats[row["chat"]]) == row["ids"], row["question"]
