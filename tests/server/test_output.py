"""Streamed parts join to the answer, cut before the first stop string, however its steps are cut."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import toy
from helpers.thinkers import THINKING
from specs import api
from specs.core.text import readable
from specs.server.output import Output, ThinkingOutput
from specs.types import Candidate, Decision, End, Phase, Role, Seconds, StepRecord

RESULT = api.solve("q", toy.models(), "target", max_steps=1, max_step_tokens=1)


def record(text, accepted=True, kept=None):
    step = Candidate((0,), text, End.DELIMITER)
    return StepRecord(0, Role.TARGET, (step,), Decision((0.0,), (1.0,), 0), Seconds(), accepted, kept)


def parts(texts, stop=()):
    """The text shown after each step and at the end."""
    output = Output(stop)
    shown = [output.feed(record(text)) for text in texts]
    return [*shown, output.end(replace(RESULT, text=readable("".join(texts))))], output


def cut(text, stop):
    places = [place for one in stop if (place := text.find(one)) >= 0]
    return text[: min(places)] if places else text


@settings(max_examples=300)
@given(
    texts=st.lists(st.text("abc\\n", max_size=6), max_size=6),
    stop=st.lists(st.text("abc\\n", min_size=1, max_size=4), max_size=3),
)
def test_the_parts_join_to_the_text_before_the_first_stop(texts, stop):
    shown, output = parts(texts, stop)
    assert "".join(shown) == cut("".join(texts), stop)
    assert output.stopped == any(one in "".join(texts) for one in stop)


@settings(max_examples=200)
@given(st.text(max_size=20), st.lists(st.integers(0, 60), max_size=5))
def test_characters_split_between_steps_are_shown_whole(text, places):
    data = text.encode("utf-8", "replace")
    cuts = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    texts = [data[a:b].decode("utf-8", "surrogateescape") for a, b in pairwise(cuts)]
    shown, _ = parts(texts)
    assert "".join(shown) == data.decode()
    assert all("\ufffd" not in part for part in shown) or "\ufffd" in text


def test_text_that_may_begin_a_stop_string_is_held_back():
    shown, output = parts(["ab EN", "D c"], ["END"])
    assert shown == ["ab ", "", ""]
    assert output.stopped


def test_held_back_text_that_is_no_stop_string_is_shown_at_the_end():
    assert parts(["ab EN"], ["END"])[0] == ["ab ", "EN"]


def test_rejected_steps_and_steps_of_searches_are_not_shown_before_the_end():
    output = Output()
    assert output.feed(record("a", accepted=False)) == ""
    assert output.feed(record("b", kept=(0,))) == ""
    assert output.end(replace(RESULT, text="c")) == "c"


def test_streams_of_every_kind_of_method_join_to_their_text():
    for name in ("specs", "beam", "dvts", "best-of-n", "rsd", "target"):
        output = Output()
        running = api.stream("q", toy.models(), name, max_steps=4, max_step_tokens=4, temperature=0.9)
        shown = "".join(output.feed(step) for step in running)
        assert shown + output.end(running.result) == running.result.text


def thought(text, end=End.DELIMITER, forced=0):
    step = Candidate((0,) * (forced + 1), text, end, forced=forced)
    return StepRecord(0, Role.TARGET, (step,), Decision((0.0,), (1.0,), 0), Seconds(), phase=Phase.THINKING)


CLOSES = {
    "by the model": ("</think>", 0, ""),
    "by the model with a token that has no text": ("", 0, ""),
    "by the budget": (THINKING.closing, 4, "Enough.\n"),
}


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(st.sampled_from("ab<>/think\né…"), max_size=20),
    places=st.lists(st.integers(0, 60), max_size=4),
    answer=st.text("ab</think>", max_size=8),
    name=st.sampled_from([None, *CLOSES]),
    streamed=st.booleans(),
)
def test_the_parts_of_the_thinking_join_to_its_text_without_what_closes_it(text, places, answer, name, streamed):
    """However its characters are split between steps, and if it spells the marker itself."""
    data = text.encode()
    cuts = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    steps = [data[a:b].decode("utf-8", "surrogateescape") for a, b in pairwise(cuts)]
    records = [thought(step) for step in steps]
    tail = ""
    if name is not None:
        closing, forced, tail = CLOSES[name]
        steps.append(closing)
        records.append(thought(closing, End.CLOSE, forced))
        records.append(record(answer))
    thinking, output = ThinkingOutput(THINKING), Output()
    parts = [(thinking.feed(one), output.feed(one)) for one in records] if streamed else []
    whole = readable("".join(steps))
    after = answer if name is not None else ""
    result = replace(RESULT, text=whole + after, thinking=whole, steps=tuple(records))
    parts.append((thinking.end(result), output.end(result)))
    assert "".join(part for part, _ in parts) == text + tail
    assert "".join(part for _, part in parts) == after
    if streamed and name is not None:
        assert parts[-1] == ("", "")
