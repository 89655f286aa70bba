"""The bundled models say which questions are beyond them, from the words alone."""

import json
from pathlib import Path

import pytest

import specs
from specs.bundled.grammar import SCOPE, caveat
from specs.bundled.problems import TIERS, generate
from specs.cli import main
from specs.traces.codec import read_traces

OTHERS = (
    "What is the capital of France?",
    "A train travels 60 miles per hour for 3 hours. How far does it go?",
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May.",
    "Solve x^2 - 5x + 6 = 0.",
    "How many shells?",
    "¿Cuántas manzanas tiene Maya?",
    "",
    "12 + 5",
)


@pytest.mark.parametrize("tier", TIERS)
def test_no_question_of_the_grammar_is_doubted(tier):
    """The bar is one in a thousand; every word of the grammar is known, so none is expected."""
    assert [q for seed in range(2_000) if caveat(q := generate(tier, 7_000_000 + seed).question)] == []


@pytest.mark.parametrize("question", OTHERS)
def test_other_questions_are_named(question):
    said = caveat(question)
    assert said is not None
    assert "bundled models know only" in said


def test_loaded_models_say_what_they_can_solve_if_they_are_the_bundled_ones():
    assert specs.load().scope == SCOPE
    assert specs.load(draft=None).scope == SCOPE
    assert specs.load(None, None, "bundled").scope is None
    assert SCOPE.count(".") == 1


def test_the_question_of_the_readme_is_not_doubted():
    assert (
        caveat("Maya has 12 shells. She buys 3 bags with 5 shells in each bag. How many shells does Maya have now?")
        is None
    )


GSM8K = Path(__file__).parents[3] / "shared/data/gsm8k.jsonl"


@pytest.mark.skipif(not GSM8K.exists(), reason="needs the test set")
def test_questions_of_gsm8k_are_named():
    questions = [json.loads(line)["question"] for line in GSM8K.read_text().splitlines()]
    assert sum(caveat(question) is not None for question in questions) >= 0.95 * len(questions)


def test_the_note_is_in_the_result_and_in_its_trace(tmp_path):
    result = specs.solve("What is the capital of France?", specs.load(), "draft")
    assert "'What'" not in result.notes[0]
    assert "'capital'" in result.notes[0]
    result.save(tmp_path / "trace.json")
    ((_, read),) = read_traces(tmp_path / "trace.json")
    assert read.notes == result.notes
    assert specs.solve(generate("easy", 7_000_000).question, specs.load(), "draft").notes == ()


def test_the_command_says_it_on_standard_error(capsys):
    assert main(["solve", "What is the capital of France?", "--method", "draft", "--json"]) == 0
    shown = capsys.readouterr()
    assert "specs: the bundled models know only" in shown.err
    assert json.loads(shown.out)["notes"]
