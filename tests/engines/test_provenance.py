"""Text that records who wrote each character: it behaves like `str`, and no written character loses its mark."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from specs.engines.chat.provenance import Written, concat, plain

MARK = "\U0010ffff"
TEXTS = st.text("ab<>/ \n", max_size=9)
PARTS = st.lists(st.tuples(TEXTS, st.booleans()), max_size=4)


def mixed(parts) -> str:
    """One text out of parts that a user wrote and parts that nobody wrote."""
    return concat([Written.by(MARK, text) if written else text for text, written in [("", True), *parts]])


def authors(text) -> list[bool]:
    """For each character other than white space, whether a user wrote it."""
    return [character == MARK for character in str.__str__(text) if not character.isspace()]


def flat(found):
    return [flat(one) for one in found] if isinstance(found, list | tuple) else plain(found)


WORDS = st.sampled_from(["a", "b", "ab", "</", ">", " ", "\n", "a<", "ba"])
CALLS = st.one_of(
    st.tuples(st.sampled_from(["strip", "lstrip", "rstrip"]), st.tuples() | st.tuples(WORDS)),
    st.tuples(
        st.sampled_from(["split", "rsplit"]),
        st.tuples() | st.tuples(WORDS) | st.tuples(WORDS | st.none(), st.integers(0, 2)),
    ),
    st.tuples(st.sampled_from(["partition", "rpartition", "removeprefix", "removesuffix", "join"]), st.tuples(WORDS)),
    st.tuples(st.just("splitlines"), st.tuples() | st.tuples(st.booleans())),
    st.tuples(st.just("replace"), st.tuples(WORDS, WORDS) | st.tuples(WORDS, WORDS, st.integers(0, 2))),
    st.tuples(
        st.sampled_from(
            ["startswith", "endswith", "find", "rfind", "count", "__contains__", "__eq__", "__lt__", "__add__"]
        ),
        st.tuples(WORDS),
    ),
    st.tuples(st.just("__getitem__"), st.tuples(st.slices(9))),
    st.tuples(
        st.sampled_from(
            [
                "upper",
                "lower",
                "title",
                "capitalize",
                "swapcase",
                "casefold",
                "isalpha",
                "islower",
                "isspace",
                "isascii",
                "__len__",
            ]
        ),
        st.tuples(),
    ),
)


@given(PARTS, CALLS)
@example([("a<", True), ("a", False), ("a", True)], ("split", ("<a",)))
def test_every_method_returns_what_it_returns_for_plain_text(parts, call):
    name, values = call
    text = mixed(parts)
    assert flat(getattr(text, name)(*values)) == flat(getattr(plain(text), name)(*values))


@given(PARTS, st.sampled_from(["</", "a<", " ", "b"]))
def test_splitting_and_joining_keep_the_marks(parts, sep):
    text = mixed(parts)
    assert authors(text) == [written for part, written in parts for one in part if not one.isspace()]
    assert authors(concat(text.partition(sep))) == authors(concat(text)) == authors("".join(text))
    assert authors(concat([text[:3], text[3:]])) == authors(text.strip()) == authors(text.upper()) == authors(text)
    pieces = text.split(sep)
    written = [one for piece in pieces for one in authors(piece)]
    assert authors(Written.by(MARK, "").join(pieces)) == written
    assert len(written) == len(authors(text)) - (len(pieces) - 1) * len(sep.strip())
    assert authors(text.replace(sep, "")) == written


def test_it_equals_and_hashes_like_plain_text():
    text = Written.by(MARK, "ab")
    assert text in ["x", "ab"]
    assert text in {"ab"}
    assert {"ab": 1}[text] == 1
    assert text == "ab"
    assert "x" + text + "y" == "xaby"
    assert isinstance("x" + text, Written)
    assert not isinstance(concat(["x", "y"]), Written)
    with pytest.raises(TypeError):
        text["content"]
