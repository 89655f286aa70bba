"""The grader, over every reference answer of four public sets where they are at hand, and over hard cases."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from specs.cli import main
from specs.eval.datasets import load_problems
from specs.eval.grading import correct, extract
from specs.eval.judge import parts

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.parametrize(
    ("prediction", "answer", "right"),
    [
        ("1/2", "0.5", True),
        (r"\dfrac{1}{2}", r"\frac12", True),
        (r"2\sqrt{2}", r"\sqrt{8}", True),
        ("1+x", "x+1", True),
        ("x=5", "5", True),
        (r"5\text{ cm}", "5", True),
        (r"90^\circ", "90", True),
        (r"50\%", "50", True),
        ("East", r"\text{east}", True),
        (r"40_{9}", "40_9", True),
        ("40_8", "40_9", False),
        ("[0,1)", "[0,1]", False),
        ("(1,2)", "(2,1)", False),
        (r"\{2,1\}", r"\{1,2\}", True),
        ("2, 1", "1,2", True),
        (r"2 \text{ and } 1", "1,2", True),
        ("(3,4), (1,2)", "(1,2),(3,4)", True),
        ("1,1,2", "1,2,2", False),
        ("1,2", "1,2,3", False),
        ("12", "1,2", False),
        ("1,234", "1234", True),
        ("x", "y", False),
        ("", "x", False),
        (None, "x", False),
        ("1,234.0", "1234", True),
        ("$1234$", "1234", True),
        ("1235", "1234", False),
    ],
)
def test_what_is_the_same(prediction, answer, right):
    assert correct(prediction, answer) is right


def test_an_endless_comparison_is_undecided_in_time_and_the_next_one_is_not():
    start = time.perf_counter()
    assert correct("2^{9^{9^{9}}}", "3", timeout_s=1.0) is None
    assert time.perf_counter() - start < 60
    assert correct(r"\frac{2}{4}", "0.5") is True


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{1} or rather \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("work\n#### 7", "7"),
        ("The answer is 42.", "42"),
        ("Final answer: $x+1$. I hope it is correct.", "$x+1$"),
        ("thus $y=4$ follows", "y=4"),
        ("we get 12 and 3/4 cups", "3/4"),
        ("no idea", None),
    ],
)
def test_the_answer_in_a_solution(text, answer):
    assert extract(text) == answer


def test_lists_are_split_outside_brackets():
    assert [part.strip() for part in parts(r"(1,2), [3,4) and \{5, 6\}")] == ["(1,2)", "[3,4)", r"\{5, 6\}"]
    assert parts("1,234") == ["1,234"]


def _perturbed(answer):
    """The answer with its last digit changed; None without one."""
    found = re.search(r"\d(?=\D*$)", answer)
    return found and answer[: found.start()] + str((int(found.group()) + 3) % 10) + answer[found.end() :]


@pytest.mark.skipif(not DATA.is_dir(), reason="the public test sets are not beside this checkout")
@pytest.mark.parametrize("name", ["math500", "amc23", "gsm8k", "olympiadbench"])
def test_references_equal_themselves_rewritten_and_differ_when_perturbed(name):
    answers = [problem.answer for problem in load_problems(str(DATA / f"{name}.jsonl"))]
    same, rewritten, wrong, perturbed = 0, 0, 0, 0
    for answer in answers:
        same += correct(answer, answer) is True
        other = answer.replace(r"\left", "").replace(r"\right", "").replace(r"\frac", r"\dfrac")
        number = re.fullmatch(r"-?\d+(\.0)?", answer)
        other = rf"\frac{{{2 * int(float(answer))}}}{{2}}" if number else rf"{other} "
        rewritten += correct(other, answer) is True
        if other := _perturbed(answer):
            perturbed += 1
            wrong += correct(other, answer) is not False
    assert same == len(answers)
    assert rewritten >= 0.97 * len(answers)
    assert wrong <= 0.01 * perturbed


def test_grade_prints_a_row_each_and_a_summary(tmp_path, capsys):
    file = tmp_path / "made.jsonl"
    rows = [
        {"prediction": r"Let us see.\n\nIt is \boxed{\frac{1}{2}}.", "answer": "0.5"},
        {"prediction": "7", "answer": 8},
        {"prediction": None, "answer": "1"},
        {"prediction": "x + 1", "answer": "1+x"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["grade", str(file)]) == 0
    *verdicts, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["correct"] for row in verdicts] == [True, False, False, True]
    summary = last["summary"]
    assert (summary["rows"], summary["correct"], summary["undecided"], summary["accuracy"]) == (4, 2, 0, 0.5)
    assert summary["accuracy_interval"] == pytest.approx([0.150, 0.850], abs=1e-3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: no 'answer' and 'prediction'"),
        ('{"answer": null, "prediction": "1"}', "'answer' is null"),
        ('{"answer": "1", "prediction": []}', "'prediction' is no text or number"),
        ("", "holds nothing to grade"),
    ],
)
def test_grade_names_what_is_wrong_with_a_file(tmp_path, capsys, line, message):
    file = tmp_path / "made.jsonl"
    file.write_text(line + "\n")
    assert main(["grade", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_without_the_library_the_mend_is_named(monkeypatch):
    monkeypatch.setattr("specs.eval.grading.find_spec", lambda name: None)
    from specs.errors import InputError, install_command
    from specs.eval.grading import _Judge

    with pytest.raises(InputError, match=re.escape(install_command("eval"))):
        _Judge().same("x", "y", 1.0)
