"""The bundled task: its solutions are right, its problems reproducible, and none was seen in training."""

import itertools

import pytest

from specs.bundled.problems import BOXED, EQUATION, HELD_OUT_SEED, TIERS, facts, generate, problems, step_labels


@pytest.mark.parametrize("tier", TIERS)
def test_every_equation_holds_and_stays_within_the_tier(tier):
    for seed in range(400):
        problem = generate(tier, seed)
        steps = problem.solution.split("\n\n")
        assert TIERS[tier].steps[0] <= len(steps) <= TIERS[tier].steps[1]
        results = set()
        for step in steps[:-1]:
            ((x, op, y, z),) = EQUATION.findall(step)
            value = {"+": int(x) + int(y), "-": int(x) - int(y), "*": int(x) * int(y), "/": int(x) / int(y)}[op]
            assert value == int(z) <= TIERS[tier].total
            results.add(z)
        assert BOXED.findall(steps[-1]) == [problem.answer]
        assert problem.answer in results


@pytest.mark.parametrize("tier", TIERS)
def test_every_operand_is_given_or_computed_before(tier):
    """Every operand stands in the question or is the result of an earlier step."""
    words = {"half": 2, "doubles": 2, "triples": 3}
    for seed in range(300):
        problem = generate(tier, seed)
        known = {int(number) for number in "".join(c if c.isdigit() else " " for c in problem.question).split()}
        known |= {value for word, value in words.items() if word in problem.question}
        for step in problem.solution.split("\n\n")[:-1]:
            ((x, _, y, z),) = EQUATION.findall(step)
            assert {int(x), int(y)} <= known, (problem.question, step)
            known.add(int(z))


def test_the_same_seed_makes_the_same_problem():
    assert generate("medium", 5) == generate("medium", 5)
    assert generate("medium", 5).question != generate("hard", 5).question
    assert generate("medium", HELD_OUT_SEED).question == (next(problems("medium")).question)


def test_no_question_occurs_twice():
    questions = [p.question for p in itertools.islice(problems("easy"), 3000)]
    assert len(set(questions)) == 3000


def test_training_text_never_asks_a_held_out_question():
    corpus = pytest.importorskip("research.training.corpus")
    held_out = frozenset(hash(generate(tier, HELD_OUT_SEED + k).question) for tier in TIERS for k in range(500))
    asked = [question for question, _ in itertools.islice(corpus.documents(1, corpus.FULL, held_out), 4000)]
    assert not any(hash(question) in held_out for question in asked)


def test_step_labels_worked_by_hand():
    reference = "A 1 + 1 = 2 x.\n\nB 2 * 3 = 6 x.\n\nThe answer is \\boxed{6}."
    assert step_labels(["so 1 + 1 = 2", "then 2 * 3 = 6", "\\boxed{6}"], reference) == [True, True, True]
    assert step_labels(["1 + 1 = 3", "2 * 3 = 6", "\\boxed{6}"], reference) == [False, False, False]
    assert step_labels(["1 + 1 = 2", "2 * 3 = 5"], reference) == [True, False]
    assert step_labels(["1 + 1 = 2", "\\boxed{6}"], reference) == [True, False]
    assert step_labels(["1 + 1 = 2", "2 * 3 = 6", "\\boxed{6}", "more 1 + 1 = 2"], reference) == [
        True,
        True,
        True,
        False,
    ]
    assert facts("The 3 bags hold 3 * 5 = 15, or \\boxed{15}") == ("3 * 5 = 15", "\\boxed{15}")
