"""Options as text: an option that was written is read back with the same value; unreadable text is refused by name."""

import math
from typing import Literal

import pytest

from specs.config.describe import describe
from specs.config.text import (
    UNREADABLE,
    defaults_of,
    method_from_text,
    option_from_text,
    text_of,
    value_from_text,
)
from specs.errors import InputError
from specs.methods.registry import NAMES, SPECULATING, make, options_of


@pytest.mark.parametrize("name", [*NAMES, *SPECULATING])
def test_the_text_of_every_default_is_read_as_that_default(name):
    defaults = defaults_of(name)
    assert defaults.keys() == options_of(name)
    for option, default in defaults.items():
        for spelling in (option, option.replace("_", "-")):
            assert method_from_text(f"{name}:{spelling}={text_of(default)}") == (name, {option: default})
    whole = ":".join([name, *(f"{option}={text_of(default)}" for option, default in defaults.items())])
    _, options = method_from_text(whole)
    assert make(name, **options) == make(name)
    assert [type(value) for value in options.values()] == [type(value) for value in defaults.values()]


@pytest.mark.parametrize("name", [*NAMES, *SPECULATING])
def test_every_option_is_described(name):
    found = describe(name)
    assert found.summary
    assert {option.name: option.default for option in found.options} == defaults_of(name)
    assert all(option.text and option.values for option in found.options)
    assert set(found.roles) == make(name).roles


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("specs", {}),
        ("specs:n=16:tau=0.8", {"n": 16, "tau": 0.8}),
        (" specs:switch-on=trace:reward_as=soft-value ", {"switch_on": "trace", "reward_as": "soft-value"}),
        ("specs:draft_share=none", {"draft_share": None}),
        ("gsi:threshold=inf", {"threshold": math.inf}),
        ("gsi:threshold=-inf", {"threshold": -math.inf}),
        ("gsi:beta=1e1", {"beta": 10.0}),
        ("ssr:fast=2", {"fast": 2}),
        ("beam:width=3", {"width": 3}),  # does not divide the default of n, which may change
        ("target+speculation:speculate=4", {"speculate": 4}),
    ],
)
def test_options_in_text_are_read_as_these_values(text, wanted):
    name, options = method_from_text(text)
    assert name == text.strip().partition(":")[0]
    assert options == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no method ''"),
        ("spex:tau=1", "there is no method 'spex'; did you mean 'specs'?"),
        ("beam:tau=1", "method beam has no option 'tau'; choose from answer, n, width"),
        ("beam:writer=draft", "method beam has no option 'writer'; choose from answer, n, width"),
        ("target:n=4", "method target has no option 'n'; it has none"),
        ("specs:tua=1", "method specs has no option 'tua'; did you mean 'tau'?"),
        ("specs:tau=x", "tau is 'x'; give a number from 0 to 1"),
        ("specs:tau=", "tau is ''; give a number from 0 to 1"),
        ("specs:tau=nan", "tau is nan; give a number from 0 to 1"),
        ("specs:tau=7", "tau is 7.0; give a number from 0 to 1"),
        ("specs:n=4.5", "n is '4.5'; give a whole number of at least 1"),
        ("specs:n=none", "n is 'none'; give a whole number of at least 1"),
        ("specs:draft_share=x", "draft_share is 'x'; give a number from 0 to 1 or None"),
        ("specs:hopeless=2", "method specs has no option 'hopeless'; version 0.1 has it, this version no longer does"),
        ("specs:start=prm", "start is 'prm'; give 'target' or 'draft'"),
        ("ssr:fast=3", "fast is '3'; give 0, 1 or 2"),
        ("target+speculation:speculate=0", "speculate is 0; give a whole number of at least 1"),
        ("specs:tau", "'tau' gives no value; write NAME=VALUE, such as n=4"),
        ("specs:", "'' gives no value"),
        ("specs:=1", "'=1' gives no value"),
        ("specs:n=1:n=2", "specs:n=1:n=2: n is given twice"),
        ("specs:switch-on=step:switch_on=step", "switch_on is given twice"),
    ],
)
def test_unreadable_text_is_refused_by_name(text, message):
    with pytest.raises(InputError) as found:
        method_from_text(text)
    assert message in str(found.value)


def test_an_option_is_read_without_naming_a_method():
    assert option_from_text("width=4") == ("width", 4)
    assert option_from_text("switch-on=step") == ("switch_on", "step")
    assert option_from_text("speculate=2") == ("speculate", 2)
    for text, message in (
        ("widht=4", "no method has an option 'widht'; did you mean 'width'?"),
        ("width=0", "width is 0; give a whole number of at least 1"),
    ):
        with pytest.raises(InputError) as found:
            option_from_text(text)
        assert message in str(found.value)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("none", str | None, None),
        ("None", float | None, None),
        (" a b ", str, " a b "),
        ("true", bool, True),
        ("False", bool, False),
        ("1", bool, UNREADABLE),
        ("1", Literal["1"], "1"),
        ("1", Literal[1], 1),
        ("3", int, 3),
        ("3.0", int, UNREADABLE),
        ("inf", float, math.inf),
    ],
)
def test_values_are_read_according_to_their_type(text, kind, value):
    assert value_from_text(text, kind) == value
    if value is not UNREADABLE and text == text.strip().lower():
        assert text_of(value) == text
