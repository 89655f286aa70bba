"""The API through OpenAI's own client, on the bundled models: it answers what is asked, or says why it cannot."""

import json
import math
import re
from collections import Counter
from dataclasses import replace

import httpx2
import numpy as np
import openai
import pytest

from helpers import toy
from helpers.server_app import app_of, chat_body, http_client, running_server
from specs import api
from specs.bundled.problems import generate
from specs.config.describe import describe
from specs.config.presets import Preset
from specs.methods.registry import NAMES
from specs.server.app import ServerSettings
from specs.server.request_parsing import RequestLimits
from specs.server.schemas import UNSUPPORTED, ChatRequest, CompletionRequest, SpecsOptions
from specs.traces.codec import result_from
from specs.types import Chat, Turn

QUESTION = generate("medium", 1_000_004).question
USER = {"role": "user", "content": QUESTION}


@pytest.fixture(scope="module")
def models():
    return api.load()


@pytest.fixture(scope="module")
def address(models):
    with running_server(app_of(models=models, max_running=1, max_waiting=8)) as url:
        yield url


@pytest.fixture
def client(address):
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def chat(client, model="specs", messages=(USER,), **fields):
    return client.chat.completions.create(model=model, messages=list(messages), **fields)


def ours(answer):
    return answer.choices[0].model_extra["specs"]


def test_an_answer_is_the_solve_with_its_seed(client, models):
    for model, method in (("specs", "specs"), ("beam", "beam"), ("target", "target")):
        answer = chat(client, model, seed=3, max_completion_tokens=300)
        result = api.solve(QUESTION, models, method, seed=3, max_tokens=300)
        choice = answer.choices[0]
        assert choice.message.content == result.text
        assert choice.message.role == "assistant"
        assert choice.finish_reason == "stop"
        assert answer.model == model
        assert ours(answer)["answer"] == result.answer is not None
        assert (ours(answer)["seed"], ours(answer)["method"]) == (3, method)
        use = answer.usage
        assert use.completion_tokens == sum(len(step.step.token_ids) for step in result.accepted)
        assert use.total_tokens == use.prompt_tokens + use.completion_tokens
        for role, counts in result.usage.items():
            assert use.model_extra["by_role"][role]["generated"] == counts.generated
            assert use.model_extra["by_role"][role]["prompt"] == counts.prompt


def test_a_stream_is_the_same_answer_step_by_step(client, models):
    result = api.solve(QUESTION, models, seed=3)
    chunks = list(chat(client, seed=3, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    contents = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert contents == [step.step.text for step in result.accepted]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    whole = chat(client, seed=3).usage
    assert chunks[-1].usage.prompt_tokens == whole.prompt_tokens
    assert chunks[-1].usage.completion_tokens == whole.completion_tokens
    assert chunks[-1].usage.by_role["target"] == whole.by_role["target"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chat(client, seed=3, stream=True))


def test_a_trace_can_be_returned_with_the_answer(client, models):
    extra = {"specs": {"trace": True}}
    whole = ours(chat(client, seed=3, extra_body=extra))["result"]
    result = api.solve(QUESTION, models, seed=3)
    read = result_from(whole, "the answer")
    assert read.text == result.text
    assert [step.step.token_ids for step in read.steps] == [step.step.token_ids for step in result.steps]
    chunks = list(chat(client, seed=3, stream=True, extra_body=extra))
    steps = [
        chunk.model_extra["specs"]["step"] for chunk in chunks if "step" in (chunk.model_extra or {}).get("specs", {})
    ]
    assert [step["text"] for step in steps] == [step["text"] for step in whole["steps"]]
    for step in steps:
        assert len(step["candidates"]) == 8
        assert step["candidates"][step["chosen"]]["text"] == step["text"]
    assert chunks[-1].model_extra["specs"]["result"]["text"] == result.text


def test_several_answers_have_consecutive_seeds(client):
    together = chat(client, n=3, seed=5)
    alone = [chat(client, seed=5 + k).choices[0].message.content for k in range(3)]
    assert [choice.index for choice in together.choices] == [0, 1, 2]
    assert [choice.message.content for choice in together.choices] == alone
    texts = Counter()
    for chunk in chat(client, n=3, seed=5, stream=True):
        texts[chunk.choices[0].index] = (texts[chunk.choices[0].index] or "") + (chunk.choices[0].delta.content or "")
    assert [texts[k] for k in range(3)] == alone


def test_a_seed_is_drawn_and_reported_if_none_is_given(client):
    one, other = chat(client), chat(client)
    assert ours(one)["seed"] != ours(other)["seed"]
    assert chat(client, seed=ours(one)["seed"]).choices[0].message.content == one.choices[0].message.content


def test_answers_end_before_a_stop(client):
    text = chat(client, seed=3).choices[0].message.content
    word = text.split()[-4]
    for stop in (word, ["nowhere", word]):
        answer = chat(client, seed=3, stop=stop)
        assert answer.choices[0].message.content == text[: text.index(word)]
        assert answer.choices[0].finish_reason == "stop"
        assert ours(answer)["finish_reason"] == "stop_string"
        streamed = "".join(
            chunk.choices[0].delta.content or "" for chunk in chat(client, seed=3, stop=stop, stream=True)
        )
        assert streamed == text[: text.index(word)]


def test_answers_end_at_their_cap_of_tokens(client):
    for name in ("max_tokens", "max_completion_tokens"):
        answer = chat(client, seed=3, **{name: 20})
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 20


def test_temperature_zero_takes_the_best_candidate_with_a_fixed_seed_and_says_so(client, models):
    answer = chat(client, temperature=0)
    result = api.solve(QUESTION, models, seed=0, select="best")
    assert answer.choices[0].message.content == result.text
    assert ours(answer)["notes"] == [
        "temperature 0: the best candidate of each step, seed 0 unless you set one; candidates are sampled at 0.7"
    ]
    assert (
        chat(client, temperature=0, seed=4).choices[0].message.content
        == api.solve(QUESTION, models, seed=4, select="best").text
    )


def test_temperature_and_top_p_set_the_law(client, models):
    answer = chat(client, temperature=1.1, top_p=0.9, seed=2)
    assert answer.choices[0].message.content == api.solve(QUESTION, models, seed=2, temperature=1.1, top_p=0.9).text


@pytest.mark.parametrize("filters", [{"top_k": 3}, {"min_p": 0.3}, {"top_k": 5, "min_p": 0.02}], ids=str)
def test_top_k_and_min_p_set_the_law_too(client, models, filters):
    """They are not OpenAI's, so its client sends them in `extra_body`."""
    answer = chat(client, temperature=1.1, top_p=0.9, seed=2, extra_body=filters)
    wanted = api.solve(QUESTION, models, seed=2, temperature=1.1, top_p=0.9, **filters)
    assert answer.choices[0].message.content == wanted.text
    completed = client.completions.create(
        model="specs", prompt=QUESTION, max_tokens=60, temperature=1, seed=2, extra_body=filters
    )
    raw = {"chat": Chat(template=False), "max_tokens": 60, "temperature": 1}
    continued = api.solve(QUESTION, models, seed=2, **raw, **filters)
    assert completed.choices[0].text == continued.text


def test_filters_that_are_off_change_nothing(client, models):
    """0 is off, and -1 for `top_k`, as on vLLM."""
    plain = chat(client, seed=2).choices[0].message.content
    for off in ({"top_k": -1}, {"top_k": 0, "min_p": 0}):
        assert chat(client, seed=2, extra_body=off).choices[0].message.content == plain


def test_a_request_may_set_options_of_the_method(client, models):
    own = {"n": 3, "beta": 5.0, "tau": 0.9, "max_steps": 2, "max_step_tokens": 40}
    answer = chat(client, seed=2, extra_body={"specs": own})
    assert answer.choices[0].message.content == api.solve(QUESTION, models, seed=2, **own).text
    answer = chat(client, seed=2, extra_body={"specs": {"method": "beam", "n": 4, "width": 2}})
    assert answer.choices[0].message.content == api.solve(QUESTION, models, "beam", n=4, width=2, seed=2).text


def test_a_conversation_is_laid_out_by_the_chat_template(client, models):
    before = [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "Tom has 4 nuts."},
        {"role": "assistant", "content": [{"type": "text", "text": "So "}, {"type": "text", "text": "4."}]},
    ]
    answer = chat(client, messages=[*before, USER], seed=2)
    turns = Chat((Turn("system", "Think."), Turn("user", "Tom has 4 nuts."), Turn("assistant", "So 4.")))
    result = api.solve(QUESTION, models, seed=2, chat=turns)
    assert answer.choices[0].message.content == result.text
    turn_ids = models.target.text.encode("Think."), models.target.text.encode("So 4.")
    prompt = result.prompt_token_ids["target"]
    for ids in turn_ids:
        assert any(list(prompt[k : k + len(ids)]) == ids for k in range(len(prompt)))
    assert result.prompt_token_ids["prm"] == models.prm.prompt(turns.as_single_question(QUESTION))


def test_completions_continue_a_text(client, models):
    prompts = ["<|user|>" + QUESTION + "<|assistant|>", "Tom has"]
    answer = client.completions.create(model="specs", prompt=prompts, n=2, seed=7, max_tokens=60)
    assert answer.object == "text_completion"
    expected = [
        api.solve(prompt, models, seed=seed, chat=Chat(template=False), max_tokens=60).text
        for prompt in prompts
        for seed in (7, 8)
    ]
    assert [choice.text for choice in answer.choices] == expected
    ids = models.target.prompt(prompts[0], Chat(template=False))
    assert ids == models.target.prompt(QUESTION)  # the chat template gives the same ids
    chunks = list(client.completions.create(model="specs", prompt=prompts[0], seed=7, max_tokens=60, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == expected[0]


def test_models_are_listed_by_name(client):
    names = [model.id for model in client.models.list()]
    assert {"specs", "specs-fast", "beam", "best-of-n", "target", "draft"} <= set(names)
    for name in names:
        assert client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


@pytest.mark.slow
def test_models_list_their_options_and_defaults(client):
    for model in client.models.list():
        said = model.specs["options"]
        extra = {"specs": {"trace": True}}
        trace = ours(chat(client, model.id, seed=1, max_tokens=20, extra_body=extra))["result"]
        assert said == {name: trace["settings"]["method"][name] for name in said}, model.id
        for name, value in {"n": 2, "beta": 3.0, "tau": 0.5, "width": 1, "threshold": 0.5}.items():
            if name not in said:
                with pytest.raises(openai.BadRequestError) as error:
                    chat(client, model.id, extra_body={"specs": {name: value}})
                assert error.value.body["param"] == f"specs.{name}"


@pytest.mark.slow
def test_every_model_answers(client):
    """Methods with ratings need a target with single digits as tokens, which the bundled target has."""
    for model in client.models.list():
        answer = chat(client, model.id, seed=1, max_tokens=100)
        assert answer.choices[0].finish_reason in ("stop", "length"), model.id


def test_an_unknown_model_is_refused_by_name(client):
    with pytest.raises(openai.NotFoundError) as error:
        chat(client, "gpt-\n4")
    assert error.value.body["code"] == "model_not_found"
    assert r"'gpt-\n4'" in error.value.body["message"]


ASKS = {
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": "required",
    "functions": [{"name": "f"}],
    "function_call": {"name": "f"},
    "logprobs": True,
    "top_logprobs": 3,
    "frequency_penalty": 0.5,
    "presence_penalty": -1.0,
    "logit_bias": {"5": 1},
    "response_format": {"type": "json_object"},
    "modalities": ["audio"],
    "audio": {"voice": "a", "format": "wav"},
    "prediction": {"type": "content", "content": "a"},
    "reasoning_effort": "high",
    "verbosity": "low",
    "service_tier": "flex",
    "store": True,
    "web_search_options": {},
    "no_such_field": 1,
    "temperature": 1e-300,
    "top_p": 0,
    "top_k": -2,
    "min_p": 1.5,
    "n": 0,
    "max_tokens": 0,
    "seed": 0.5,
    "stop": [""],
    "stream": "yes",
}


@pytest.mark.parametrize("name", ASKS)
def test_unsupported_requests_are_refused_by_name(client, name):
    with pytest.raises(openai.BadRequestError) as error:
        chat(client, extra_body={name: ASKS[name]})
    assert error.value.body["param"].split(".")[0] == name
    assert error.value.body["message"].startswith(name)
    assert error.value.body["type"] == "invalid_request_error"


@pytest.mark.parametrize("name", ["echo", "logprobs", "suffix", "best_of"])
def test_unsupported_completions_are_refused_by_name(client, name):
    value = {"echo": True, "logprobs": 1, "suffix": "a", "best_of": 3}[name]
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(model="specs", prompt="a", extra_body={name: value})
    assert error.value.body["param"].split(".")[0] == name


def test_unsupported_fields_with_neutral_values_are_accepted(client):
    neutral = {
        "tools": [], "tool_choice": "none", "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {},
        "logprobs": False, "response_format": {"type": "text"}, "modalities": ["text"], "store": False,
        "user": "someone", "metadata": {"a": "b"}, "parallel_tool_calls": True, "service_tier": "auto",
    }  # fmt: skip
    assert chat(client, seed=3, **neutral).choices[0].message.content == chat(client, seed=3).choices[0].message.content


@pytest.mark.parametrize(
    ("own", "param"),
    [
        ({"n": 0}, "specs.n"),
        ({"n": 65}, "specs.n"),
        ({"n": 2.5}, "specs.n"),
        ({"beta": 0}, "specs.beta"),
        ({"tau": 1.5}, "specs.tau"),
        ({"deadline_s": 0}, "specs.deadline_s"),
        ({"width": 2}, "specs.width"),
        ({"method": "beam", "tau": 0.5}, "specs.tau"),
        ({"method": "nothing"}, "specs"),
        ({"method": "beam", "width": 3}, "specs"),
        ({"max_step_tokens": 100_000}, "specs.max_step_tokens"),
        ({"seed": 1}, "specs.seed"),
        ({"nothing": 1}, "specs.nothing"),
    ],
)
def test_invalid_options_are_refused_by_name(client, own, param):
    with pytest.raises(openai.BadRequestError) as error:
        chat(client, seed=2, extra_body={"specs": own})
    assert error.value.body["param"] == param


def test_conversations_without_a_question_at_the_end_are_refused(client):
    for messages in (
        [USER, {"role": "assistant", "content": "So"}],
        [{"role": "user", "content": " "}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a"}}]}],
        [{"role": "tool", "content": "a", "tool_call_id": "b"}],
        [],
    ):
        with pytest.raises(openai.BadRequestError) as error:
            chat(client, messages=messages)
        assert error.value.body["param"].startswith("messages")


def test_a_question_beyond_every_context_is_refused(client):
    with pytest.raises(openai.BadRequestError) as error:
        chat(client, messages=[{"role": "user", "content": "nuts " * 20_000}])
    assert error.value.body["code"] == "context_length_exceeded"


def test_presets_are_models(models):
    law = {"temperature": 0.9, "top_p": 1.0, "max_step_tokens": 32}
    client = http_client(models=models, presets={"quick": Preset("specs", {"n": 2, "tau": 0.5}, law, {})})
    answer = client.post("/v1/chat/completions", json=chat_body(QUESTION, model="quick", max_tokens=300)).json()
    result = api.solve(QUESTION, models, seed=1, n=2, tau=0.5, max_tokens=300, **law)
    assert answer["choices"][0]["message"]["content"] == result.text
    assert "quick" in [model["id"] for model in client.get("/v1/models").json()["data"]]


def test_every_method_is_listed_in_its_group_with_its_description(models):
    presets = {"quick": Preset("beam", {"n": 2}, {}, {})}
    listed = http_client(models=models, presets=presets).get("/v1/models").json()["data"]
    entries = {entry["id"]: entry["specs"] for entry in listed}
    assert set(NAMES) <= set(entries)
    for name, entry in entries.items():
        found = describe(entry["method"])
        assert entry["group"] == ("Presets" if name == "quick" else found.group)
        if name in NAMES:
            assert entry["description"] == found.summary.rstrip(".")


def test_the_page_says_what_the_models_can_solve_only_if_that_is_known():
    said = "They can <only> add."
    assert 'id="scope"' not in http_client().get("/").text
    page = http_client(models=replace(toy.models(), scope=said)).get("/").text
    assert '<p id="scope">They can &lt;only&gt; add.</p>' in page


def test_the_server_caps_candidates():
    client = http_client(ServerSettings(request_limits=RequestLimits(n=4, tokens=10)))
    assert client.post("/v1/chat/completions", json=chat_body("q", max_tokens=10)).json()["error"]["param"] == "specs.n"
    assert client.post("/v1/chat/completions", json=chat_body("q", max_tokens=10, specs={"n": 4})).status_code == 200


def test_more_answers_than_the_queue_holds_are_refused(models):
    client = http_client(max_waiting=1)
    answer = client.post("/v1/chat/completions", json=chat_body("q", n=3))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "n"
    assert client.post("/v1/chat/completions", json=chat_body("q", n=2)).status_code == 200


def test_an_engine_that_fails_answers_502_and_is_counted_as_failed():
    from specs.errors import EngineError

    def failing(ids):
        raise EngineError("the model is gone")

    client = http_client(draft=failing, target=failing)
    answer = client.post("/v1/chat/completions", json=chat_body("q"))
    assert answer.status_code == 502
    assert "the model is gone" in answer.json()["error"]["message"]
    lines = client.post("/v1/chat/completions", json=chat_body("q", stream=True)).text.splitlines()
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert json.loads(events[-2])["error"]["code"] == "engine_error"
    assert events[-1] == "[DONE]"
    assert 'specs_failed_total{model="specs"} 2.0' in client.get("/metrics").text


@pytest.mark.parametrize(("role", "begun"), [("draft", (1,)), ("target", (1, 1))])
def test_invalid_logits_answer_502_and_the_server_continues(role, begun):
    """Only some solves meet them."""

    def sometimes(ids):
        row = toy.table(3, end=-6.0)(ids)
        return np.full(5, np.nan) if ids[: len(begun)] == begun else row

    client = http_client(**{role: sometimes})
    statuses = Counter()
    for seed in range(12):
        answer = client.post("/v1/chat/completions", json=chat_body("q", seed=seed))
        statuses[answer.status_code] += 1
        if answer.status_code == 502:
            error = answer.json()["error"]
            assert (error["code"], error["type"]) == ("engine_error", "server_error")
            assert re.search(r"[pq]: logits are not finite \(NaN\); ", error["message"])
    assert set(statuses) == {200, 502}


def test_an_invalid_reward_answers_502(models):
    answer = http_client(rate=lambda steps: math.nan).post("/v1/chat/completions", json=chat_body("q"))
    assert answer.status_code == 502
    assert "r: rewards are not finite (NaN)" in answer.json()["error"]["message"]


def test_metrics_count_solves_steps_and_tokens(models):
    client = http_client(models=models)
    result = api.solve(QUESTION, models, seed=1)
    answer = client.post("/v1/chat/completions", json=chat_body(QUESTION, max_tokens=2048)).json()
    text = client.get("/metrics").text
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}
    assert values['specs_solves_total{finish="answer",model="specs"}'] == 1
    by_draft = sum(step.writer == "draft" for step in result.accepted)
    assert values['specs_steps_total{outcome="accepted",writer="draft"}'] == by_draft
    for role, counts in answer["usage"]["by_role"].items():
        for kind in ("processed", "generated", "discarded"):
            assert values[f'specs_tokens_total{{kind="{kind}",role="{role}"}}'] == counts[kind]
    assert values['specs_solve_seconds_count{model="specs"}'] == 1
    assert values['specs_step_seconds_count{phase="draft"}'] >= by_draft
    assert values["specs_waiting"] == values["specs_running"] == 0
    assert values['specs_requests_total{route="/v1/chat/completions",status="200"}'] == 1


def test_the_openapi_document_describes_what_is_accepted(address):
    document = httpx2.get(f"{address}/openapi.json").json()
    assert {"/v1/chat/completions", "/v1/completions", "/v1/models", "/health", "/version"} <= set(document["paths"])
    assert "422" not in json.dumps(document["paths"])
    fields = document["components"]["schemas"]["ChatRequest"]["properties"]
    assert set(fields) == set(ChatRequest.model_fields)


def test_every_refusal_belongs_to_a_field():
    fields = {*ChatRequest.model_fields, *CompletionRequest.model_fields, "tool_calls"}
    assert set(UNSUPPORTED) <= fields
    assert all(re.match("^[a-z]", why) for why in UNSUPPORTED.values())
    assert {"n", "beta", "tau", "method", "deadline_s", "seed", "trace"} <= set(SpecsOptions.model_fields)


def test_health_and_version(address):
    assert httpx2.get(f"{address}/health").json()["status"] == "ok"
    assert httpx2.get(f"{address}/version").json()["models"]["prm"] == "bundled:prm"
