"""`specs doctor`: it reports every failure, and the problems that it finds are those at which a solve would fail."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers import tiny
from helpers.tiny_thinkers import write_pair
from specs import api
from specs.cli import main
from specs.deploy import thinking
from specs.deploy.doctor import Severity, _padding_hint, _sampling_hint, _scoring_finding, _server_findings, diagnose
from specs.deploy.thinking_plan import thinking_context
from specs.engines.local.session import LocalPolicySession
from specs.engines.vllm.replicas import Replicas
from specs.engines.vllm.server import Facts, Server
from specs.engines.vllm.session import RemotePolicy
from specs.errors import InputError, SpecsError
from specs.types import Chat, Role, SamplingParams

FACTS = {
    "version": "0.32.0",
    "model": "m",
    "root": "m",
    "context": 4096,
    "block_size": 16,
    "prefix_cache": True,
    "recurrent": False,
    "generates": True,
    "scale_out": True,
    "v2": False,
    "plugin": True,
    "processed": True,
    "lists": True,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tiny.write_trio(tmp_path_factory.mktemp("trio"))


def states(found):
    return [(finding.role, finding.state) for finding in found]


def test_the_bundled_trio_is_sound(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", word] for word in ("draft", "target", "prm", "both", "both", "both")
    ]
    assert "read as token-classification: its architecture" in lines[2]
    assert lines[-1].endswith("together they solve a step")


def test_a_model_that_can_think_is_named_with_its_markers(tmp_path, capsys):
    pair = write_pair(tmp_path)
    assert main(["doctor", "--target", str(pair["target"])]) == 0
    said = capsys.readouterr().out
    close = api.load(None, str(pair["target"])).target.thinking.close_id
    assert f"can think (--think): <think> opens a block, token {close} closes it" in said


class Deaf:
    """The client of a server that stops at no blank line inside the thinking, or at every one."""

    url = "http://server"

    def __init__(self, hears):
        self.hears, self.bodies = hears, []

    async def post(self, path, body):
        self.bodies.append(body)
        return {"choices": [{"finish_reason": "stop" if self.hears else "length"}]}


@pytest.mark.parametrize("hears", [True, False])
def test_a_server_that_hears_no_stop_inside_the_thinking_is_found(tmp_path, hears):
    local = api.load(None, str(write_pair(tmp_path)["target"])).target
    client = Deaf(hears)
    model = RemotePolicy(Replicas([Server(client, Facts(**FACTS))]), local.text, False)
    assert (
        [*thinking.deaf(model)] == []
        if hears
        else ["without --reasoning-parser" in one for one in thinking.deaf(model)] == [True]
    )
    body = client.bodies[0]
    assert body["prompt"] == list(local.prompt("What is 1 + 1?", Chat(think=True)))
    assert local.text.encode("\n\n") == body["allowed_token_ids"]
    assert body["stop"] == ["\n\n"]


def test_a_context_too_short_for_thinking_is_a_hint_with_a_way_out_that_fits():
    """20,480 tokens hold the default limits; a shorter budget is proposed as far as the context has room for one."""
    assert thinking.context_hint(20_480, "start it with --max-model-len {}") == ""
    said = thinking.context_hint(8192, "start it with --max-model-len {}")
    assert said.startswith("a context of 8,192 tokens cuts off long thinking: with --think a solve may take 20,480 (")
    assert said.endswith("; start it with --max-model-len 20480 or solve with --thinking-tokens 4096")
    assert thinking_context(4096) == 8192
    assert thinking.context_hint(4096, "start it with --max-model-len {}").endswith(
        "; start it with --max-model-len 20480"
    )
    assert thinking.context_hint(4097, "").endswith("; solve with --thinking-tokens 1")
    assert thinking.context_hint(4096, "").endswith("; choose a model with a longer one")


@pytest.mark.parametrize("context", [4096, 20_480])
def test_a_server_for_thinking_with_a_short_context_is_found(tmp_path, context):
    local = api.load(None, str(write_pair(tmp_path)["target"])).target
    server = Server(Deaf(True), Facts(**FACTS | {"context": context, "generates": False, "rows": local.text.size}))
    model = RemotePolicy(Replicas([server]), local.text, False)
    found = list(_server_findings(Role.DRAFT, model, SamplingParams()))
    hints = [one.text for one in found if one.state is Severity.HINT]
    assert [hint.endswith("start it with --max-model-len 20480") for hint in hints] == [True] * (context < 20_480)
    assert any("can think (--think)" in one.text for one in found)


def test_one_failure_hides_no_other(folders, capsys):
    """No server listens at port 9, and a folder is missing; the draft is still checked."""
    command = [
        "doctor",
        "--draft",
        str(folders["draft"]),
        "--target",
        "http://127.0.0.1:9",
        "--prm",
        "./none",
        "--json",
    ]
    assert main([*command, "--engine", "light"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["sound"]
    assert [(one["role"], one["state"]) for one in found["findings"]] == [
        ("draft", "ok"), ("target", "problem"), ("prm", "problem")
    ]  # fmt: skip
    assert "http://127.0.0.1:9" in found["findings"][1]["text"]
    assert "./none" in found["findings"][2]["text"]


def test_vocabularies_are_compared_as_at_loading(folders):
    pair = {Role.DRAFT: str(folders["draft"]), Role.TARGET: str(folders["other"])}
    assert states(diagnose(pair, SamplingParams(), engine="light"))[2] == (None, Severity.PROBLEM)
    with pytest.raises(InputError, match="different vocabularies"):
        api.load(*pair.values(), None, engine="light")
    through_text = {"engine": "light", "allow_text_scoring": True}
    assert states(diagnose(pair, SamplingParams(), **through_text))[2] == (None, Severity.HINT)
    api.load(*pair.values(), None, **through_text)


def test_a_single_model_is_checked_alone(folders):
    found = list(diagnose({Role.PRM: str(folders["prm"])}, SamplingParams(), engine="light"))
    assert states(found) == [(Role.PRM, Severity.OK), (Role.PRM, Severity.OK)]
    assert found[-1].text == "does its part of a step"
    (found,) = diagnose({Role.PRM: str(folders["draft"])}, SamplingParams(), engine="light")
    assert found.state is Severity.PROBLEM
    with pytest.raises(SpecsError) as refused:
        api.load(None, None, str(folders["draft"]), engine="light")
    assert found.text == str(refused.value)


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, Severity.OK, "the plugin of specs-llm"),
        ({"v2": True, "plugin": False, "lists": False}, Severity.OK, "V2, in a request for each candidate"),
        ({"lists": False}, Severity.OK, "the plugin of specs-llm, in a request for each candidate"),
        ({"plugin": False, "lists": False}, Severity.HINT, "install this version of specs-llm beside vLLM"),
        ({"scale_out": False}, Severity.OK, "(the plugin of specs-llm)"),
        ({"scale_out": False, "lists": False}, Severity.HINT, "install this version of specs-llm beside vLLM"),
        ({"prefix_cache": False}, Severity.HINT, "score: start it without --no-enable-prefix-caching"),
        (
            {"prefix_cache": False, "v2": True, "plugin": False, "lists": False},
            Severity.HINT,
            "without --no-enable-prefix-caching",
        ),
        ({"prefix_cache": False, "recurrent": True}, Severity.HINT, "no prefix reuse, because the model is recurrent"),
        ({"recurrent": True}, Severity.OK, "the plugin of specs-llm"),
    ],
)
def test_a_target_that_scores_whole_prompts_is_told_how_to_score_from_its_cache(changes, state, words):
    facts = Facts(**FACTS | changes)
    found = _scoring_finding(facts)
    assert (found.state, found.role) == (state, Role.TARGET)
    assert words in found.text
    assert facts.suffix is (state is Severity.OK)


@pytest.mark.parametrize(
    ("role", "changes", "words"),
    [
        ("target", {"rows": 110}, "its log-probabilities count 10 padding rows"),
        ("draft", {"rows": 110}, ""),  # the draft forbids them, and its log-probabilities are processed
        ("draft", {"rows": 110, "processed": False}, "its log-probabilities count 10 padding rows"),
        ("target", {"rows": 110, "cuts_padding": True}, ""),
        ("draft", {"rows": 2000}, "it has 1900 padding rows, too many to forbid"),
        ("draft", {"rows": 2000, "cuts_padding": True}, ""),
        ("target", {"rows": 100}, ""),
        ("target", {"rows": 90}, ""),
        ("target", {"rows": 0}, "does not report how many rows"),
        ("target", {"rows": 0, "cuts_padding": True}, ""),
    ],
)
def test_a_hint_about_padding_appears_exactly_where_padding_has_probability(role, changes, words):
    """The tokenizer has 100 tokens."""
    hint = _padding_hint(Role(role), Facts(**FACTS | changes), 100)
    assert hint.startswith(words)
    assert bool(hint) is bool(words)
    assert not hint or "specs-llm beside vLLM" in hint


@pytest.mark.parametrize(
    "law",
    [
        SamplingParams(0.7),
        SamplingParams(1.0, 0.9),
        SamplingParams(1.0),
        SamplingParams(1.0, 0.9, top_k=20),
        SamplingParams(0.7, min_p=0.1),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"plugin": False}, {"processed": False}, {"v2": True}])
@pytest.mark.parametrize("role", [Role.DRAFT, Role.TARGET])
def test_a_hint_about_log_probabilities_appears_exactly_where_they_are_not_those_of_the_law(role, changes, law):
    facts = Facts(**FACTS | changes)
    raw = facts.raw_scores if role is Role.TARGET else not facts.processed
    hint = _sampling_hint(role, facts, law)
    scored = law.scored if role is Role.TARGET else law  # the target scores without top_k and all other filters
    assert bool(hint) is (raw and scored != SamplingParams(1.0))
    if hint:
        assert "processed_logprobs" in hint
        assert ("specs-llm beside vLLM" in hint) is (role is Role.TARGET)


@pytest.fixture
def trio(folders, tmp_path):
    """A copy of the trio, one file of which a test damages."""
    return {role: shutil.copytree(folders[role], tmp_path / role) for role in Role}


def spoil_template(folder):
    (folder / "chat_template.jinja").write_text("{{ messages[-1].content }}<bot><think>\n")


def spoil_question(folder):
    (folder / "chat_template.jinja").write_text("{{ messages[-1].content | upper }}<bot>")


def spoil_weights(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = np.full_like(tensors["model.norm.weight"], np.nan)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def spoil_head(labels):
    def spoil(folder):
        tiny.write_llama(folder, json.loads((folder / "config.json").read_text())["vocab_size"], seed=3, labels=labels)

    return spoil


def spoil_separator(folder):
    """Make the tokenizer split the blank line at whose token this format reads the reward."""
    config = json.loads((folder / "tokenizer.json").read_text())
    config["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"String": "\n"}, "behavior": "Isolated", "invert": False},
            config["pre_tokenizer"],
        ],
    }
    (folder / "tokenizer.json").write_text(json.dumps(config))


@pytest.mark.parametrize("engine", ["light", "torch"])
@pytest.mark.parametrize(
    ("role", "spoil", "message"),
    [
        (Role.DRAFT, spoil_template, "opens a <think> block"),
        (Role.TARGET, spoil_template, "opens a <think> block"),
        (Role.PRM, spoil_template, "opens a <think> block"),
        (Role.TARGET, spoil_question, "does not write the question as it is"),
        (Role.DRAFT, spoil_weights, ""),
        (Role.PRM, spoil_weights, ""),
        (Role.PRM, spoil_head(3), "3 labels"),
        (Role.PRM, spoil_separator, "2 tokens of"),
    ],
)
def test_doctor_reports_what_every_solve_would_fail_at(trio, role, spoil, message, engine, capsys):
    """A solve with these models fails at its first step or before."""
    if engine == "torch":
        pytest.importorskip("torch")
    spoil(trio[role])
    command = ["doctor", "--engine", engine, "--json", *(word for one in Role for word in (f"--{one}", str(trio[one])))]
    assert main(command) == 1
    found = json.loads(capsys.readouterr().out)
    (problem,) = (one for one in found["findings"] if one["state"] == "problem")
    assert problem["role"] == role
    assert message in problem["text"]
    assert "\n" not in problem["text"]


def test_a_template_that_refuses_system_prompts_is_found(trio):
    template = (trio[Role.TARGET] / "chat_template.jinja").read_text()
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    (trio[Role.TARGET] / "chat_template.jinja").write_text(refusing + template)
    names = {role: str(folder) for role, folder in trio.items()}
    assert states(diagnose(names, SamplingParams(), engine="light"))[-1] == (None, Severity.OK)
    *_, last = diagnose(names, SamplingParams(), engine="light", target_system="Be brief.")
    assert (last.role, last.state) == (Role.TARGET, Severity.PROBLEM)
    assert "no system role" in last.text


def test_models_that_work_alone_but_not_together_are_found(folders, monkeypatch):
    """Doctor reports any exception of an engine: here the target cannot score what the draft wrote."""
    monkeypatch.setattr(LocalPolicySession, "score", lambda *_: (_ for _ in ()).throw(IndexError("token 99")))
    *_, last = diagnose({role: str(folders[role]) for role in Role}, SamplingParams(), engine="light")
    assert (last.role, last.state, last.text) == (
        None,
        Severity.PROBLEM,
        "together they fail at a step: IndexError: token 99",
    )


@pytest.mark.parametrize("roles", [{"draft", "target"}, {"target", "prm"}, {"draft", "prm"}, {"draft"}, {"target"}])
def test_a_trial_step_uses_whichever_models_are_given(folders, roles):
    *_, last = diagnose({Role(role): str(folders[role]) for role in roles}, SamplingParams(0.9, 0.8), engine="light")
    assert last.state is Severity.OK
    assert last.text == ("together they solve a step" if len(roles) > 1 else "does its part of a step")
