"""The checks before every route: ids, keys, rates, sizes and hosts; and a log without text of clients."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import toy
from helpers.server_app import captured_log, chat_body, http_client
from specs.methods.registry import make
from specs.server.app import ServerSettings
from specs.server.jobs import JobRunner
from specs.server.metrics import Metrics
from specs.server.middleware import AccessRules, RateLimiter, parse_keys
from specs.server.queue import SolveQueue
from specs.types import SamplingParams

KEYS = ("one-key", "another-key")


def post(client, **headers):
    return client.post("/v1/chat/completions", json=chat_body("q"), headers=headers)


def test_without_a_valid_key_no_route_under_v1_answers():
    client = http_client(ServerSettings(AccessRules(keys=KEYS)))
    wrong = ["", "Bearer", "Bearer one-ke", "Bearer one-keyy", "Basic one-key", "one-key", "Bearer one-key another-key"]
    for sent in wrong:
        for answer in (post(client, authorization=sent), client.get("/v1/models", headers={"authorization": sent})):
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
    for key in KEYS:
        assert post(client, authorization=f"Bearer {key}").status_code == 200
    assert client.get("/health").status_code == client.get("/").status_code == 200
    assert b'specs_rejected_total{reason="key"} 14.0' in client.get("/metrics").content


def test_keys_are_read_from_a_file():
    assert parse_keys("# people\n one \n\ntwo\n") == ("one", "two")


@given(
    per_minute=st.floats(0.1, 600),
    gaps=st.lists(st.floats(0, 30), min_size=1, max_size=80),
)
def test_the_rate_limit_allows_a_burst_of_one_minute_s_requests_and_no_more(per_minute, gaps):
    """A token bucket: in any time t, at most the requests of one minute and those of t are accepted."""
    now = 0.0
    rates = RateLimiter(per_minute, lambda: now)
    let_in = []
    for gap in gaps:
        now += gap
        wait = rates.wait_s("c")
        assert wait >= 0
        if not wait:
            let_in.append(now)
    room = max(per_minute, 1)
    for k, start in enumerate(let_in):
        for n, end in enumerate(let_in[k:], 1):
            assert n <= room + (end - start) * per_minute / 60 + 1 + 1e-6
    assert let_in[0] == gaps[0]


def test_a_client_that_waits_as_told_is_accepted_and_others_are_not_delayed():
    now = 0.0
    rates = RateLimiter(6, lambda: now)
    assert [rates.wait_s("a") for _ in range(6)] == [0] * 6
    assert rates.wait_s("a") == pytest.approx(10)
    assert rates.wait_s("b") == 0
    now += rates.wait_s("a")
    assert rates.wait_s("a") == 0


def test_the_answer_to_too_many_requests_says_when_to_retry():
    client = http_client(ServerSettings(AccessRules(per_minute=2)))
    assert [post(client).status_code for _ in range(3)] == [200, 200, 429]
    answer = post(client)
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert client.get("/health").status_code == 200


def test_bodies_that_are_too_large_are_refused_whatever_their_content_length():
    client = http_client(ServerSettings(AccessRules(max_bytes=500)))
    assert post(client).status_code == 200
    large = json.dumps(chat_body("q" * 500)).encode()

    def in_parts():
        yield from (large[k : k + 100] for k in range(0, len(large), 100))

    for body in (large, in_parts()):
        answer = client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"


def test_pages_of_other_sites_cannot_use_a_local_server():
    """Neither through a host name that points to this machine, nor through a form, which cannot send a JSON type."""
    client = http_client(ServerSettings(hosts=("localhost",)))
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/health", headers={"host": "localhost:8080"}).status_code == 200
    body = json.dumps(chat_body("q"))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = client.post("/v1/chat/completions", content=body, headers={"host": "localhost", "content-type": kind})
        assert answer.status_code == 400
    assert "access-control-allow-origin" not in client.get("/v1/models", headers={"host": "localhost"}).headers


def test_every_answer_has_a_request_id():
    client = http_client()
    assert post(client, **{"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    for bad in ("a b", "x" * 129, "<script>", "a/../b"):
        found = client.get("/nowhere", headers={"x-request-id": bad}).headers["x-request-id"]
        assert found.startswith("req-")


def test_the_log_has_a_line_for_each_request_without_text_of_clients():
    with captured_log() as lines:
        client = http_client()
        client.post("/v1/chat/completions", json=chat_body("secret words"), headers={"x-request-id": "id-7"})
        client.post("/v1/secret/words", json={"secret": "words"})
    one, other = lines()
    assert (one["id"], one["route"], one["status"], one["model"]) == ("id-7", "/v1/chat/completions", 200, "specs")
    assert other["route"] == "other"
    assert "secret" not in json.dumps([one, other])


def test_the_log_has_questions_and_answers_if_so_configured():
    with captured_log() as lines:
        http_client(ServerSettings(log_prompts=True)).post("/v1/chat/completions", json=chat_body("my words"))
    (line,) = lines()
    assert line["questions"] == ["my words"]
    assert len(line["answers"]) == 1


class Panic(BaseException):
    """Not an `Exception`, like the panics of libraries in Rust."""


@pytest.mark.parametrize("kind", [ZeroDivisionError, Panic])
def test_a_defect_answers_500_with_an_error_body_and_logs_its_traceback(kind):
    def broken(ids):
        raise kind("a defect")

    with captured_log() as lines:
        client = http_client(target=broken, draft=broken)
        answer = client.post("/v1/chat/completions", json=chat_body("q"))
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "a defect" not in answer.text
    assert any(f"{kind.__name__}: a defect" in line.get("traceback", "") for line in lines())


@pytest.mark.parametrize("kind", [ValueError, Panic])
def test_a_defect_in_the_trial_solve_does_not_keep_the_server_from_starting(kind):
    def broken(ids):
        raise kind("a defect\nof two lines")

    models = toy.models(target=broken, draft=broken)
    line = SolveQueue(1, 8)
    with captured_log() as lines:
        JobRunner(models, line, Metrics(line)).solve_trial_question(make("specs"), SamplingParams())
    assert lines()[-1]["event"] == "trial failed"
    assert lines()[-1]["error"] == f"{kind.__name__}: a defect of two lines"
