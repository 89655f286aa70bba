"""How PRMs read a trace: appending step by step equals a second computation from each recipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.rows import outputs_of
from specs.errors import InputError, ModelError
from specs.rewards.families import QwenMathPRM, TokenClassification, family_for
from specs.rewards.format import PRMFormat

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
QUESTION = "Ann has 3 apples and buys 41 more. How many apples has she?"
CASES = {
    "one step": "She has $3 + 41 = 44$ apples.",
    "many steps": "Ann has 3.\n\nShe buys 41 more!\n\n3 + 41 = 44\n\nThe answer is \\boxed{44}.",
    "trailing delimiter": "Ann has 3.\n\nShe buys 41.\n\n",
    "empty steps": "\n\nAnn has 3.\n\n \t\n\n\n\n  She buys 41.  \n\n\n",
    "unicode": "Zoë hat 3 Äpfel 🍎🍎🍎\n\nΣ = 3 + 41\u2003= 44 個\n\n答案是 \\boxed{44}",
    "newlines within": "Ann has:\n  3 apples;\n\nShe buys:\n  41",
}

QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BLANK_LINE_PIECES = r"\n\n| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]|\s"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class HubTokens:
    """`Tokens` with transformers' own tokenizer and template renderer."""

    def __init__(self, pieces: str) -> None:
        tokenizers = pytest.importorskip("tokenizers")
        transformers = pytest.importorskip("transformers")
        bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
        bpe.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
            [
                tokenizers.pre_tokenizers.Split(tokenizers.Regex(pieces), "isolated"),
                tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=400,
            min_frequency=1,
            special_tokens=["<|im_start|>", "<|im_end|>", "<extra_0>"],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        bpe.train_from_iterator([SYSTEM, QUESTION, "assistant\n", ".\n\n", "\n\n\n\n", *CASES.values()], trainer)
        self.hub = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe)
        self.hub.chat_template = CHAT_TEMPLATE

    def encode(self, text: str) -> list[int]:
        return self.hub.encode(text, add_special_tokens=False)

    def encode_plain(self, text: str, before: str = "", after: str = "") -> list[int]:
        return self.encode(before + text + after)  # no text here spells a control token

    def prompt(self, question: str, system: str | None, generation: bool) -> list[int]:
        return self.encode(self.render([("system", system), ("user", question)], generation))

    def render(self, turns: list[tuple[str, str | None]], generation: bool = False) -> str:
        messages = [{"role": role, "content": content} for role, content in turns if content is not None]
        return self.hub.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation)


@pytest.fixture(scope="module")
def qwen() -> HubTokens:
    return HubTokens(QWEN_PIECES)


@pytest.fixture(scope="module")
def blank_line() -> HubTokens:
    return HubTokens(BLANK_LINE_PIECES)


def card_ids(tokens: HubTokens, steps: list[str]) -> list[int]:
    """The model card's recipe: the template renders the whole conversation, and the tokenizer encodes that text."""
    answer = "<extra_0>".join(steps) + "<extra_0>"
    return tokens.encode(tokens.render([("system", SYSTEM), ("user", QUESTION), ("assistant", answer)]))


def split_steps(text: str) -> list[str]:
    """The steps of a written solution, stripped and without blank ones."""
    return [step for part in text.split("\n\n") if (step := part.strip())]


def joint_ids(tokens: HubTokens, steps: list[str]) -> list[int]:
    """The recipe of token classifiers: prompt and solution as one text."""
    return tokens.encode(tokens.render([("user", QUESTION)], generation=True) + "\n\n".join(steps) + "\n\n")


def parts(form: PRMFormat, solution: str) -> list[list[int]]:
    """Token ids of the prompt, and those appended for each step."""
    steps = split_steps(solution)
    return [
        form.prompt(QUESTION),
        *([*form.content(step, step_idx == 0, False), *form.ask] for step_idx, step in enumerate(steps)),
    ]


def up_to_last(ids: list[int], separator: int) -> list[int]:
    return ids[: len(ids) - ids[::-1].index(separator)]


@pytest.mark.parametrize("solution", CASES.values(), ids=CASES)
def test_ids_are_the_card_recipes_up_to_the_last_separator(qwen: HubTokens, solution: str) -> None:
    form = QwenMathPRM(qwen)
    steps = [part.strip() for part in solution.split("\n\n") if part.strip()]
    ours = list(chain.from_iterable(parts(form, solution)))
    assert ours == up_to_last(card_ids(qwen, steps), qwen.hub.convert_tokens_to_ids("<extra_0>"))
    assert ours.count(form.ask[0]) == len(steps)


@pytest.mark.parametrize("solution", CASES.values(), ids=CASES)
def test_a_token_classifier_reads_prompt_and_solution_as_one_text(blank_line: HubTokens, solution: str) -> None:
    form = TokenClassification(blank_line)
    steps = [part.strip() for part in solution.split("\n\n") if part.strip()]
    assert list(chain.from_iterable(parts(form, solution))) == joint_ids(blank_line, steps)


@pytest.mark.parametrize("make", [QwenMathPRM, TokenClassification])
def test_a_step_cut_at_its_cap_is_continued_without_a_break(blank_line: HubTokens, make: Any) -> None:
    form = make(blank_line)
    whole = form.content("She buys 41 more apples\n\n", False, False)
    begun, rest = form.content(" She buys", False, False), form.content(" 41 more apples\n\n", False, True)
    assert begun + rest == whole
    assert form.content(" \n\n", False, False) == form.content(" \n", False, True) == []


def save_prm(folder: Path, architecture: str, vocabulary: int, context: int) -> dict[str, Any]:
    """Write a tiny random PRM as published; returns the tensors of its head."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    safetensors = pytest.importorskip("safetensors.torch")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.Qwen2Config(
        **sizes,
        vocab_size=vocabulary,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
        num_labels=2 if architecture == "Qwen2ForProcessRewardModel" else 1,
    )
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder)
    tensors = safetensors.load_file(folder / "model.safetensors")
    if architecture == "Qwen2ForProcessRewardModel":
        shapes = {"score.0.weight": (32, 32), "score.0.bias": (32,), "score.2.weight": (2, 32), "score.2.bias": (2,)}
    else:
        shapes = {"score.weight": (1, 32), "score.bias": (1,)}
    head = {name: torch.randn(shape) / 4 for name, shape in shapes.items()}
    safetensors.save_file(tensors | head, folder / "model.safetensors", {"format": "pt"})
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": [architecture]}))
    return head


def longest(tokens: HubTokens, recipe: Callable[[HubTokens, list[str]], list[int]], separator: int, size: int) -> str:
    """A solution that the recipe lays out in exactly `size` tokens (each digit is a token)."""
    steps = [*split_steps(CASES["many steps"]), ""]
    steps[-1] = "1" * (size - len(up_to_last(recipe(tokens, [*steps[:-1], "1"]), separator)) + 1)
    assert len(up_to_last(recipe(tokens, steps), separator)) == size
    return "\n\n".join(steps)


@pytest.mark.parametrize("solution", [*CASES.values(), None], ids=[*CASES, "longest"])
@pytest.mark.parametrize("architecture", ["Qwen2ForProcessRewardModel", "Qwen2ForTokenClassification"])
def test_rewards_equal_the_recipe(
    qwen: HubTokens, blank_line: HubTokens, tmp_path: Path, architecture: str, solution: str | None
) -> None:
    """Each reward is read before the next step is appended, so later steps cannot have changed it."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from specs.engines.local.torch.loading import load_hf

    context = 224
    is_qwen = architecture == "Qwen2ForProcessRewardModel"
    tokens, recipe = (qwen, card_ids) if is_qwen else (blank_line, joint_ids)
    head = save_prm(tmp_path, architecture, len(tokens.hub), context)
    separator = tokens.encode("<extra_0>" if is_qwen else "\n\n")[-1]
    if solution is None:
        solution = longest(tokens, recipe, separator, context)

    # The recipe: one pass over everything, with the head's outputs read at the separators.
    steps = [part.strip() for part in solution.split("\n\n") if part.strip()]
    ids = torch.tensor([recipe(tokens, steps)])
    trunk = transformers.Qwen2ForCausalLM.from_pretrained(tmp_path).model
    with torch.no_grad():
        hidden = trunk(ids).last_hidden_state
        if is_qwen:
            hidden = torch.relu(torch.nn.functional.linear(hidden, head["score.0.weight"], head["score.0.bias"]))
            logits = torch.nn.functional.linear(hidden, head["score.2.weight"], head["score.2.bias"])
            probabilities = torch.softmax(logits, dim=-1)[..., 1]
        else:
            logits = torch.nn.functional.linear(hidden, head["score.weight"], head["score.bias"])
            probabilities = torch.sigmoid(logits)[..., 0]
    expected = probabilities[ids == separator].numpy()

    # Ours: step by step with one cache.
    form = (QwenMathPRM if is_qwen else TokenClassification)(tokens)
    backend = load_hf(str(tmp_path), "prm", device="cpu")
    cache, done, rewards = backend.cache(), 0, []
    for part_idx, part in enumerate(parts(form, solution)):
        want = np.array([len(part) - 1] if part_idx else [], np.int64)
        rows = outputs_of(backend, cache, np.array(part), np.arange(done, done + len(part)), None, want)
        rewards += form.rewards(rows).tolist()
        done += len(part)
    assert done <= backend.context
    assert len(rewards) == len(steps)
    assert np.ptp(expected) > 1e-3 or len(steps) == 1
    np.testing.assert_allclose(rewards, expected, rtol=0, atol=1e-5)


class Letters:
    """`Tokens` with one token for each character, without a library."""

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text.replace("<extra_0>", "\0").replace("\n\n", "\1")]

    def encode_plain(self, text: str, before: str = "", after: str = "") -> list[int]:
        return [*self.encode(before), *map(ord, text), *self.encode(after)]

    def prompt(self, question: str, system: str | None, generation: bool) -> list[int]:
        return self.encode(f"[{system}|{question}{'>' if generation else ']'}")


class NoSpecials(Letters):
    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]


def test_a_token_classifier_reads_steps_as_an_answer() -> None:
    assert TokenClassification(Letters()).prompt("Why?") == Letters().encode("[None|Why?>")


@pytest.mark.parametrize(
    ("architecture", "name", "wanted", "family", "why"),
    [
        ("Qwen2ForProcessRewardModel", "a/b", "auto", "qwen", "its architecture is Qwen2ForProcessRewardModel"),
        ("Qwen2ForPrmModel", "a/b", "auto", "skywork", "its architecture is Qwen2ForPrmModel"),
        ("LlamaForTokenClassification", "a/b", "auto", "token-classification", "its architecture is Llama"),
        ("Qwen2ForTokenClassification", "a/b", "qwen", "qwen", "as requested"),
        ("LlamaForCausalLM", "peiyi9979/math-shepherd-mistral-7b-prm", "auto", "math-shepherd", "its name has math-s"),
        ("MistralForCausalLM", "OpenRLHF/Mistral-7b-PRM-Math-Shepherd", "auto", "math-shepherd", "its name has"),
        (
            "LlamaForCausalLM",
            "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data",
            "auto",
            "rlhflow",
            "its name has llama3.1-8b-prm",
        ),
        ("LlamaForCausalLM", "/models/Llama3.1-8B-PRM-Mistral-Data/", "auto", "rlhflow", "its name has llama3.1"),
        ("Qwen2ForCausalLM", "a/b", "judge", "judge", "as requested"),
        ("LlamaForCausalLM", "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data", "judge", "judge", "as requested"),
    ],
)
def test_each_model_has_its_format(architecture: str, name: str, wanted: Any, family: str, why: str) -> None:
    found, reason = family_for([architecture], name, wanted)
    assert found.name == family
    assert reason.startswith(why)


@pytest.mark.parametrize(
    ("architectures", "wanted", "message"),
    [
        (["Qwen2ForRewardModel"], "auto", r"a/math: no reward format is known for Qwen2ForRewardModel: use a "),
        ([], "auto", "no reward format is known for a model without architectures"),
        (
            ["MistralForCausalLM"],
            "auto",
            r"a/math is a language model \(Mistral.*prm_format, among math-shepherd, rlhflow, judge",
        ),
        (["MistralForCausalLM"], "qwen", "no head for prm_format qwen: choose among math-shepherd, rlhflow, judge"),
        (
            ["Qwen2ForPrmModel"],
            "judge",
            "no head for prm_format judge: choose among qwen, skywork, token-classification",
        ),
    ],
)
def test_models_without_a_known_format_are_refused_with_advice(
    architectures: list[str], wanted: Any, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        family_for(architectures, "a/math", wanted)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match="PRM format 'gwen' is none of auto, qwen, skywork"):
        family_for(["Qwen2ForProcessRewardModel"], "a/b", "gwen")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (QwenMathPRM, "9 tokens of '<extra_0>', which format qwen needs as one"),
        (TokenClassification, r"2 tokens of '\\n\\n', which format token-classification needs as one"),
    ],
)
def test_a_tokenizer_that_splits_the_separator_is_refused(family: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        family(NoSpecials())


def test_rewards_are_probabilities_of_a_good_step_even_if_logits_are_extreme() -> None:
    form = TokenClassification(Letters())
    one = np.array([[0.0], [np.log(3)], [-1e4], [1e4]], np.float32)
    two = np.array([[5.0, 5.0], [0, np.log(3)], [1e4, 0], [-1e4, 0]], np.float32)
    for rows in (one, two):
        rewards = form.rewards(rows)
        assert (rewards.shape, rewards.dtype) == ((4,), np.float64)
        np.testing.assert_allclose(rewards, [0.5, 0.75, 0.0, 1.0], rtol=0, atol=1e-7)
    assert form.rewards(np.zeros((0, 2), np.float32)).shape == (0,)
    with pytest.raises(ModelError, match="3 labels"):
        form.rewards(np.zeros((1, 3), np.float32))
