"""Rewards of every family equal a second computation from its recipe: one plain forward pass over the whole text.

The recipes share no code with specs. They follow the model cards and the authors' scripts that
`specs.rewards.families` names, for steps that are stripped and not blank.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402

from helpers import prms  # noqa: E402
from specs.engines.loading import Names, load_models  # noqa: E402
from specs.engines.local.models import LocalReward  # noqa: E402
from specs.engines.protocol import Stopped, never_stop  # noqa: E402
from specs.errors import InputError  # noqa: E402
from specs.rewards.families import LabelJudge  # noqa: E402
from specs.types import Candidate, End, Finish, Role, Trace  # noqa: E402

Rewards = list[float]


def hub(folder: Path) -> Any:
    """The folder's tokenizer, loaded by transformers."""
    named = json.loads((folder / "tokenizer_config.json").read_text())
    if (more := folder / "special_tokens_map.json").exists():
        named |= json.loads(more.read_text())
    tokens = {key: value["content"] if isinstance(value, dict) else value for key, value in named.items()}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **tokens)
    if (template := folder / "chat_template.jinja").exists():
        tokenizer.chat_template = template.read_text()
    return tokenizer


def plain(folder: Path) -> Any:
    """The language model itself, whatever architecture config.json names."""
    model_class = transformers.Qwen2ForCausalLM if "Skywork" in folder.name else transformers.LlamaForCausalLM
    return model_class.from_pretrained(folder, attn_implementation="eager").eval()


@torch.no_grad()
def skywork(folder: Path, question: str, steps: list[str]) -> Rewards:
    """`prepare_input` with the line break as step token, then the value head at the flagged tokens."""
    tokenizer, model, tensors = hub(folder), plain(folder), load_file(folder / "model.safetensors")
    ids = tokenizer.encode(tokenizer.bos_token + question + "\n", add_special_tokens=False)
    line_break = tokenizer.encode("\n", add_special_tokens=False)[-1]
    flags = []
    for step in steps:
        for line in step.split("\n"):
            ids += [*tokenizer.encode(line.strip(), add_special_tokens=False), line_break]
        flags.append(len(ids) - 1)  # the last line of one of our steps
    hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1]
    values = torch.nn.functional.linear(hidden, tensors["v_head.summary.weight"], tensors["v_head.summary.bias"])
    return torch.sigmoid(values)[0, flags, 0].tolist()


@torch.no_grad()
def math_shepherd(folder: Path, question: str, steps: list[str]) -> Rewards:
    """The model card: one text; the probability of "+" against "-" at each step tag."""
    tokenizer, model = hub(folder), plain(folder)
    labels = tokenizer.encode("+ -", add_special_tokens=False)
    tag = tokenizer.encode("ки", add_special_tokens=False)[-1]
    text = question + " " + "\n".join(f"{step} ки" for step in steps)
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(text, add_special_tokens=False)]])
    assert len(labels) == 2
    return model(ids).logits[:, :, labels].softmax(dim=-1)[:, :, 0][ids == tag].tolist()


@torch.no_grad()
def rlhflow(folder: Path, question: str, steps: list[str]) -> Rewards:
    """`prm_evaluate.py`: the conversation grows by a step and a "+", which is predicted at position -3."""
    tokenizer, model = hub(folder), plain(folder)
    labels = [tokenizer.encode(label, add_special_tokens=False)[-1] for label in "+-"]
    conversation, rewards = [], []
    for step_idx, step in enumerate(steps):
        conversation.append({"role": "user", "content": f"{question} {step}" if step_idx == 0 else step})
        conversation.append({"role": "assistant", "content": "+"})
        text = tokenizer.apply_chat_template(conversation, tokenize=False)
        ids = tokenizer.encode(text, add_special_tokens=False)
        rewards.append(model(torch.tensor([ids])).logits[0, -3, labels].softmax(dim=-1)[0].item())
    return rewards


@torch.no_grad()
def judge(folder: Path, question: str, steps: list[str]) -> Rewards:
    """Each beginning of the solution is an answer, followed by the question about it; "Yes" against "No"."""
    tokenizer, model = hub(folder), plain(folder)
    labels = [tokenizer.encode(label, add_special_tokens=False)[0] for label in ("Yes", "No")]
    rewards = []
    for count in range(1, len(steps) + 1):
        turns = [question, "\n\n".join(steps[:count]), LabelJudge.VERDICT.instruction]
        roles = ("user", "assistant", "user")
        messages = [{"role": role, "content": content} for role, content in zip(roles, turns, strict=True)]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer.encode(text, add_special_tokens=False)
        rewards.append(model(torch.tensor([ids])).logits[0, -1, labels].softmax(dim=-1)[0].item())
    return rewards


RECIPES: dict[str, Callable[[Path, str, list[str]], Rewards]] = {
    "skywork": skywork,
    "math-shepherd": math_shepherd,
    "rlhflow": rlhflow,
    "judge": judge,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("prms")
    return {form: prms.write(form, root) for form in prms.FORMATS}


def load(form: str, folder: Path, engine: Any) -> LocalReward:
    names = Names(None, None, str(folder), prm_format="judge" if form == "judge" else "auto")
    prm = load_models(names, engine=engine, device="cpu", dtype="fp32").prm
    assert isinstance(prm, LocalReward)
    assert prm.prm_format.name == form
    return prm


@pytest.fixture(scope="module", params=["light", "torch"])
def loaded(request: pytest.FixtureRequest, folders: dict[str, Path]) -> dict[str, LocalReward]:
    return {form: load(form, folder, request.param) for form, folder in folders.items()}


def read(prm: LocalReward, texts: list[str], end: End = End.DELIMITER) -> Rewards:
    """The reward of each step in turn, in one session: each step is appended to the cached ones."""
    session = prm.open(prm.prompt(prms.QUESTION), never_stop)
    trace, rewards = Trace(prms.QUESTION), []
    for text in texts:
        step = Candidate((), text, end)
        rewards += session.score([(trace, [step])], "\n\n")
        trace = trace.extend(replace(step, reward=rewards[-1]), Role.TARGET)
    return rewards


def pieces(solution: str) -> list[str]:
    """A solution split into steps as they are sampled, each with its delimiter."""
    parts = solution.split("\n\n")
    return [f"{part}\n\n" for part in parts[:-1]] + parts[-1:]


@pytest.mark.parametrize("solution", prms.SOLUTIONS.values(), ids=prms.SOLUTIONS)
@pytest.mark.parametrize("form", prms.FORMATS)
def test_rewards_equal_the_recipe(loaded: Any, folders: Any, form: str, solution: str) -> None:
    steps = [part.strip() for part in solution.split("\n\n") if part.strip()]
    expected = RECIPES[form](folders[form], prms.QUESTION, steps)
    assert len(expected) == len(steps)
    gaps = [abs(one - other) for one, other in combinations(expected, 2)]
    assert all(gap > 1e-4 for gap in gaps)  # so a reward of another step would be noticed
    rewards, last = read(loaded[form], pieces(solution)), 0.0
    for text, reward in zip(pieces(solution), rewards, strict=True):
        last = expected.pop(0) if text.strip() else last  # a blank step has the reward of the step before
        assert reward == pytest.approx(last, abs=1e-5)
    assert not expected


@pytest.mark.parametrize("form", prms.FORMATS)
def test_the_longest_trace_that_fits_equals_the_recipe_and_a_longer_one_is_refused(
    loaded: Any, folders: Any, form: str
) -> None:
    prm, steps = loaded[form], ["Ann has 3.", "1"]

    def length(count: int) -> int:
        session = prm.open(prm.prompt(prms.QUESTION), never_stop)
        step = Candidate((), "1" * count, End.END_OF_TEXT)
        trace = Trace(prms.QUESTION).extend(Candidate((), steps[0], End.DELIMITER), Role.TARGET)
        ((prefix, (path,)),) = session.query([(trace, [step])], "\n\n")
        return len(prm.prompt(prms.QUESTION)) + len(prefix) + len(path)

    count = next(count for count in range(1, 3000) if length(count) == prm.backend.context)
    longest = [steps[0], "1" * count]
    expected = RECIPES[form](folders[form], prms.QUESTION, longest)
    assert read(prm, longest) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(Stopped) as stopped:
        read(prm, [steps[0], "1" * (count + 3)])
    assert stopped.value.reason is Finish.CONTEXT
    with pytest.raises(InputError, match=r"the question takes \d+ tokens and .* has room for 448; shorten it"):
        prm.prompt("1 " * 2000)
