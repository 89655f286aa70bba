"""Bodies with too many values are refused before they are parsed, whatever their texts contain."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.server_app import http_client
from specs.server.bodies import MAX_SEPARATORS, refuse_crowded
from specs.server.errors import Refused
from specs.server.schemas import MAX_PARTS, MAX_TURNS

CHAT = "/v1/chat/completions"
MOST = MAX_SEPARATORS


def crowded(body):
    try:
        refuse_crowded(body)
    except Refused:
        return True
    return False


@pytest.mark.parametrize(
    ("item", "separators"),
    [
        (b"1", 1),
        (b"[]", 1),
        (b'""', 1),
        (b'{"a":1}', 2),
        (rb'"\""', 1),
        (rb'"\\"', 1),
        (b'"a,:b"', 1),
        (b'{"\\":":1}', 2),
    ],
)
def test_the_bound_counts_what_is_outside_strings(item, separators):
    fits = MOST // separators
    assert not crowded(b"[" + b",".join([item] * fits) + b"]")
    assert crowded(b"[" + b",".join([item] * (fits + 2)) + b"]")


@pytest.mark.parametrize("text", ['",' * 30_000, "\\," * 100_000, "{a:[1,2]}" * 50_000, "é,\u2028:" * 50_000])
def test_a_text_may_hold_any_number_of_commas(text):
    for escaped in (True, False):
        assert not crowded(json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=escaped).encode())


@given(
    st.recursive(st.text() | st.integers() | st.none(), lambda some: st.lists(some) | st.dictionaries(st.text(), some))
)
def test_no_small_body_is_refused(value):
    assert not crowded(json.dumps(value).encode())


def test_the_largest_valid_request_is_far_below_the_bound():
    turn = {"role": "user", "content": [{"type": "text", "text": "a"}] * (MAX_PARTS // MAX_TURNS), "name": "a"}
    body = {"model": "specs", "messages": [turn] * MAX_TURNS, "metadata": {str(k): "a" for k in range(16)}}
    data = json.dumps(body)
    assert data.count(",") + data.count(":") < MOST / 2


def test_the_refusal_says_what_to_send():
    answer = http_client().post(CHAT, content=b"[" + b"[]," * 300_000, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "the body has more than 10,000 fields and list items; send fewer"
    other = http_client().post(CHAT, content=b"[" + b"[]," * 300_000, headers={"content-type": "text/plain"})
    assert "application/json" in other.json()["error"]["message"]
