"""The OpenAPI document holds: schemathesis asks what it allows, and what it does not, and reads the answers by it."""

from collections import Counter

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode
from served import app_of

from specs import load
from specs.server.app import Settings
from specs.server.asking import Caps

SETTINGS = Settings(caps=Caps(n=16, tokens=8, step_tokens=8))
schema = schemathesis.openapi.from_asgi("/openapi.json", app_of(SETTINGS, models=load(), room=64))
# What no document can say (who has spoken last, how long a prompt may be) is refused with 400, as this one says;
# and 503 is the answer to a deadline that has passed.
OWN = {"positive_data_acceptance", "not_a_server_error"}
seen = Counter()


@schema.parametrize()
@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_document_holds(case):
    positive = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if positive and isinstance(case.body, dict):
        # Nearly all that is drawn asks for no stream, ends with no question, or says two things at once.
        case.body["stream"] = len(str(case.body)) % 2 == 0
        for name in ("max_completion_tokens", "specs")[: 1 + len(str(case.body)) // 2 % 2]:
            case.body.pop(name, None)
        if "messages" in case.body:
            case.body["messages"] = [*case.body["messages"], {"role": "user", "content": "1 + 1"}]
    answer = case.call_and_validate(excluded_checks=[check for check in CHECKS.get_all() if check.__name__ in OWN])
    assert answer.status_code < 500 or answer.json()["error"]["code"] == "deadline"
    seen[case.path, answer.status_code] += 1
    seen[case.path, answer.headers["content-type"][0].partition(";")[0]] += 1


def test_it_has_asked_for_answers():
    """Whole ones, streams, and refusals of both routes."""
    for path in ("/v1/chat/completions", "/v1/completions"):
        assert seen[path, 200] > 10
        assert seen[path, 400] > 50
        assert seen[path, "text/event-stream"] > 0
