"""The training text of the pair that thinks: what it claims is true, and it is tokenised as the engines write it."""

import json
import random
import re

import pytest

from research.training.thinking_corpus import (
    CLOSE,
    KINDS,
    SHARES,
    calculate,
    check,
    documents,
    thoughts,
)
from research.training.thinking_tokenizer import BASE, TEXTS, WORDS, extended, make
from specs.bundled.problems import EQUATION, generate
from specs.core.votes import boxed
from specs.engines.folders import BUNDLED
from specs.engines.text import HubText

PROBLEMS = [generate(tier, seed) for tier in ("easy", "medium", "hard") for seed in range(40)]


def true(equation):
    return calculate(int(equation[1]), equation[2], int(equation[3])) == equation[4]


@pytest.mark.parametrize("problem", PROBLEMS[::4], ids=lambda problem: f"{problem.tier}-{problem.seed}")
def test_right_steps_are_true_and_wrong_ones_are_found_by_their_check(problem):
    steps = thoughts(problem, random.Random(problem.seed))
    chain = [equation[0] for equation in EQUATION.finditer(problem.solution)]
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        equation = EQUATION.search(step.text)
        if equation is None:
            continue
        assert true(equation) is step.right or step.text.startswith("Check:")
        if not step.right:
            assert re.fullmatch(r"Check: .*, not \d+\.", after.text)
        elif not step.text.startswith("Check:"):
            assert equation[0] in chain[: step.done]
    assert steps[-1].done == len(chain)


@pytest.mark.parametrize("sign", "+-*/")
def test_a_check_agrees_with_the_right_result_and_with_no_other(sign):
    rng = random.Random(sign)
    for _ in range(300):
        y, other = rng.randint(2, 9), rng.randint(2, 200)
        x = y * other if sign == "/" else other + 10
        result = int(calculate(x, sign, y))
        assert check(x, sign, y, result).endswith(f", right: {result}.")
        wrong = result + rng.choice((-1, 1, 10, 17, 100))
        assert re.search(r", not \d+\.$", check(x, sign, y, wrong))


def test_the_text_is_the_solution_only_where_it_should_be():
    """A document that ends ends with the right box; a rating is 0 exactly where a wrong step stands last."""
    rng = random.Random(1)
    for problem in PROBLEMS:
        for kind, make_one in KINDS.items():
            document = make_one(problem, rng)
            text = "".join(part.text for part in document.parts)
            assert document.thinks is (kind != "plain")
            assert document.ends is (kind in ("thinking", "plain", "forced"))
            if document.ends:
                assert boxed(text.rpartition(CLOSE)[2]) == problem.answer
            if kind == "probed":
                assert document.parts[-1].text == problem.answer + "}"
            if kind == "rated":
                last = [step for step in re.split(r"\n\n|\n</think>\n\n", text) if step][-1]
                equation = EQUATION.search(last)
                wrong = equation is not None and not true(equation) and not last.startswith("Check:")
                assert not (wrong and document.rating == "9")


def test_no_loss_on_wrong_numbers():
    rng = random.Random(2)
    seen = 0
    for problem in PROBLEMS:
        for step in thoughts(problem, rng):
            if not step.right:
                seen += 1
                assert [part.weight for part in step.parts] == [1.0, 0.0, 1.0]
    assert seen > 50


def test_held_out_questions_never_come():
    stream = documents(0, SHARES["target"], frozenset())
    questions = [next(stream).question for _ in range(200)]
    held_out = frozenset(map(hash, questions[::2]))
    again = documents(0, SHARES["target"], held_out)
    assert not held_out & {hash(next(again).question) for _ in range(200)}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make().save_pretrained(folder)
    return HubText(folder)


def test_the_extended_tokenizer_writes_the_old_texts_as_before(text):
    """Problems and solutions keep their tokens; every new word is one token, and both markers are found."""
    old = HubText(BUNDLED / "target")
    for problem in PROBLEMS:
        both = f"{problem.question}\n\n{problem.solution}"
        assert text.encode(both) == old.encode(both)
    vocabulary = json.loads(extended(BASE.read_text(), (*TEXTS, *WORDS)))["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    for word in ("Check", " right", " suddenly", " arithmetic"):
        assert len(text.encode(word)) == 1
    assert (text.thinking.opening, text.thinking.marker) == ("<think>\n", "</think>")


def test_parts_are_tokenised_as_the_whole(text):
    """So training sees the tokens that the engines write; only a forced close stands apart, as it does there."""
    rng = random.Random(3)
    for problem in PROBLEMS[:60]:
        for kind in ("thinking", "plain", "rated"):
            parts = [part.text for part in KINDS[kind](problem, rng).parts]
            assert [token for part in parts for token in text.encode(part)] == text.encode("".join(parts))
