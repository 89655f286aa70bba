"""Thinking through the API: what requests ask for, which text is thinking and which the answer, and what is counted."""

import json
from dataclasses import replace
from types import SimpleNamespace

import openai
import pytest

from helpers.server_app import app_of, captured_log, http_client, running_server
from helpers.thinkers import NEVER, SILENT, SPECIAL, TEXT, THINKING, thinkers
from specs import api
from specs.cli import main
from specs.cli import serve as serve_command
from specs.engines.local.tabular import TabularPolicy
from specs.errors import ModelError
from specs.methods.early_exit import Deer
from specs.server.app import ServerSettings
from specs.server.model_catalog import build_catalog, default_model
from specs.server.request_parsing import RequestLimits, parse_request
from specs.server.schemas import ChatRequest
from specs.types import NO_CONTEXT, Phase

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
SEEDS = range(12)
MARKS = ("</think>", "<think>")
MODELS = thinkers(close=-1.0, end=-2.0)


def client_of(models=MODELS, most=40, think=False, **limits):
    return http_client(
        ServerSettings(request_limits=RequestLimits(tokens=30, think=think, thinking_tokens=most, **limits)),
        models=models,
        max_waiting=32,
    )


def body(seed=1, **fields):
    return {"messages": [{"role": "user", "content": "q"}], "seed": seed, "temperature": 1.0, **fields}


def asked(client, seed=1, **fields):
    answer = client.post(CHAT, json=body(seed, **fields))
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client, route=CHAT, **fields):
    answer = client.post(route, json=fields if route == COMPLETION else body(**fields))
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def chunks_of(client, seed=1, **fields):
    text = client.post(CHAT, json=body(seed, stream=True, **fields)).text
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(one) for one in data[:-1]]


def joined(chunks, name):
    return "".join(chunk["choices"][0]["delta"].get(name) or "" for chunk in chunks if chunk["choices"])


def settings_of(answer):
    return answer["choices"][0]["specs"]["result"]["settings"]


def budget(answer):
    """The tokens of thinking that a request with `specs.trace` got; None if the models did not think."""
    return settings_of(answer)["limits"].get("max_thinking_tokens")


TRACE = {"trace": True}
ON = {"reasoning_effort": "max"}
WISHES = {
    "nothing": ({}, None),
    "no effort": ({"reasoning_effort": "none"}, None),
    "minimal": ({"reasoning_effort": "minimal"}, 2048),
    "low": ({"reasoning_effort": "low"}, 2048),
    "medium": ({"reasoning_effort": "medium"}, 8192),
    "high": ({"reasoning_effort": "high"}, 16_384),
    "xhigh": ({"reasoning_effort": "xhigh"}, 20_000),
    "max": ({"reasoning_effort": "max"}, 20_000),
    "vLLM on": ({"chat_template_kwargs": {"enable_thinking": True}}, 20_000),
    "vLLM off": ({"chat_template_kwargs": {"enable_thinking": False}}, None),
    "DeepSeek on": ({"chat_template_kwargs": {"thinking": True}}, 20_000),
    "no switch": ({"chat_template_kwargs": {}}, None),
    "OpenRouter effort": ({"reasoning": {"effort": "low"}}, 2048),
    "OpenRouter tokens": ({"reasoning": {"max_tokens": 77}}, 77),
    "OpenRouter on": ({"reasoning": {"enabled": True}}, 20_000),
    "OpenRouter off": ({"reasoning": {"enabled": False}}, None),
    "OpenRouter hidden": ({"reasoning": {"exclude": True}}, None),
    "agreeing": ({"reasoning_effort": "low", "reasoning": {"max_tokens": 2048, "enabled": True}}, 2048),
    "on and an effort": ({"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "medium"}, 8192),
}


@pytest.mark.parametrize("name", WISHES)
def test_every_dialect_asks_for_the_same(name):
    fields, tokens = WISHES[name]
    answer = asked(client_of(most=20_000), model="target", specs=TRACE, **fields)
    assert budget(answer) == tokens
    assert ("thinking" in settings_of(answer)) == (tokens is not None)
    assert answer["choices"][0]["specs"]["notes"] == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"reasoning": {"effort": "most"}}, "reasoning.effort"),
        ({"reasoning": {"max_tokens": 0}}, "reasoning.max_tokens"),
        ({"reasoning": {"budget": 5}}, "reasoning.budget"),
        ({"reasoning": "high"}, "reasoning"),
        ({"include_reasoning": "yes"}, "include_reasoning"),
        ({"chat_template_kwargs": {"enable_thinking": 1}}, "chat_template_kwargs.enable_thinking"),
        ({"chat_template_kwargs": {"tools": []}}, "chat_template_kwargs.tools"),
        ({"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}},
         "chat_template_kwargs.enable_thinking"),
        ({"reasoning_effort": "low", "reasoning": {"enabled": False}}, "reasoning.enabled"),
        ({"chat_template_kwargs": {"enable_thinking": True, "thinking": False}}, "chat_template_kwargs.thinking"),
        ({"reasoning": {"effort": "none", "max_tokens": 5}}, "reasoning.max_tokens"),
        ({"reasoning_effort": "low", "reasoning": {"effort": "medium"}}, "reasoning.effort"),
        ({"reasoning": {"effort": "high", "max_tokens": 5}}, "reasoning.max_tokens"),
        ({"include_reasoning": True, "reasoning": {"exclude": True}}, "reasoning.exclude"),
        ({"include_reasoning": False, "reasoning": {"exclude": False}}, "reasoning.exclude"),
    ],
)  # fmt: skip
def test_unknown_values_and_contradictions_are_refused_by_name(fields, param):
    error = refused(client_of(), **fields)
    assert error["param"] == param
    assert param in error["message"]


@pytest.mark.parametrize("fields", [{"reasoning_effort": "low"}, {"reasoning": {"max_tokens": 41}}])
def test_a_larger_budget_is_cut_with_a_note(fields):
    answer = asked(client_of(), model="target", specs=TRACE, **fields)
    (note,) = answer["choices"][0]["specs"]["notes"]
    assert note.startswith(next(iter(fields)))
    assert "cut to 40 tokens" in note
    assert budget(answer) == 40
    for allowed in ({"reasoning": {"max_tokens": 40}}, {"reasoning_effort": "max"}):
        answer = asked(client_of(), model="target", specs=TRACE, **allowed)
        assert (budget(answer), answer["choices"][0]["specs"]["notes"]) == (40, [])


def test_the_server_may_think_by_default():
    thinking = client_of(think=True)
    assert budget(asked(thinking, model="target", specs=TRACE)) == 40
    for off in ({"reasoning_effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}):
        assert budget(asked(thinking, model="target", specs=TRACE, **off)) is None
    answer = thinking.post(COMPLETION, json={"model": "target", "prompt": "q", "seed": 1}).json()
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


def test_early_exits_are_for_all_requests_that_think():
    client = client_of(early_exit=Deer())

    def settings(**fields):
        return settings_of(asked(client, model="target", specs=TRACE, **fields))

    assert settings(**ON)["early_exit"]["rule"] == "deer"
    assert "early_exit" not in settings()


def test_a_request_without_a_model_gets_specreason_in_thinking():
    client = client_of()
    for fields, name in ((ON, "specreason"), ({}, next(iter(build_catalog(MODELS))))):
        answer = asked(client, **fields)
        assert answer["model"] == name
        assert answer["choices"][0]["specs"]["method"] == name
    assert asked(client, model="beam", **ON)["model"] == "beam"
    assert asked(client_of(replace(MODELS, draft=None)), **ON)["model"] == "target"
    assert asked(client_of(replace(MODELS, target=None)), **ON)["model"] == "draft"
    for think in (False, True):
        listed = client_of(think=think).get("/v1/models").json()["data"]
        usual = [entry["id"] for entry in listed if entry["specs"]["default"]]
        assert usual == [default_model(build_catalog(MODELS), think)]


def test_models_that_cannot_think_refuse_only_those_who_ask():
    silent = client_of(thinkers(SILENT))
    for fields, param in (
        (ON, "reasoning_effort"),
        ({"chat_template_kwargs": {"thinking": True}}, "chat_template_kwargs.thinking"),
        ({"reasoning": {"max_tokens": 9}}, "reasoning.max_tokens"),
    ):
        error = refused(silent, model="target", **fields)
        assert error["param"] == param
        assert "has no way to think" in error["message"]
        assert f"leave out {param}" in error["message"]
        assert "--think" not in error["message"]
    for fields in ({}, {"reasoning_effort": "none"}, {"include_reasoning": True}):
        assert "reasoning" not in asked(silent, model="target", **fields)["choices"][0]["message"]


def test_a_conversation_in_which_the_template_cannot_think_is_refused():
    class Closed(TabularPolicy):
        def prompt(self, question, chat=NO_CONTEXT):
            if chat.think:
                raise ModelError("the template closes the block; leave out 'think' (--think)")
            return super().prompt(question, chat)

    client = client_of(replace(MODELS, target=Closed("p", TEXT, MODELS.target.backend.table)))
    error = refused(client, model="target", **ON)
    assert error["param"] == "messages"
    assert error["message"] == "messages: the template closes the block; leave out reasoning_effort"
    assert asked(client, model="target")


def test_methods_over_whole_solutions_cannot_think():
    error = refused(client_of(), model="majority", **ON)
    assert error["param"] == "reasoning_effort"
    assert "method majority chooses among whole solutions" in error["message"]
    assert "leave out reasoning_effort" in error["message"]
    answer = asked(client_of(think=True), model="majority", specs=TRACE)
    (note,) = answer["choices"][0]["specs"]["notes"]
    assert note.startswith("answered without thinking: method majority chooses among whole solutions")
    assert budget(answer) is None
    plain = asked(client_of(), model="majority", specs=TRACE)
    assert answer["choices"][0]["message"] == plain["choices"][0]["message"]


@pytest.mark.parametrize(
    "fields", [ON, {"chat_template_kwargs": {"enable_thinking": True}}, {"reasoning": {"effort": "low"}}]
)
def test_completions_cannot_think(fields):
    error = refused(client_of(), COMPLETION, model="target", prompt="q", **fields)
    assert error["param"].split(".")[0] == next(iter(fields))
    assert "/v1/chat/completions" in error["message"]
    off = {"model": "target", "prompt": "q", "reasoning_effort": "none", "reasoning": {"enabled": False}}
    assert client_of().post(COMPLETION, json=off).status_code == 200


METHODS = ("specreason", "target", "specs", "beam", "prm-free")


def solved(name, seed, models=MODELS, tokens=40, **options):
    """The solve that a request means."""
    law = {"temperature": 1.0, "think": True, "max_thinking_tokens": tokens, "max_tokens": 30}
    return api.solve("q", models, name, seed=seed, **law, **options)


def shown_thinking(thinking):
    """The thinking without its marker and what follows that."""
    if thinking.endswith(THINKING.closing):
        return thinking.removesuffix("</think>\n\n")
    return thinking.removesuffix("</think>")


@pytest.mark.parametrize("name", METHODS)
def test_thinking_and_answer_are_apart_whole_and_streamed(name):
    client = client_of(most=8)
    own = forced = unfinished = 0
    for seed in SEEDS:
        result = solved(name, seed, tokens=8)
        answer, chunks = asked(client, seed, model=name, **ON), chunks_of(client, seed, model=name, **ON)
        message = answer["choices"][0]["message"]
        assert message["content"] == joined(chunks, "content") == result.answer_text
        assert message["reasoning"] == message["reasoning_content"] == shown_thinking(result.thinking)
        assert joined(chunks, "reasoning") == joined(chunks, "reasoning_content") == message["reasoning"]
        assert answer["choices"][0]["specs"]["answer"] == result.answer
        assert answer["choices"][0]["specs"]["thinking_end"] == result.thinking_end
        opening, *deltas = (chunk["choices"][0]["delta"] for chunk in chunks)
        assert opening == {"role": "assistant", "content": ""}
        parts = [name for delta in deltas for name in delta if name != "reasoning_content"]
        assert parts == sorted(parts, key=["reasoning", "content"].index)
        own += result.thinking.endswith("</think>")
        forced += result.thinking.endswith(THINKING.closing)
        unfinished += not result.answer_text
    assert own
    assert forced
    assert unfinished or name != "target"


def test_each_step_of_the_thinking_is_a_chunk_of_its_own():
    most = 0
    for seed in SEEDS:
        chunks = chunks_of(client_of(), seed, model="target", **ON)
        thinking = [chunk["choices"][0]["delta"] for chunk in chunks if "reasoning" in chunk["choices"][0]["delta"]]
        steps = [record for record in solved("target", seed).accepted if record.phase is Phase.THINKING]
        shown = [shown_thinking(step.text) for step in steps]
        assert [delta["reasoning"] for delta in thinking] == [text for text in shown if text]
        assert not any("content" in delta for delta in thinking)
        most = max(most, len(steps))
    assert most > 3


def test_no_marker_leaks_however_the_thinking_closes():
    """Closed by the model or by the budget, with a marker that has a text of its own or not."""
    for text in (TEXT, SPECIAL):
        for close in (0.5, NEVER):
            models = thinkers(text, close=close, end=NEVER)
            client = client_of(models, most=12)
            for seed in SEEDS:
                result = solved("target", seed, models, 12)
                answer = asked(client, seed, model="target", **ON)["choices"][0]["message"]
                assert not any(mark in value for mark in MARKS for value in answer.values() if value)
                chunks = chunks_of(client, seed, model="target", **ON)
                assert (joined(chunks, "reasoning"), joined(chunks, "content")) == (
                    answer["reasoning"], answer["content"]
                )  # fmt: skip
                assert result.thinking.startswith(answer["reasoning"])
                if close == NEVER:
                    assert answer["reasoning"].endswith("Enough.\n")
                elif text is SPECIAL and not result.thinking.endswith(THINKING.closing):
                    assert answer["reasoning"] == result.thinking


@pytest.mark.parametrize("hide", [{"include_reasoning": False}, {"reasoning": {"exclude": True}}])
def test_the_thinking_can_be_left_out_and_still_counts(hide):
    client = client_of()
    whole, hidden = (asked(client, 2, model="target", reasoning_effort="max", **more) for more in ({}, hide))
    assert not {"reasoning", "reasoning_content"} & set(hidden["choices"][0]["message"])
    assert hidden["choices"][0]["message"]["content"] == whole["choices"][0]["message"]["content"]
    assert hidden["usage"] == whole["usage"]
    assert whole["choices"][0]["message"]["reasoning"]
    chunks = chunks_of(client, 2, model="target", reasoning_effort="max", **hide)
    assert joined(chunks, "reasoning") == joined(chunks, "reasoning_content") == ""
    assert joined(chunks, "content") == whole["choices"][0]["message"]["content"]


def test_tokens_of_the_thinking_are_counted_in_usage_and_metrics():
    client = client_of()
    by_writer = {"draft": 0, "target": 0}
    for seed in SEEDS:
        result = solved("specreason", seed)
        usage = asked(client, seed, **ON)["usage"]
        assert usage["completion_tokens_details"] == {"reasoning_tokens": result.thinking_tokens}
        assert usage["completion_tokens"] == sum(len(record.step.token_ids) for record in result.accepted)
        last = chunks_of(client, seed, **ON, stream_options={"include_usage": True})[-1]
        assert last["usage"]["completion_tokens_details"] == usage["completion_tokens_details"]
        for record in result.accepted:
            if record.phase is Phase.THINKING:
                by_writer[str(record.writer)] += 2 * len(record.step.token_ids)
    assert min(by_writer.values()) > 0
    metrics = client.get("/metrics").text
    for writer, tokens in by_writer.items():
        assert f'specs_thinking_tokens_total{{writer="{writer}"}} {float(tokens)}' in metrics
    assert asked(client, model="target")["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}


def test_thinking_that_a_limit_cuts_off_is_no_answer():
    client = client_of(thinkers(close=NEVER, end=NEVER))
    for fields in ({"max_steps": 2}, {"max_steps": 1}):
        answer = asked(client, model="target", specs=fields, **ON)
        (choice,) = answer["choices"]
        assert choice["finish_reason"] == "length"
        assert choice["message"]["content"] == ""
        assert choice["message"]["reasoning"]
        assert choice["specs"]["answer"] is None
        chunks = chunks_of(client, model="target", specs=fields, **ON)
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert joined(chunks, "content") == ""


ENDLESS = thinkers(close=NEVER, end=NEVER, box=NEVER)
CLOSING = len(THINKING.closing_ids)


def tokens_of(answer):
    """The tokens of the thinking, without those that close it by force, and of the answer."""
    usage = answer["usage"]
    thinking = usage["completion_tokens_details"]["reasoning_tokens"]
    return thinking - CLOSING, usage["completion_tokens"] - thinking


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_token_limit_bounds_thinking_and_answer_together(name):
    """The server allows 40 tokens of thinking and 30 of an answer; these models use all that they get."""
    client = client_of(ENDLESS)
    for value in (9, 10, 30, 51, 64, 73, 74, 75, 500):
        answer = asked(client, model="target", specs=TRACE, **{name: value}, **ON)
        thinking, rest = tokens_of(answer)
        assert thinking + CLOSING + rest == min(value, 40 + CLOSING + 30)
        assert rest >= min(30, value // 2)
        assert answer["choices"][0]["finish_reason"] == "length"
        notes = answer["choices"][0]["specs"]["notes"]
        assert any(f"{thinking} of {value} tokens are for the thinking" in note for note in notes) == (thinking < 40)
        assert any("the answer is cut to 30 tokens" in note for note in notes) == (value > 74)
    answer = asked(client, model="target", **ON)
    assert tokens_of(answer) == (40, 30)


@pytest.mark.parametrize("method", ["target", "specs", "beam"])
def test_no_answer_exceeds_the_token_limit(method):
    """Also where the thinking closes by itself, at any time."""
    client = client_of()
    longest = 0
    for seed in SEEDS:
        for value in (10, 21, 40):
            used = asked(client, seed, model=method, max_tokens=value, **ON)["usage"]["completion_tokens"]
            assert used <= value
            longest = max(longest, used)
    assert longest > 20


def test_a_smaller_budget_leaves_its_tokens_to_the_answer():
    client = client_of(ENDLESS)
    for budget, value, wanted in ((5, 39, (5, 30)), (5, 25, (5, 16)), (20, 30, (11, 15))):
        answer = asked(client, model="target", max_tokens=value, reasoning={"max_tokens": budget})
        assert tokens_of(answer) == wanted


def test_a_token_limit_without_room_for_thinking_is_refused_if_the_request_asks_for_it():
    error = refused(client_of(ENDLESS), model="target", max_tokens=2 * CLOSING, **ON)
    assert error["message"] == (
        f"reasoning_effort: max_tokens {2 * CLOSING} has no room for thinking and an answer; "
        f"give at least {2 * CLOSING + 1}"
    )
    client = client_of(ENDLESS, think=True)
    answer = asked(client, model="target", max_tokens=2 * CLOSING)
    assert answer["usage"]["completion_tokens"] == 2 * CLOSING
    assert "reasoning" not in answer["choices"][0]["message"]
    assert any("answered without thinking: max_tokens" in note for note in answer["choices"][0]["specs"]["notes"])
    assert asked(client, model="target", max_tokens=2 * CLOSING + 1)["choices"][0]["message"]["reasoning"]


@pytest.mark.parametrize("name", ["target", "specs", "beam"])
def test_stop_strings_apply_to_the_answer_alone(name):
    """Here the same string is in the thinking of most solves, and in the answer of many."""
    client, stop = client_of(), "b"
    passed = stopped = 0
    for seed in SEEDS:
        result = solved(name, seed)
        answer = asked(client, seed, model=name, stop=[stop], **ON)["choices"][0]
        chunks = chunks_of(client, seed, model=name, stop=[stop], **ON)
        found = answer["message"]
        assert found["reasoning"] == shown_thinking(result.thinking) == joined(chunks, "reasoning")
        assert found["content"] == result.answer_text.partition(stop)[0] == joined(chunks, "content")
        assert (answer["specs"]["finish_reason"] == "stop_string") == (stop in result.answer_text)
        passed += stop in found["reasoning"] and found["content"] != ""
        stopped += stop in result.answer_text
    assert passed
    assert stopped


def test_a_marker_as_a_stop_string_finds_nothing():
    for seed in SEEDS:
        answer = asked(client_of(), seed, model="target", stop=["</think>", "Enough."], **ON)["choices"][0]
        text = solved("target", seed).answer_text
        assert ("Enough." in text) or answer["message"]["content"] == text


def turns_of(messages):
    request = ChatRequest.model_validate({"model": "target", "messages": messages, "reasoning_effort": "low"})
    (solve_request,) = parse_request(request, build_catalog(MODELS), RequestLimits(), MODELS, ())
    return solve_request.chat


def test_the_thinking_of_earlier_answers_is_no_part_of_the_conversation():
    """The content stays as it is: templates themselves cut a block at its start."""
    ends = [{"role": "user", "content": "one"}, {"role": "user", "content": "q"}]
    for content in ("the answer", "<think>\nhm\n</think>\n\nthe answer"):
        plain = {"role": "assistant", "content": content}
        before = turns_of([ends[0], plain, ends[1]])
        assert before.before[1].content == content
        assert before.think
        for more in ({"reasoning": "hm"}, {"reasoning_content": "hm"}, {"reasoning": "hm", "reasoning_content": "hm"}):
            assert turns_of([ends[0], plain | more, ends[1]]) == before
    for role in ("user", "system"):
        messages = [{"role": role, "content": "one", "reasoning": "hm"}, ends[1]]
        assert refused(client_of(), model="target", messages=messages)["param"] == "messages.0.reasoning"


def test_an_answer_of_the_server_can_be_sent_back():
    client = client_of()
    message = asked(client, 3, model="target", **ON)["choices"][0]["message"]
    assert message["reasoning"]
    messages = [{"role": "user", "content": "q"}, message, {"role": "user", "content": "q"}]
    assert asked(client, model="target", messages=messages, **ON)["choices"][0]["specs"]["notes"] == []


def test_several_answers_think_each_for_itself():
    together = asked(client_of(), 3, model="target", n=3, **ON)
    alone = [asked(client_of(), 3 + k, model="target", **ON) for k in range(3)]
    assert [one["message"] for one in together["choices"]] == [one["choices"][0]["message"] for one in alone]
    tokens = [one["usage"]["completion_tokens_details"]["reasoning_tokens"] for one in alone]
    assert together["usage"]["completion_tokens_details"]["reasoning_tokens"] == sum(tokens)


def test_temperature_0_names_the_temperature_of_thinking():
    (note,) = asked(client_of(), model="target", temperature=0, **ON)["choices"][0]["specs"]["notes"]
    assert note.endswith("candidates are sampled at 0.6")


def test_the_log_names_the_model_that_was_chosen():
    client = client_of()
    with captured_log() as lines:
        asked(client, **ON)
        assert [line["model"] for line in lines() if line.get("route") == CHAT] == ["specreason"]


def test_the_client_of_openai_reads_thinking():
    settings = ServerSettings(request_limits=RequestLimits(tokens=30, thinking_tokens=40))
    with (
        running_server(app_of(settings, models=MODELS)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        given = {
            "model": "target",
            "messages": [{"role": "user", "content": "q"}],
            "seed": 3,
            "temperature": 1.0,
            "reasoning_effort": "max",
        }
        result = solved("target", 3)
        answer = client.chat.completions.create(**given)
        assert answer.choices[0].message.content == result.answer_text
        assert answer.choices[0].message.reasoning == shown_thinking(result.thinking)
        assert answer.usage.completion_tokens_details.reasoning_tokens == result.thinking_tokens
        streamed = ""
        for chunk in client.chat.completions.create(**given, stream=True):
            streamed += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
        assert streamed == shown_thinking(result.thinking)
        extra = {"chat_template_kwargs": {"enable_thinking": False}}
        with pytest.raises(openai.BadRequestError, match="contradict"):
            client.chat.completions.create(**given, extra_body=extra)


def test_serve_with_think_refuses_models_that_cannot(monkeypatch, capsys):
    pair = replace(thinkers(), draft=TabularPolicy("q", SPECIAL, lambda ids: [0.0] * SPECIAL.size))
    for models, said in ((thinkers(SILENT), "has no way to think"), (pair, "different vocabularies")):
        monkeypatch.setattr(serve_command, "_models", lambda args, models=models: models)
        assert main(["serve", "--think", "--port", "0"]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert "leave out 'think' (--think)" in err


def test_serve_takes_the_budget_and_the_default_from_its_options(monkeypatch):
    found = SimpleNamespace()

    def stop(app, runner, listening, grace):
        found.app = app

    monkeypatch.setattr(serve_command, "_models", lambda args: MODELS)
    monkeypatch.setattr("specs.server.lifecycle.serve", stop)
    assert main(["serve", "--think", "--thinking-tokens", "9", "--port", "0", "--allow-host", "testserver"]) == 0
    from starlette.testclient import TestClient

    answer = asked(TestClient(found.app), specs=TRACE)
    assert (answer["model"], budget(answer)) == ("specreason", 9)
