"""`specs methods`, run as a command: it shows the options that the methods have."""

import re

import pytest

from specs.cli import main
from specs.config.text import defaults_of, method_from_text, text_of
from specs.methods.registry import NAMES, SPECULATING, make, options_of


def shown(capsys, *words):
    assert main(["methods", *words]) == 0
    return capsys.readouterr().out


def test_all_methods_are_listed_one_a_line(capsys):
    lines = shown(capsys).splitlines()
    assert [line.split()[0] for line in lines[: len(NAMES)]] == list(NAMES)
    assert max(map(len, lines)) <= 100
    assert all(len(line.split()) > 3 for line in lines[: len(NAMES)])
    assert "NAME+speculation, where NAME is any of them except beam-draft and draft" in " ".join(lines)


@pytest.mark.parametrize("name", [*NAMES, *SPECULATING])
def test_a_method_is_shown_with_its_models_options_and_examples(name, capsys):
    page = shown(capsys, name)
    lines = page.splitlines()
    assert max(map(len, lines)) <= 100
    models = next(line for line in lines if line.startswith("models: "))
    assert set(models.removeprefix("models: ").split(", ")) == make(name).roles
    options = dict(re.findall(r"^(\w+)=(\S+) ", page, re.MULTILINE))
    assert options == {option: text_of(default) for option, default in defaults_of(name).items()}
    assert options.keys() == options_of(name)
    assert ("oken-level speculation" in page) == (name not in ("draft", "beam-draft"))


@pytest.mark.parametrize("name", [*NAMES, *SPECULATING])
def test_every_example_is_accepted(name, capsys):
    examples = re.findall(r"^specs solve --example --method (\S+)$", shown(capsys, name), re.MULTILINE)
    assert examples
    for example in examples:
        read, options = method_from_text(example)
        assert read == name
        assert make(read, **options).name == name


def test_the_allowed_values_of_options_are_shown(capsys):
    page = " ".join(shown(capsys, "specs").split())
    assert "candidates a step (a whole number of at least 1)" in page
    assert "(a number from 0 to 1)" in page
    assert "(trace or step)" in page
    assert "(a number from 0 to 1 or none)" in page
