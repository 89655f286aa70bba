"""Numbers in the answers of a server: each is read from the right place; an invalid one is refused with its place."""

import asyncio
import base64
import copy
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from engines.test_client import FACTS, serving
from helpers import tiny
from helpers.rows import log_probabilities
from specs.core.keys import Key
from specs.engines.event_loop import wait
from specs.engines.protocol import never_stop
from specs.engines.text import HubText
from specs.engines.vllm.replicas import Replicas
from specs.engines.vllm.reward import RemoteReward
from specs.engines.vllm.server import Drawn, Server, connect
from specs.engines.vllm.session import MOST_BIASES, RemotePolicy
from specs.errors import EngineError, ModelError
from specs.rewards.families import TokenClassification
from specs.types import Candidate, End, Judge, Role, SamplingParams, StepPolicy, Trace
from specs.vllm_plugins.counting import CACHED

URL = "http://server"
PROMPT, PATHS = [1, 2, 3], [[7, 8], [9]]
PROMPTS = [[1, 2, 3], [1, 4]]
USAGE = {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2}}


def packed(rows, save=np.save):
    save(buffer := io.BytesIO(), np.array(rows, np.float32))
    return base64.b64encode(buffer.getvalue()).decode()


class Said:
    """The client of a server that gives this one answer."""

    url, failed_at = URL, None

    def __init__(self, answer):
        self.answer, self.bodies = answer, []

    async def post(self, path, body):
        self.bodies.append(body)
        return self.answer


def served(answer, **facts):
    return Server(Said(answer), replace(FACTS, **facts))


def choices(*found):
    return [{"index": index, **one} for index, one in enumerate(found)]


def token(idx, value):
    return {str(idx): {"logprob": value}}


CALLS = {
    "sample": (
        {},
        {
            "choices": choices(
                {"token_ids": [7, 8], "logprobs": {"token_logprobs": [-1.0, -2.5]}},
                {"token_ids": [9], "logprobs": {"token_logprobs": [0.0]}},
            ),
            "usage": USAGE,
        },
        lambda server: server.sample(PROMPT, SamplingParams(), 8, 0, 2),
    ),
    "next tokens": (
        {},
        {
            "choices": choices(
                {"token_ids": [7], "logprobs": {"token_logprobs": [0.0]}},
                {"token_ids": [8], "logprobs": {"token_logprobs": [0.0]}},
            ),
            "usage": USAGE,
        },
        lambda server: server.next_tokens(PROMPTS),
    ),
    "score": (
        {},
        {
            "choices": choices(
                {"prompt_logprobs": [None, token(7, -1.0), token(8, -9999.0)]},
                {"prompt_logprobs": [None, token(9, -2.5)]},
            ),
            "usage": USAGE,
        },
        lambda server: server.score(PROMPT, PATHS, SamplingParams()),
    ),
    "score at length": (
        {"plugin": False, "lists": False},
        {
            "choices": choices(
                {"prompt_logprobs": [None, {}, {}, token(7, -1), token(8, -2.5)]},
                {"prompt_logprobs": [None, {}, {}, token(9, -9999.0)]},
            ),
            "usage": USAGE,
        },
        lambda server: server.score(PROMPT, PATHS, SamplingParams()),
    ),
    "score singly": (
        {"lists": False},
        {"prompt_logprobs": [None, None, None, token(7, -1.0), token(8, -9999.0)], "usage": USAGE},
        lambda server: server.score(PROMPT, PATHS[:1], SamplingParams()),
    ),
    "score rows": (
        {"v2": True, "lists": False},
        {"prompt_token_id_logprobs": packed([[-1.0], [-np.inf]]), "usage": USAGE},
        lambda server: server.score(PROMPT, PATHS[:1], SamplingParams()),
    ),
    "labels": (
        {},
        {
            "choices": choices(
                {"logprobs": {"top_logprobs": [{"token_id:7": -0.5, "token_id:8": -9999.0}]}},
                {"logprobs": {"top_logprobs": [{"token_id:7": -1.5, "token_id:8": -0.25}]}},
            ),
            "usage": USAGE,
        },
        lambda server: server.labelled(PROMPTS, [7, 8]),
    ),
    "pooled": (
        {},
        {"data": choices({"data": [0.25, 0.75]}, {"data": [0.5, 0.5]}), "usage": USAGE},
        lambda server: server.pooled(PROMPTS),
    ),
    "pooled everywhere": (
        {},
        {"data": choices({"data": [[0.5, 0.5], [0.25, 0.75]]}, {"data": [[0.5, 0.5]]}), "usage": USAGE},
        lambda server: server.pooled(PROMPTS),
    ),
}
FOUND = {
    "sample": [Drawn((7, 8), (-1.0, -2.5)), Drawn((9,), (0.0,))],
    "next tokens": [7, 8],
    "score": [[-1.0, -math.inf], [-2.5]],
    "score at length": [[-1.0, -2.5], [-math.inf]],
    "score singly": [[-1.0, -math.inf]],
    "score rows": [[-1.0, -math.inf]],
    "labels": [[-0.5, -math.inf], [-1.5, -0.25]],
    "pooled": [[0.25, 0.75], [0.5, 0.5]],
    "pooled everywhere": [[0.25, 0.75], [0.5, 0.5]],
}


@pytest.mark.parametrize("call", CALLS)
def test_a_valid_answer_is_read(call):
    facts, answer, ask = CALLS[call]
    found, tally = asyncio.run(ask(served(answer, **facts)))
    assert found == FOUND[call]
    assert tally.cached == 2
    sequences = 2 if call == "sample" else 1
    assert tally.processed == sequences * USAGE["prompt_tokens"] - tally.cached + (call == "sample")


def places(value, path=()):
    """The paths of all values in an answer that may be read, the deepest last."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inside for place in places(one, (*path, key)))]


def put(answer, path, value):
    found = copy.deepcopy(answer)
    inside = found
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return found


def unread(call, path):
    """Whether a path lies in a row before those that were asked for, which nobody reads."""
    row = path[path.index("prompt_logprobs") + 1 :] if "prompt_logprobs" in path else ()
    first = 1 if call == "score" else len(PROMPT)
    return (row and row[0] < first) or (call == "pooled everywhere" and path[:4] == ("data", 0, "data", 0))


CASES = [
    pytest.param(call, path, id=f"{call}-{'.'.join(map(str, path))}")
    for call, (_, answer, _) in CALLS.items()
    for path in places(answer)[1:]
    if not unread(call, path)
]
WRONG = [math.nan, math.inf, 10**400, "-1.0", True, 0.5, {}, [], [[]], None]


@pytest.mark.parametrize(("call", "path"), CASES)
def test_an_invalid_value_is_refused_with_its_place(call, path):
    """Each number, row and list in turn becomes another type, NaN, infinity, null or empty."""
    facts, answer, ask = CALLS[call]
    for wrong in WRONG:
        server = served(put(answer, path, wrong), **facts)
        if path[-1] in ("prompt_tokens_details", "cached_tokens") and wrong in (None, {}):
            if path[-1] == "prompt_tokens_details" or wrong is None:  # a server need not report it
                assert asyncio.run(ask(server))[1].cached == 0
                continue
        if wrong == 0.5 and call.startswith("pooled") and isinstance(path[-1], int):
            continue  # 0.5 is a valid probability
        with pytest.raises(EngineError) as refused:
            asyncio.run(ask(server))
        assert re.match(rf"{URL}\b", str(refused.value)), (wrong, refused.value)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 250


LISTS = [call for call, (_, answer, _) in CALLS.items() if "choices" in answer or "data" in answer]


@pytest.mark.parametrize("call", LISTS)
def test_answers_of_several_sequences_are_taken_only_all_and_in_order(call):
    facts, answer, ask = CALLS[call]
    name = "data" if "data" in answer else "choices"
    first, second = answer[name]
    for entries, said in (
        ([first], rf"{name} has 1 entries, not 2; see its log"),
        ([first, second, {**second, "index": 2}], rf"{name} has 3 entries, not 2; see its log"),
        ([second, first], rf"{name}\[0\]\.index is 1, not 0; see its log"),
        ([first, {**second, "index": 0}], rf"{name}\[1\]\.index is 0, not 1; see its log"),
    ):
        with pytest.raises(EngineError, match=f"^{URL}: {said}$"):
            asyncio.run(ask(served({**answer, name: entries}, **facts)))


def test_scores_of_other_tokens_than_those_asked_for_are_refused():
    """As from a server that takes another token for the first one to score, or reads that from its cache."""
    facts, answer, ask = CALLS["score"]
    one, other = answer["choices"]
    shifted = {**one, "prompt_logprobs": [None, token(3, -1.0), token(7, -1.0)]}
    whole = {**one, "prompt_logprobs": [None, {}, {}, token(7, -1.0), token(8, -1.0)]}
    for found, said in (
        ({**answer, "choices": [shifted, other]}, "scored other tokens than it was given"),
        ({**answer, "choices": [whole, other]}, r"choices\[0\]\.prompt_logprobs has 5 entries, not 3"),
        ({**answer, "usage": {"prompt_tokens": 9, CACHED: 5}}, "scored other tokens than it was given"),
    ):
        with pytest.raises(EngineError, match=f"^{URL}:? {said}"):
            asyncio.run(ask(served(found, **facts)))


def test_errors_suggest_the_likely_cause():
    """NaN comes from a model; a missing field comes from a server other than vLLM."""
    _, answer, ask = CALLS["sample"]
    place = ("choices", 0, "logprobs", "token_logprobs")
    for path, wrong, said in (
        (
            (*place, 1),
            math.nan,
            r"choices\[0\]\.logprobs\.token_logprobs\[1\] is NaN, not a valid log-.*--dtype float32",
        ),
        ((*place, 0), None, r"token_logprobs\[0\] is null, not a valid log-probability; .*--dtype float32"),
        (
            (*place, 0),
            -9999.0,
            r"token_logprobs\[0\] is -9999\.0, not a valid log-probability of a token that was sampled",
        ),
        (place, [-1.0], r"token_logprobs has 1 entries, not 2"),
        (place[:3], None, r"the answer has no choices\[0\]\.logprobs\.token_logprobs; is it vLLM 0\.32 or newer\?"),
        (("usage", "prompt_tokens"), 0, r"2 of 0 tokens were cached"),
        (("choices", 0, "token_ids", 0), -7, r"token_ids\[0\] is -7, not a valid count; see its log"),
    ):
        with pytest.raises(EngineError, match=said):
            asyncio.run(ask(served(put(answer, path, wrong))))


@pytest.mark.parametrize(
    "content",
    ["", "%%%", "AAAA", packed([1.0, 2.0]), packed([[-1.0]]), packed([[math.nan]] * 2), packed([[-1.0]] * 2, np.savez)],
)
def test_rows_that_cannot_be_unpacked_are_refused(content):
    facts, _, ask = CALLS["score rows"]
    with pytest.raises(EngineError, match=f"^{URL}: prompt_token_id_logprobs"):
        asyncio.run(ask(served({"prompt_token_id_logprobs": content, "usage": USAGE}, **facts)))


@pytest.mark.parametrize("labels", [[], [0.2, 0.3, 0.5], [1.7], [-3.0, 2.0]])
def test_a_pooled_answer_has_one_or_two_probabilities(labels):
    """Anything else is refused, such as the logits of a server that applies no activation."""
    with pytest.raises(EngineError, match=rf"^{URL}: .*data\[0\]"):
        asyncio.run(served({"data": choices({"data": labels}), "usage": USAGE}).pooled([PROMPT]))


# Sessions and connected servers -----------------------------------------------------------


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    tiny.write_llama(folder, tiny.write_tokenizer(folder), seed=1)
    return HubText(folder)


def policy_of(answer, text, **facts):
    server = served(answer, **facts)
    return RemotePolicy(Replicas([server]), text, False), server.client


def opened(policy):
    return policy.open(policy.prompt("b c"), frozenset({policy.fingerprint}), never_stop)


def drew(*tokens, n=1):
    choice = {"token_ids": list(tokens), "logprobs": {"token_logprobs": [-1.0] * len(tokens)}}
    return {"choices": choices(*[choice] * n), "usage": USAGE}


LAW = SamplingParams(0.8, 0.9, StepPolicy.chunks(2))


def test_padding_rows_are_forbidden_where_needed(text):
    """A bias for each padding row in sampling and ratings; none if the server cuts padding, has none or too many."""
    for rows, cuts, forbidden in (
        (text.size + 3, False, {str(text.size + k): -100.0 for k in range(3)}),
        (text.size + 3, True, None),
        (text.size, False, None),
        (text.size - 2, False, None),
        (0, False, None),
        (text.size + MOST_BIASES + 1, False, None),
    ):
        policy, client = policy_of(drew(18, 19), text, rows=rows, cuts_padding=cuts)
        session = opened(policy)
        session.sample([Trace("b c")], 1, LAW, [Key.from_seed(1)])
        asyncio.run(session._next([(1, 2, 3)]))
        assert [body.get("logit_bias") for body in client.bodies] == [forbidden] * 2


def test_a_step_that_nan_may_have_drawn_is_read_again_with_log_probabilities(text):
    """From NaN a server draws one token again and again, on a CPU token 0; with log-probabilities it refuses NaN."""
    for tokens, doubtful in (((18, 19), False), ((18, 0), True), ((19, 19), True)):
        policy, client = policy_of(drew(*tokens), text)
        session = opened(policy)
        (sample,) = session.sample([Trace("b c")], 1, LAW, [Key.from_seed(1)], log_probabilities=False)
        assert (sample.token_ids, sample.log_probability) == (tokens, None)
        first, *again = client.bodies
        assert "logprobs" not in first
        wanted = [([[*first["prompt"], *tokens]], 1, 0)] if doubtful else []
        assert [(body["prompt"], body["max_tokens"], body["logprobs"]) for body in again] == wanted


def test_a_padding_row_that_is_sampled_is_an_error(text):
    policy, _ = policy_of(drew(18, text.size + 1), text, rows=text.size + MOST_BIASES + 9)
    with pytest.raises(EngineError, match=rf"http://server#m sampled token {text.size + 1}, a padding row.*specs-llm"):
        opened(policy).sample([Trace("b c")], 1, LAW, [Key.from_seed(1)])


def test_tokens_without_a_row_on_the_server_are_impossible_and_never_sent(text):
    rows = 40
    policy, client = policy_of({}, text, rows=rows)
    session, trace = opened(policy), Trace("b c")
    lacking = [Candidate((20, rows), "", End.CAP), Candidate((rows + 5,), "", End.CAP)]
    assert log_probabilities(session, [(trace, lacking)], LAW) == [-math.inf] * 2
    assert session.judge([(trace, lacking)], Judge("abc", "{", ("1", "2"))) == [0.0] * 2
    assert client.bodies == []
    with pytest.raises(ModelError, match="tokenizer and model do not belong together"):
        policy.prompt("a b c")
    with pytest.raises(ModelError, match="tokenizer and model do not belong together"):
        session.sample([trace.extend(lacking[0], Role.TARGET)], 1, LAW, [Key.from_seed(1)])


def test_rewards_of_different_kinds_are_refused(text):
    server = served({"data": choices({"data": [0.5]}, {"data": [0.5, 0.5]}), "usage": USAGE})
    prm = RemoteReward(Replicas([server]), TokenClassification(text), "")
    session = prm.open(prm.prompt("b c"), never_stop)
    steps = [Candidate((), text, End.DELIMITER) for text in ("a.\n\n", "b.\n\n")]
    with pytest.raises(EngineError, match="http://server#m gives rewards of 1 and of 2 labels"):
        session.score([(Trace("b c"), steps)], "\n\n")


def test_a_judge_whose_labels_are_all_impossible_gives_no_reward(text):
    """The language model gives probability 0 to both words from which the verdict is read."""

    class Judging(TokenClassification):
        labels = (7, 8)

    row = {"token_id:7": -9999.0, "token_id:8": -9999.0}
    server = served({"choices": choices({"logprobs": {"top_logprobs": [row]}}), "usage": USAGE})
    prm = RemoteReward(Replicas([server]), Judging(text), "")
    step = Candidate((), "a.\n\n", End.DELIMITER)
    with pytest.raises(EngineError, match=r"^http://server#m gives a reward of nan, and rewards lie in"):
        prm.open(prm.prompt("b c"), never_stop).score([(Trace("b c"), [step])], "\n\n")


def vllm(path, body, times, metrics=b"specs_padding_plugin 1.0\n", **changes):
    """Answers of a vLLM server to the requests that `connect` makes."""
    asked = json.loads(body) if body else {}
    answers = {
        "/v1/models": {"data": [{"id": "m", "root": "/m", "max_model_len": 64}]},
        "/version": {"version": "0.32.0"},
        "/openapi.json": {"paths": {}},
        "/v1/completions": {"choices": [{"logprobs": {"token_logprobs": [0.0]}}], "usage": USAGE},
    } | changes
    if path == "/metrics":
        return 200, metrics
    if path == "/v1/completions" and "logit_bias" in asked:
        message = "token_id(s) [1] in logit_bias contain out-of-vocab token ids. Vocabulary size: 67"
        return 400, json.dumps({"error": {"message": message}}).encode()
    return 200, json.dumps(answers[path]).encode()


def connected(**changes):
    with serving(lambda *asked: vllm(*asked, **changes)) as (url, _):
        return wait(connect(url, None, 20.0), never_stop).facts


def test_a_server_reports_its_number_of_rows():
    facts = connected()
    assert (facts.rows, facts.cuts_padding, facts.context, facts.processed) == (67, True, 64, True)
    assert list(facts.padding(60)) == []
    assert list(replace(facts, cuts_padding=False).padding(60)) == [60, 61, 62, 63, 64, 65, 66]


def test_a_server_with_an_earlier_version_of_the_plugin_is_told_from_one_with_this():
    lists = b"specs_scoring_plugin_lists 1.0\n"
    first = b"# TYPE specs_scoring_plugin gauge\nspecs_scoring_plugin 1.0\n"
    for metrics, found in (
        (b"", (False, False, False)),
        (first, (True, False, False)),
        (first + lists, (True, True, False)),
        (first + lists + b"specs_scoring_plugin_filters 1.0\n", (True, True, True)),
    ):
        facts = connected(metrics=metrics)
        assert (facts.plugin, facts.lists, facts.filters) == found
        assert facts.scores_filters is facts.filters
        assert not replace(facts, processed=False).scores_filters


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/models", {}),
        ("/v1/models", []),
        ("/v1/models", {"data": {}}),
        ("/v1/models", {"data": ["m"]}),
        ("/v1/models", {"data": [{"max_model_len": 64}]}),
        ("/v1/models", {"data": [{"id": "m", "max_model_len": "64"}]}),
        ("/v1/models", {"data": [{"id": "m", "max_model_len": math.nan}]}),
        ("/version", []),
        ("/openapi.json", "paths"),
        ("/v1/completions", {"choices": []}),
        ("/v1/completions", {"choices": [{"logprobs": {"token_logprobs": [None]}}]}),
        ("/v1/completions", {"choices": [{"logprobs": {"token_logprobs": [math.nan]}}]}),
    ],
)
def test_an_unexpected_answer_at_connection_is_refused(path, answer):
    with pytest.raises(EngineError, match=r"^http://127\.0\.0\.1:\d+: "):
        connected(**{path: answer})


def test_nan_that_a_server_cannot_encode_is_named_as_such():
    """vLLM answers 400 if its model computed NaN; that is neither a wrong request nor a server for pooling."""
    message = json.dumps({"error": {"message": "Out of range float values are not JSON compliant: nan"}}).encode()

    def nan(path, body, times):
        return (400, message) if path == "/v1/completions" else vllm(path, body, times)

    with serving(nan) as (url, _), pytest.raises(EngineError, match=f"^{url}.* not finite; .*--dtype float32"):
        wait(connect(url, None, 20.0), never_stop)
