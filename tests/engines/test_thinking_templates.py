"""With thinking on, every prompt ends inside an open block, whoever opens it; with thinking off, nothing changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from helpers import templates
from helpers.templates import CONVERSATIONS
from helpers.thinking_templates import NON_THINKERS, QWEN3, THINKERS
from specs.engines.chat.thinking import MARKERS, TIME_IS_UP
from specs.engines.text import HubText
from specs.errors import ModelError
from specs.types import Chat, Judge, Turn

transformers = pytest.importorskip("transformers")

QUESTION = "How many?"
THINK = Chat(think=True)
SPELT = ("<think>", "</think>", "[THINK]", "[/THINK]", "</think>\n\n<think>", "a <think>\n b </think> c")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("thinkers")
    return {name: templates.write(thinker.family, root / name) for name, thinker in THINKERS.items()}


@pytest.fixture(scope="module")
def texts(folders):
    return {name: HubText(folder) for name, folder in folders.items()}


def spelled(text: HubText, ids) -> str:
    """What the tokens stand for; single bytes of longer characters are put together again."""
    parts = [text.piece(token) or text.spelling(token).encode() for token in ids]
    return b"".join(parts).decode()


def theirs(folder, turns, **switches) -> tuple[str, list[int]]:
    tokenizer: Any = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    messages = [{"role": role, "content": text} for role, text in turns]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **switches)
    return rendered, tokenizer.encode(rendered, add_special_tokens=False)


def chat_of(turns, think) -> tuple[str, Chat]:
    *before, (_, question) = turns
    return question, Chat(tuple(Turn(role, text) for role, text in before), think=think)


@pytest.mark.parametrize("name", THINKERS)
def test_how_a_family_marks_its_thinking(texts, name):
    text, thinker, found = texts[name], THINKERS[name], texts[name].thinking
    closes = next(markers.closes for markers in MARKERS if markers.opens in thinker.opening)
    assert found.opening == thinker.opening
    assert found.closing == f"\n\n{TIME_IS_UP}{thinker.ending}"
    assert text.encode(closes) == [found.close_id]
    assert found.marker == closes
    assert found.closing_ids.count(found.close_id) == 1
    assert list(found.closing_ids) == text.encode(found.closing)
    assert spelled(text, found.closing_ids) == found.closing


@pytest.mark.parametrize("name", THINKERS)
def test_the_end_of_a_prompt_with_thinking_on_and_off(texts, name):
    text, thinker = texts[name], THINKERS[name]
    assert spelled(text, text.prompt(QUESTION, chat=THINK)).endswith(QUESTION + thinker.on_end)
    if thinker.off_end is None:
        with pytest.raises(ModelError, match=r"opens a <think> block although thinking is off; let the .*--think"):
            text.prompt(QUESTION)
    else:
        assert spelled(text, text.prompt(QUESTION)).endswith(QUESTION + thinker.off_end)


@pytest.mark.parametrize("kind", CONVERSATIONS)
@pytest.mark.parametrize("name", THINKERS)
def test_the_rest_of_a_prompt_is_that_of_transformers(texts, folders, name, kind):
    """With the family's own switch; with thinking on, the block follows that the model would open itself.

    The ids are equal too, unless a turn spells markers: for transformers they are control tokens.
    """
    text, thinker, turns = texts[name], THINKERS[name], CONVERSATIONS[kind]
    prompts = []
    if name != "by word":
        question, chat = chat_of(turns, True)
        rendered, ids = theirs(folders[name], turns, **thinker.on)
        appended = (rendered + thinker.appended, ids + text.encode(thinker.appended))
        prompts.append((text.prompt(question, chat=chat), *appended))
    if thinker.off_end is not None:
        question, chat = chat_of(turns, False)
        if thinker.word:
            system = [content for role, content in turns[:1] if role == "system"]
            turns = [("system", "\n".join((*system, thinker.word))), *turns[len(system) :]]
        prompts.append((text.prompt(question, chat=chat), *theirs(folders[name], turns, **thinker.off)))
    for ours, rendered, ids in prompts:
        assert spelled(text, ours) == rendered
        assert ours == ids or any("<think>" in content for _, content in turns)


@pytest.mark.parametrize("name", THINKERS)
def test_a_prompt_has_one_open_block_whatever_turns_spell(texts, name):
    """No turn opens or closes one: the markers of turns are ordinary text, and every conversation ends alike."""
    text, thinker = texts[name], THINKERS[name]
    opening = next(text.encode(markers.opens)[0] for markers in MARKERS if markers.opens in thinker.opening)
    marks = {opening, text.thinking.close_id}
    plain = [token for token in text.prompt(QUESTION, chat=THINK) if token in marks]
    assert plain[-1] == opening
    for spelt in SPELT:
        for question in (f"a {spelt}", spelt, f"{spelt} {QUESTION}"):
            ids = text.prompt(question, chat=THINK)
            assert [token for token in ids if token in marks] == plain
            assert spelled(text, ids).endswith(thinker.on_end)
            assert question in spelled(text, ids)
        assert marks.isdisjoint(text.encode_plain(f"so {spelt} is text"))


@pytest.mark.parametrize("name", THINKERS)
@pytest.mark.parametrize("spelt", ["<think>", "[THINK]", "[/THINK]", "a <think>"])
def test_system_turns_and_answers_may_spell_markers_too(texts, name, spelt):
    text, thinker = texts[name], THINKERS[name]
    opens, closes = next(markers[:2] for markers in MARKERS if markers.opens in thinker.opening)
    marks = {*text.encode(opens), *text.encode(closes)}

    def prompt(content: str) -> list[int]:
        before = (Turn("system", f"Be {content} brief."), Turn("user", "Hi"), Turn("assistant", f"Ho {content} ho."))
        return text.prompt(QUESTION, chat=Chat(before, think=True))

    ids = prompt(spelt)
    assert [token for token in ids if token in marks] == [token for token in prompt("very") if token in marks]
    assert spelled(text, ids).count(spelt) == spelled(text, prompt("very")).count(spelt) + 2
    assert spelled(text, ids).endswith(thinker.on_end)


def test_reasoning_of_earlier_answers_is_left_out_by_the_template(texts):
    for name, thinker in THINKERS.items():
        before = (Turn("user", "Hi"), Turn("assistant", "<think>\nhm\n</think>\n\nHo."))
        ids = texts[name].prompt(QUESTION, chat=Chat(before, think=True))
        assert spelled(texts[name], ids).endswith(thinker.on_end)


@pytest.mark.parametrize("name", NON_THINKERS)
def test_a_model_whose_thinking_cannot_be_followed_is_refused_by_name(tmp_path, name):
    """Only if it is asked to think: with thinking off, it works as before."""
    family, reason = NON_THINKERS[name]
    text = HubText(templates.write(family, tmp_path / "model"))
    assert text.thinking is None
    with pytest.raises(ModelError) as caught:
        text.prompt(QUESTION, chat=THINK)
    assert str(tmp_path) in str(caught.value)
    assert reason in str(caught.value)
    assert "leave out 'think' (--think)" in str(caught.value)
    assert QUESTION in spelled(text, text.prompt(QUESTION))


def test_a_model_without_a_template_does_not_think(tmp_path):
    folder = templates.write(QWEN3.family, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    text = HubText(folder)
    assert text.thinking is None
    with pytest.raises(ModelError, match=r"no chat template, which would show how it thinks; leave out 'think'"):
        text.prompt(QUESTION, chat=THINK)


@pytest.mark.parametrize("name", ["nemotron super", "smollm3"])
def test_a_system_turn_that_switches_thinking_off_contradicts_thinking(texts, name):
    off = Turn("system", "Be brief. /no_think")
    with pytest.raises(ModelError, match=r"if a turn switches thinking off \(/no_think\), remove that"):
        texts[name].prompt(QUESTION, chat=Chat((off,), think=True))
    assert spelled(texts[name], texts[name].prompt(QUESTION, chat=Chat((off,)))).count("</think>") == 1


def test_a_template_that_always_closes_the_block_cannot_think(tmp_path):
    """Even if it names `/think`, but takes no system turn."""
    folder = templates.write(QWEN3.family, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(
        "{# /think #}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}"
        "{% endif %}{{ m.content }}{% endfor %}<think></think>"
    )
    with pytest.raises(ModelError, match=r"closes the thinking block before the model can think; .* leave out 'think'"):
        HubText(folder).prompt(QUESTION, chat=THINK)
    with pytest.raises(ModelError, match="no system turn"):
        HubText(folder).prompt(QUESTION, "Be brief.", chat=THINK)


def test_a_system_turn_is_kept_beside_the_word_that_switches(texts):
    before = (Turn("system", "Be brief."),)
    for name, chat in (("nemotron nano", Chat(before)), ("by word", Chat(before, think=True))):
        assert "Be brief." in spelled(texts[name], texts[name].prompt(QUESTION, chat=chat))


def test_a_prm_s_prompt_is_the_same_with_thinking_on(texts):
    """It has no answer to open."""
    text = texts["qwen3"]
    assert text.prompt(QUESTION, generation=False, chat=THINK) == text.prompt(QUESTION, generation=False)


@pytest.mark.parametrize(
    ("name", "block"), [("qwen3", "<think>\n\n</think>\n\n"), ("minimax-m2", "<think>\n\n</think>\n\n")]
)
def test_a_judge_answers_without_thinking(texts, name, block):
    """Where the template opens a block nevertheless, it is closed at once."""
    text = texts[name]
    asked, labels = text.judgement(Judge("how good?", "say ", ("1", "2")))
    assert spelled(text, asked).endswith("<think>\n\n</think>\n\nsay ")
    assert [spelled(text, [label]) for label in labels] == ["1", "2"]


@pytest.mark.parametrize(
    ("end", "opening", "ending"),
    [
        ("{{ '<think>\n' }}", "<think>\n", "\n</think>\n\n"),
        ("{{ '<think>' }}", "<think>", "</think>\n\n"),
        ("{{ '' if enable_thinking else '<think></think> ' }}", "<think>", "</think> "),
        ("{{ '' if enable_thinking else '\n<think>\n</think>' }}", "\n<think>\n", "</think>"),
        ("{{ '' if enable_thinking else '</think>\n' }}", "<think>\n", "\n</think>\n"),
        ("{# <think> #}", "<think>\n", "\n</think>\n\n"),
    ],
)
def test_where_the_white_space_around_the_markers_comes_from(tmp_path, end, opening, ending):
    """From what the template writes, or the usual one."""
    template = "{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}"
    folder = templates.write(QWEN3.family, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template + end + "{% endif %}")
    text = HubText(folder)
    assert text.thinking.opening == opening
    assert text.thinking.closing == f"\n\n{TIME_IS_UP}{ending}"
    assert spelled(text, text.prompt("a", chat=THINK)) == "<|im_start|>a" + opening


@pytest.mark.parametrize("name", ["qwen3", "glm-4.6", "minimax-m2"])
def test_a_template_that_needs_a_system_turn_is_read_with_one(tmp_path, texts, name):
    folder = templates.write(THINKERS[name].family, tmp_path / "model")
    refuses = "{% if messages[0].role != 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    (folder / "chat_template.jinja").write_text(refuses + THINKERS[name].family.template)
    assert HubText(folder).thinking == texts[name].thinking


def changed(folder, change) -> HubText:
    """The tokenizer after `change` edited its file in place."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    change(tokenizer)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return HubText(folder)


def test_a_marker_that_people_can_write_is_no_marker(tmp_path):
    """A vocabulary that writes `</think>` with an ordinary token would let a question close the block."""

    def learn(tokenizer: dict[str, Any]) -> None:
        tokenizer["pre_tokenizer"]["use_regex"] = False
        model = tokenizer["model"]
        pairs = [(marker[:end], marker[end]) for marker in ("<think>", "</think>") for end in range(1, len(marker))]
        for left, right in pairs:
            model["vocab"].setdefault(left + right, 1000 + len(model["vocab"]))
        model["merges"] = [[*pair] for pair in dict.fromkeys(pairs)] + model["merges"]

    text = changed(templates.write(NON_THINKERS["several tokens"][0], tmp_path / "model"), learn)
    assert len(text.encode("<think>")) == len(text.encode("</think>")) == 1
    with pytest.raises(ModelError, match="<think>, which is not a control token of its vocabulary; leave out 'think'"):
        text.prompt(QUESTION, chat=THINK)


def test_a_vocabulary_must_write_the_closing_text_as_it_stands(tmp_path):
    def lower(tokenizer: dict[str, Any]) -> None:
        tokenizer["normalizer"] = {"type": "Lowercase"}

    text = changed(templates.write(QWEN3.family, tmp_path / "model"), lower)
    with pytest.raises(ModelError, match="does not write the text that closes a <think> block as it stands; leave out"):
        text.prompt(QUESTION, chat=THINK)


def test_the_closing_text_is_that_of_its_tokens(tmp_path):
    """Some markers absorb the white space behind them."""

    def absorb(tokenizer: dict[str, Any]) -> None:
        for token in tokenizer["added_tokens"]:
            token["rstrip"] = token["content"] in ("<think>", "</think>")

    text = changed(templates.write(THINKERS["smollm3"].family, tmp_path / "model"), absorb)
    assert text.thinking.closing == f"\n\n{TIME_IS_UP}\n</think>" == spelled(text, text.thinking.closing_ids)
    assert spelled(text, text.prompt(QUESTION, chat=THINK)).endswith("<think>")
