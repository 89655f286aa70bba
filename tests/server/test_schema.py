"""The OpenAPI document is right: schemathesis sends valid and invalid requests and checks the answers against it."""

from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from helpers.server_app import app_of
from specs import load
from specs.server.app import ServerSettings
from specs.server.request_parsing import RequestLimits

pytestmark = pytest.mark.slow
SETTINGS = ServerSettings(request_limits=RequestLimits(n=16, tokens=8, step_tokens=8))
schema = schemathesis.openapi.from_asgi("/openapi.json", app_of(SETTINGS, models=load(), max_waiting=64))
# A document cannot express who must have spoken last or how long a prompt may be: such requests get 400, as the
# document says. 503 answers a deadline that has passed.
OWN = {"positive_data_acceptance", "not_a_server_error"}
# schemathesis' own parametrisation calls all routes by one name, of which pytest-xdist runs only one.
OPERATIONS = {result.ok().label: result.ok() for result in schema.get_all_operations()}
ROUTES = [
    (label, mode) for label in OPERATIONS for mode in GenerationMode if mode.is_positive or label.startswith("POST")
]
seen = Counter()


def lively(body):
    """Most generated bodies ask for no stream, end without a question, or contradict themselves: change that."""
    body["stream"] = len(str(body)) % 2 == 0
    for name in ("max_completion_tokens", "specs")[: 1 + len(str(body)) // 2 % 2]:
        body.pop(name, None)
    if isinstance(body.get("messages"), list):
        body["messages"] = [*body["messages"], {"role": "user", "content": "1 + 1"}]


@pytest.mark.parametrize(("label", "mode"), ROUTES)
def test_answers_agree_with_the_document(label, mode):
    @settings(
        max_examples=40,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def check(case):
        if mode.is_positive and isinstance(case.body, dict):
            lively(case.body)
        answer = case.call_and_validate(excluded_checks=[check for check in CHECKS.get_all() if check.__name__ in OWN])
        assert answer.status_code < 500 or answer.json()["error"]["code"] == "deadline"
        seen[case.path, answer.status_code] += 1
        seen[case.path, answer.headers["content-type"][0].partition(";")[0]] += 1

    check()


def test_the_requests_had_answers_of_every_kind():
    """Complete answers, streams and refusals from both routes."""
    for path in ("/v1/chat/completions", "/v1/completions"):
        assert seen[path, 200] > 5
        assert seen[path, 400] > 30
        assert seen[path, "text/event-stream"] > 0
