"""Tokenizers, chat templates and the ends of steps, without a model."""

import json
import re

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from helpers import tiny
from specs.engines.local.tabular import TabularText
from specs.engines.steps import Stepper
from specs.engines.text import HubText
from specs.errors import InputError, ModelError
from specs.types import Chat, End, Judge, Phase, StepPolicy, Thinking


def folder_with(path, vocabulary, template=None, **config):
    """A byte-fallback vocabulary like Llama 2's and Mistral's: spaces are U+2581."""
    path.mkdir(parents=True)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="never")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", **config}))
    if template is not None:
        (path / "chat_template.jinja").write_text(template)
    return path


BYTES = {f"<0x{byte:02X}>": 10 + byte for byte in range(256)}
VOCABULARY = {"<unk>": 0, "</s>": 1, "\u2581": 2, "a": 3, "b": 4, **BYTES}


def test_byte_fallback_pieces_join_to_the_text(tmp_path):
    text = HubText(folder_with(tmp_path / "model", VOCABULARY))
    for sample in ("a b", "a\n\nb", "\u65e5 a"):
        assert b"".join(text.piece(token) for token in text.encode(sample)).decode() == sample


def test_special_tokens_have_no_text(tmp_path):
    text = HubText(folder_with(tmp_path / "model", VOCABULARY))
    assert text.piece(1) == b""
    assert text.end_ids == {1}
    assert text.piece(10_000) == b""  # a padding row


def test_fingerprints_tell_vocabularies_apart(tmp_path):
    for name, extra in (("one", 0), ("same", 0), ("other", 3)):
        tiny.write_tokenizer(tmp_path / name, extra)
    one, same, other = (HubText(tmp_path / name).fingerprint for name in ("one", "same", "other"))
    assert one == same != other


def test_all_token_ids_are_below_the_size(tmp_path):
    """Added tokens and an end of text that only the model's config names are included; ids need not be contiguous."""
    assert HubText(folder_with(tmp_path / "holes", VOCABULARY)).size == 10 + 256 > len(VOCABULARY)
    size = tiny.write_tokenizer(tmp_path / "more")
    assert HubText(tmp_path / "more").size == size
    tokenizer = Tokenizer.from_file(str(tmp_path / "more/tokenizer.json"))
    tokenizer.add_tokens(["<new>", "<newer>"])
    tokenizer.save(str(tmp_path / "more/tokenizer.json"))
    text = HubText(tmp_path / "more")
    assert text.size == size + 2 == text.encode("<newer>")[0] + 1
    (tmp_path / "more/generation_config.json").write_text('{"eos_token_id": [1, 400]}')
    assert HubText(tmp_path / "more").size == 401


def test_prompts(tmp_path):
    tiny.write_tokenizer(tmp_path)
    text = HubText(tmp_path)
    backend = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))

    def ids(rendered):
        return backend.encode(rendered, add_special_tokens=False).ids

    assert text.prompt("a b") == ids("<bos><user>a b<bot>")
    assert text.prompt("a b", "c") == ids("<bos><sys>c<user>a b<bot>")
    assert text.prompt("a b", generation=False) == ids("<bos><user>a b")


def test_without_a_template_the_prompt_is_the_question(tmp_path):
    text = HubText(folder_with(tmp_path / "model", VOCABULARY))
    assert text.prompt("a", "b") == text.encode("b\n\na\n\n")


def judge(*labels):
    return Judge("how good?", "say {", labels)


def test_a_judge_s_question_is_a_turn_of_its_own(tmp_path):
    """What the template writes after an answer, the question, and the beginning of the reply; a label is one token."""
    folder = tmp_path / "model"
    tiny.write_tokenizer(folder)
    text = HubText(folder)
    asked, labels = text.judgement(judge("1", "2"))
    assert asked == text.encode("<user>how good?<bot>say {")
    assert labels == [text.encode("1")[0], text.encode("2")[0]]
    (folder / "chat_template.jinja").unlink()
    asked, labels = HubText(folder).judgement(judge("1", "2"))
    assert asked == text.encode("\n\nhow good?\n\nsay {")
    with pytest.raises(ModelError, match="does not write each of 1, 2 3 as one token"):
        text.judgement(judge("1", "2 3"))
    (folder / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    with pytest.raises(ModelError, match="drops answers"):
        HubText(folder).judgement(judge("1", "2"))


OFF = (
    "{% if add_generation_prompt %}<bot>"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}{% endif %}"
)
ALWAYS = "{% if add_generation_prompt %}<bot><think>\n{% endif %}"


@pytest.mark.parametrize("opens", [OFF, ALWAYS], ids=["if-asked", "always"])
def test_inside_the_thinking_a_judge_is_answered_in_a_block_of_its_own(tmp_path, opens):
    """The trace's block stays unclosed: only the turn ends. The reply's block begins with the judge's own words."""

    class Thinker(HubText):
        _found_thinking = Thinking("<think>\n", 7, "\n</think>\n\n", (7,), "</think>")

    folder = tmp_path / "model"
    tiny.write_tokenizer(folder)
    (folder / "chat_template.jinja").write_text(tiny.TEMPLATE.partition("{% if add")[0] + opens)
    text = Thinker(folder)
    asking = Judge("how good?", "say {", ("1", "2"), thought="a b ")
    asked, labels = text.judgement(asking, Phase.THINKING)
    assert asked == text.encode("<user>how good?<bot><think>\na b say {")
    assert labels == [text.encode("1")[0], text.encode("2")[0]]
    if opens == OFF:
        assert text.judgement(asking)[0] == text.encode("<user>how good?<bot><think>\n\n</think>\n\nsay {")
    (folder / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    with pytest.raises(ModelError, match="drops answers"):
        Thinker(folder).judgement(asking, Phase.THINKING)


def test_a_label_is_a_single_token_behind_its_context(tmp_path):
    tiny.write_tokenizer(tmp_path)
    text = HubText(tmp_path)
    before, labels = text.labelled("a b.\n\n", ("3", "4"))
    assert [[*before, label] for label in labels] == [text.encode("a b.\n\n3"), text.encode("a b.\n\n4")]
    for labels in (("3", "3"), ("3", "4 5")):
        with pytest.raises(ModelError, match=r"as one token after 'a b\.\\n\\n': use a model whose vocabulary does"):
            text.labelled("a b.\n\n", labels)


def test_turns_are_rendered_by_the_template(tmp_path):
    tiny.write_tokenizer(tmp_path)
    assert HubText(tmp_path).turns() == ("<bos><user>", "<bot>", "<user>")
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    with pytest.raises(ModelError, match="drops turns"):
        HubText(tmp_path).turns()
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="there is no chat template"):
        HubText(tmp_path).turns()


def test_the_first_token_is_read_from_either_config_file(tmp_path):
    """The older file counts where the newer one does not list the added tokens."""
    folder = folder_with(tmp_path / "model", VOCABULARY, bos_token=None)
    assert HubText(folder).bos is None
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": {"content": "</s>"}}))
    assert HubText(folder).bos == "</s>"
    config = {"eos_token": "</s>", "bos_token": "a"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert HubText(folder).bos == "</s>"
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "added_tokens_decoder": {}}))
    assert HubText(folder).bos == "a"
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": None}))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert HubText(folder).bos is None


def test_a_first_token_outside_the_vocabulary_is_ignored(tmp_path):
    """Raw text does not begin with its letters; a template may still write them."""
    folder = folder_with(tmp_path / "model", VOCABULARY, "{{ bos_token }}{{ messages[0].content }}", bos_token="ab")
    text = HubText(folder)
    assert text.bos is None
    assert text.prompt("a", chat=Chat(template=False)) == [3]
    assert text.prompt("a") == [3, 4, 3]


def test_tokens_are_spelled_readably(tmp_path):
    text = HubText(folder_with(tmp_path / "model", VOCABULARY))
    assert [text.spelling(token) for token in (1, 2, 3, 10 + 0xE4, 10_000)] == ["</s>", " ", "a", "\\xe4", ""]


def test_thinking_is_switched_off_if_the_template_can(tmp_path):
    template = "{{ messages[0].content }}{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}"
    assert HubText(folder_with(tmp_path / "can", VOCABULARY, template)).prompt("a") == [3]
    always = HubText(folder_with(tmp_path / "cannot", VOCABULARY, "{{ messages[0].content }}<think>\n"))
    with pytest.raises(ModelError, match="opens a <think> block"):
        always.prompt("a")


@pytest.mark.parametrize(
    "mark", ["<think>", "[THINK]", "<|START_THINKING|>", "<seed:think>\n", "<｜begin▁of▁thinking｜>"]
)
def test_a_template_that_opens_a_block_of_thoughts_is_refused(tmp_path, mark):
    """With any mark; not if the template closes the block again, or if only the question ends in a mark."""
    plain = HubText(folder_with(tmp_path / "plain", VOCABULARY, "{{ messages[0].content }}"))
    assert plain.prompt(f"a {mark}") == plain.encode(f"a {mark}")
    closing = mark.strip().replace("START", "END").replace("begin", "end").replace("think>", "/think>")
    closing = closing.replace("[T", "[/T")
    closed = "{{ messages[0].content }}" + mark + closing
    assert HubText(folder_with(tmp_path / "closed", VOCABULARY, closed)).prompt(f"a{mark}")
    opens = HubText(folder_with(tmp_path / "opens", VOCABULARY, "{{ messages[0].content }}<a>" + mark))
    for question in ("a", f"a {mark}"):
        with pytest.raises(
            ModelError, match=f"opens a {re.escape(mark.strip())} block, which cannot be stepped through"
        ):
            opens.prompt(question)


def test_templates_that_refuse_or_fail_are_reported(tmp_path):
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    text = HubText(folder_with(tmp_path / "refusing", VOCABULARY, refusing + "{{ messages[0].content }}"))
    assert text.prompt("a") == [3]
    with pytest.raises(ModelError, match="no system role"):
        text.prompt("a", "b")
    with pytest.raises(ModelError, match="cannot be read"):
        HubText(folder_with(tmp_path / "broken", VOCABULARY, "{% if %}"))


def test_incomplete_folders_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        HubText(tmp_path)
    folder = folder_with(tmp_path / "endless", VOCABULARY)
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ModelError, match="names no end-of-text token"):
        HubText(folder)
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 3]}')
    assert HubText(folder).end_ids == {1, 3}


PIECES = TabularText(["a", "\n", "\n\n", ".\n\nb", " ", ""], end_id=5)


def ends(policy, tokens, cap=9):
    stepper = Stepper(policy, PIECES, cap)
    return [stepper.push(token) for token in tokens]


def test_a_step_ends_at_the_first_delimiter_after_text():
    assert ends(StepPolicy(), [2, 1, 4, 0, 1, 1]) == [None] * 5 + [End.DELIMITER]
    assert ends(StepPolicy(), [0, 2]) == [None, End.DELIMITER]
    assert ends(StepPolicy(), [3]) == [End.DELIMITER]  # inside a token
    assert ends(StepPolicy(), [1, 0, 4, 1]) == [None] * 4


def test_end_of_text_and_the_cap_end_a_step():
    assert ends(StepPolicy(), [0, 5]) == [None, End.END_OF_TEXT]
    assert ends(StepPolicy(), [5], cap=1) == [End.END_OF_TEXT]
    assert ends(StepPolicy(), [0, 0], cap=2) == [None, End.CAP]
    assert ends(StepPolicy(), [0, 2], cap=2) == [None, End.DELIMITER]


def test_steps_may_end_after_a_number_of_tokens_or_at_a_pattern():
    assert ends(StepPolicy.chunks(2), [2, 2], cap=2) == [None, End.CAP]
    assert ends(StepPolicy(pattern=r"a{3}"), [0, 0, 2, 0, 0, 0]) == [None] * 5 + [End.DELIMITER]
    assert ends(StepPolicy(pattern=r"^\s"), [1, 0, 1]) == [None] * 3


def test_invalid_step_policies_are_refused():
    for values in ({"max_tokens": 0}, {"delimiter": ""}, {"pattern": "("}, {"pattern": ""}):
        with pytest.raises(InputError, match=r"max_tokens|delimiter|pattern"):
            StepPolicy(**values)
