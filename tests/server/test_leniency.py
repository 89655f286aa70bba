"""What the server does with requests for more than it has: tokens beyond its cap, and fields that it does not know."""

import json

import pytest

from helpers.server_app import app_of, chat_body, http_client
from specs.cli import main
from specs.server.app import ServerSettings
from specs.server.request_parsing import MAX_NAMED, RequestLimits
from specs.server.schemas import ChatRequest, CompletionRequest, unknown_fields

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
CAP = 6
STRICT = ServerSettings(request_limits=RequestLimits(tokens=CAP))
LENIENT = ServerSettings(request_limits=RequestLimits(tokens=CAP, ignore_unknown=True))


@pytest.fixture(scope="module")
def strict():
    return http_client(STRICT)


@pytest.fixture(scope="module")
def lenient():
    return http_client(LENIENT)


def body(**fields):
    return chat_body("q", max_tokens=CAP) | fields


def last_event(answer):
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return json.loads(events[-1])


def notes(answer):
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"]
    found = last_event(answer) if kind.startswith("text/event-stream") else answer.json()["choices"][0]
    return found["specs"]["notes"]


def refused(answer):
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("asked", [CAP + 1, 4096, pytest.param(10**400, id="10^400")])
def test_more_tokens_than_the_server_allows_are_cut_with_a_note(strict, name, asked, stream):
    most = strict.post(CHAT, json=body()).json()
    answer = strict.post(CHAT, json=body(stream=stream) | {"max_tokens": None, name: asked})
    assert notes(answer) == [f"{name}: cut to {CAP}, the most that this server allows"]
    if not stream:
        assert answer.json()["choices"][0]["message"] == most["choices"][0]["message"]
        assert answer.json()["usage"]["completion_tokens"] <= CAP


def test_up_to_the_cap_no_note_is_given(strict):
    for most in (CAP, 1, None):
        assert notes(strict.post(CHAT, json=body(max_tokens=most))) == []
    assert refused(strict.post(CHAT, json=body(max_tokens=0)))["param"].startswith("max_tokens")


def test_the_note_of_a_completion_names_the_same_cap(strict):
    answer = strict.post(COMPLETION, json={"model": "specs", "prompt": "q", "max_tokens": 99, "temperature": 0})
    cut, temperature = notes(answer)
    assert cut.startswith("max_tokens: cut to 6")
    assert temperature.startswith("temperature 0")


MESSAGE = {
    "role": "user",
    "content": [{"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}}],
    "id": "1",
}
UNKNOWN = {
    "repetition_penalty": ({"repetition_penalty": 1.1}, "repetition_penalty"),
    "in an answer that is sent back": (
        {
            "messages": [
                {"role": "assistant", "content": "a", "reasoning_details": [{"text": "b"}]},
                {"role": "user", "content": "q"},
            ]
        },
        "messages.0.reasoning_details",
    ),
    "in a message": ({"messages": [{"role": "user", "content": "q", "id": "1"}]}, "messages.0.id"),
    "in a part": (
        {"messages": [{"role": "user", "content": MESSAGE["content"]}]},
        "messages.0.content.0.cache_control",
    ),
    "in stream_options": (
        {"stream_options": {"continuous_usage_stats": True}},
        "stream_options.continuous_usage_stats",
    ),
    "of another route": ({"prompt": "q"}, "prompt"),
    "strange": ({"é\n'": 1}, r"\xe9\n'"),
    "of Python": ({"__class__": 1}, "__class__"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_fields_are_refused_by_name(strict, name):
    fields, path = UNKNOWN[name]
    error = refused(strict.post(CHAT, json=body(**fields)))
    assert error["param"] == path
    assert "--ignore-unknown" in error["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", UNKNOWN)
def test_with_ignore_unknown_they_change_nothing_and_the_answer_names_them(lenient, name, stream):
    fields, path = UNKNOWN[name]
    plain = lenient.post(CHAT, json=body()).json()
    answer = lenient.post(CHAT, json=body(stream=stream, **fields))
    (note,) = notes(answer)
    assert note.startswith("ignored, because there are no such fields: ")
    assert path in note
    if not stream:
        assert answer.json()["choices"][0]["message"] == plain["choices"][0]["message"]


def test_an_unknown_field_that_is_null_asks_for_nothing(strict):
    """Clients write such fields when they send an answer back (`message.model_dump()` of OpenAI's)."""
    turn = {"role": "assistant", "content": "a", "annotations": [], "tool_calls": None, "thinking": None}
    messages = [{"role": "user", "content": "q"}, turn, {"role": "user", "content": "q"}]
    assert notes(strict.post(CHAT, json=body(messages=messages, thinking=None, specs={"nothing": None}))) == []


def test_a_field_of_the_other_route_is_unknown_and_not_read(lenient):
    """Whatever its type: nothing takes it for the field of the same name that a chat has."""
    for value in ("many", -1, [], 10**30):
        asked = {"model": "specs", "prompt": "q", "max_tokens": CAP, "max_completion_tokens": value}
        (note,) = notes(lenient.post(COMPLETION, json=asked))
        assert "'max_completion_tokens'" in note


ASKS_FOR_MORE = {
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "response_format": {"type": "json_object"},
    "logprobs": True,
    "presence_penalty": 0.5,
    "store": True,
    "top_p": "1",
    "top_k": 2.5,
    "min_p": -0.1,
}


@pytest.mark.parametrize("name", ASKS_FOR_MORE)
def test_known_fields_that_the_server_cannot_honour_stay_refused(lenient, name):
    assert refused(lenient.post(CHAT, json=body(**{name: ASKS_FOR_MORE[name]})))["param"].startswith(name)


def test_unknown_options_under_specs_stay_refused(lenient):
    """Only this server has them, so they are misspelt."""
    error = refused(lenient.post(CHAT, json=body(specs={"tua": 0.5}, repetition_penalty=1.1)))
    assert error["param"] == "specs.tua"
    assert "--ignore-unknown" not in error["message"]


def test_a_note_names_only_so_many_fields(lenient):
    (note,) = notes(lenient.post(CHAT, json=body(**{f"field{k}": k for k in range(5000)})))
    assert note.count("field") == MAX_NAMED + 1
    assert note.endswith(f"and {5000 - MAX_NAMED} more")
    (note,) = notes(lenient.post(CHAT, json=body(**{"x" * 100_000: 1})))
    assert len(note) < 1000


BODIES = ("ChatRequest", "CompletionRequest", "Message", "TextPart")


def test_the_openapi_document_says_whether_unknown_fields_are_accepted():
    for settings, accepted in ((STRICT, False), (LENIENT, True)):
        schemas = app_of(settings).openapi()["components"]["schemas"]
        for name in (*BODIES, "StreamOptions", "ReasoningOptions", "TemplateOptions"):
            assert schemas[name]["additionalProperties"] == (accepted or {"type": "null"}), name
        assert schemas["SpecsOptions"]["additionalProperties"] == {"type": "null"}


def test_known_fields_are_not_unknown():
    chat = ChatRequest.model_validate(chat_body("q", specs={"n": 2}, metadata={"a": "b"}, logit_bias={}))
    completion = CompletionRequest.model_validate({"model": "specs", "prompt": "q", "stop": ["a"], "logprobs": None})
    assert [*unknown_fields(chat), *unknown_fields(completion)] == []


def test_the_switch_is_off_by_default(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    assert "--ignore-unknown" in capsys.readouterr().out
    assert not RequestLimits().ignore_unknown
