"""The grader, on pairs of answers of every kind and on the reference answers of four public sets if present."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.answer_pairs import DIFFERENT, SAME, pairs
from specs.cli import main
from specs.core.statistics import wilson
from specs.core.votes import majority
from specs.eval import grading
from specs.eval.datasets import load_problems
from specs.eval.equivalence import same
from specs.eval.extraction import stated
from specs.eval.files import Problem
from specs.eval.grading import correct, extract, read_answer, same_answer
from specs.eval.grid import GridPoint
from specs.eval.rows import Row
from specs.methods.single import Single
from specs.types import Finish, Result

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PATIENT_S = 60.0
"""Time for a comparison on a machine that does other things as well."""


@pytest.mark.parametrize("kind", SAME)
def test_predictions_that_are_right(kind):
    wrong = [
        (answer, prediction, read_answer(prediction, answer))
        for answer, prediction in pairs(SAME[kind])
        if same_answer(read_answer(prediction, answer), answer, PATIENT_S) is not True
    ]
    assert wrong == []


@pytest.mark.parametrize("kind", DIFFERENT)
def test_predictions_that_are_wrong(kind):
    right = [
        (answer, prediction, read_answer(prediction, answer))
        for answer, prediction in pairs(DIFFERENT[kind])
        if same_answer(read_answer(prediction, answer), answer, PATIENT_S) is not False
    ]
    assert right == []


def test_every_answer_equals_itself():
    answers = [answer for table in (SAME, DIFFERENT) for kind in table for answer, _ in pairs(table[kind])]
    assert [answer for answer in answers if correct(answer, answer) is not True] == []


@pytest.mark.parametrize("kind", ["white space and case", "mixed numbers", "plus-minus", "units", "intervals"])
def test_different_answers_differ_in_either_order(kind):
    ways = [(one, other) for one, other in pairs(DIFFERENT[kind]) if same_answer(one, other, PATIENT_S) is not False]
    assert ways == []


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [("", ""), ("5", ""), ("", "5"), (" ", "5"), (r"\boxed{}", ""), ("$$", "$$"), (".", "."), (r"\text{}", r"\text{}")],
)
def test_an_empty_answer_is_never_right(prediction, answer):
    assert correct(prediction, answer) is False
    assert correct(None, answer) is False


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
        ("x", "y", False),
        ("1,234.0", "1234", True),
        ("1235", "1234", False),
    ],
)
def test_a_bare_answer_is_graded(prediction, answer, right):
    assert correct(prediction, answer, PATIENT_S) is right


def test_an_endless_comparison_is_given_up_and_the_next_one_works():
    start = time.perf_counter()
    assert correct("2^{9^{9^{9}}}", "3", timeout_s=1.0) is None
    assert time.perf_counter() - start < 60
    assert correct("1, 2^{9^{9^{9}}}", "1, 3", timeout_s=1.0) is None
    assert correct("(2, 2^{9^{9^{9}}})", "(1, 3)", timeout_s=1.0) is False  # decided by the first entries, 2 and 1
    assert correct(r"\sqrt{8}", r"2\sqrt2", PATIENT_S) is True


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{1} or rather \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"the answer is 3, in a box \boxed{4}", "4"),
        ("work\n#### 7", "7"),
        ("#### 6\n\nQ: another\n#### 7", "7"),
        ("The answer is 42.", "42"),
        ("The answer: 41? No. The answer is 42, since 41 is odd.", "42"),
        ("Final answer: $x+1$. I hope it is correct.", "$x+1$"),
        ("The answer is 42. So the answer is correct.", "42"),
        ("**Final answer**\n\n**(3, 4)**", "(3, 4)"),
        ("the answer is\n\\[\n  x^2 + 1\n\\]\nas claimed", "x^2 + 1"),
        ("thus $y=4$ follows", "y=4"),
        ("first $x=3$.\nthen 12 remain", "12"),
        ("we get 12 and 3/4 cups", "12, 3/4"),
        ("it costs $130, is sold for $200, so $70 is gained", "$70"),
        ("So 8-5=3, and 5-8 leaves -3", "-3"),
        ("The mass is 3.5 kilograms.", "3.5 kilograms"),
        ("We need 5 million dollars", "5 million dollars"),
        ("That makes **8**. Since 3 + 5 = 8 and 2 is even, all is well.", "8"),
        ("The area is 4π.", "4π"),
        ("the least is \\frac{7}{9} of it", "\\frac{7}{9}"),
        ("\\begin{align*} x &= 3 + 4 \\\\ &= 7 \\end{align*}", "= 7"),
        ("\\begin{align*} \\end{align*}", None),
        ("12 apples", "12 apples"),
        ("x = 5", "x = 5"),
        ("not possible", "not possible"),
        ("no idea", None),
        ("I don't know the answer", None),
        ("the ball is red on Monday and blue on Tuesday", None),
        ("", None),
        ("\n\n", None),
    ],
)
def test_extract_finds_the_answer_in_a_text(text, answer):
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "count", "answer"),
    [
        (r"\boxed{3}, \boxed{5}, \boxed{7}", 3, "3, 5, 7"),
        (r"\boxed{1} then \boxed{3}, \boxed{5}", 2, "3, 5"),
        (r"\boxed{1} then \boxed{3, 5}", 2, "3, 5"),
        (r"\boxed{3}, \boxed{5}, so \boxed{\pm 1}", 2, r"\pm 1"),
        (r"\boxed{3}", 2, "3"),
        (r"\boxed{\text{the answer is } 3}", 1, "3"),
        ("roots are $3$ and $5$", 2, "3, 5"),
        ("x = 3\ny = 5", 2, "x = 3, y = 5"),
    ],
)
def test_extract_takes_as_many_final_answers_as_the_reference_has(text, count, answer):
    assert extract(text, count) == answer


LONG = [
    "#### ",
    r"\[ ",
    r"\( ",
    "$$ ",
    "the answer is ",
    "**a ",
    "$a b ",
    "12 ",
    "(1,",
    "answer\n",
    "\n",
    "!\n",
    ". ",
    "- ",
]
LONG += [
    "`a ",
    r"\boxed{",
    r"\boxed{1}",
    "= ",
    "x^",
    r"\frac{1}{2}",
    "1,000",
    "_a",
    " ",
    "\t\n",
    r"\begin{array}",
    "not ",
]


@pytest.mark.parametrize("piece", LONG)
def test_extraction_takes_little_time(piece):
    text = "The answer is" + piece * (200_000 // len(piece))
    start = time.perf_counter()
    extract(text)
    stated(text)
    assert time.perf_counter() - start < 20  # under a second on an idle machine


@pytest.mark.parametrize("listed", ['["3", "5"]', "['3', '5']", ' ["5","3"] ', "3, 5"])
def test_lists_in_json_are_read_as_lists(listed):
    assert correct(listed, "3, 5") is True
    assert correct("5, 3", listed) is True
    assert correct(r"\boxed{3} or \boxed{5}", listed) is True
    assert correct("3", listed) is False


PIECES = [*"12xRi,.;:{}()[]^_-+=<>|!'\"$/%&~*#`…½⁰−°\n ", "\ud83d", "٣", "$$", "and", "or", "not ", "=3", "f(", "x+"]
PIECES += (
    r"\frac \sqrt \text{ \boxed{ \pm \mp \{ \} \le \cup \in \circ \sin \ln \\ \[ \] \( \) ... ** #### [' ']".split()
)
PIECES += [r"\begin{align}", r"\end{align}", r"\begin{pmatrix}", "1e999", "^{6000}", "1/3^{6000}", "the answer is "]
PIECES += [" m", " cm", "mi^3 ", "million ", "answer\n", "is "]
COUNTS = [1, 1, 1, 1, 2, 3, 30, 400]
JUNK = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(COUNTS)), max_size=12).map(
    lambda runs: "".join(piece * count for piece, count in runs)
)


@given(JUNK, JUNK)
@example("1", r"\text{" * 30 + "½" * 400)
@example("1", r"\text{" * 38 + "½" * 150)
@example("1", "½" * 1990)
@example("1", r"\text{" * 38 + "1" * 1700)
@settings(deadline=None, max_examples=60)
def test_any_text_is_graded_without_an_exception_in_bounded_work(prediction, answer):
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        majority([prediction, answer])
        answer = stated(answer)
        read = read_answer(prediction, answer)
        if read:
            same(read, answer, lambda *_: False)
    finally:
        sys.setprofile(None)
    assert calls < 2_000_000  # takes a second or two


def test_an_unforeseen_exception_leaves_only_its_row_undecided(tmp_path, capsys, monkeypatch):
    graded = grading.same_answer
    monkeypatch.setattr(grading, "same_answer", lambda read, *rest: [][1] if read == "7" else graded(read, *rest))
    file = tmp_path / "made.jsonl"
    file.write_text(_lines(ROWS))
    rows, summary = _graded(capsys, file)
    assert [row["correct"] for row in rows] == [True, None, *VERDICTS[2:]]
    assert rows[1]["reason"] == "IndexError while it was graded"
    assert summary["undecided"] == 1


def test_an_answer_that_crashes_math_verify_is_undecided_and_the_next_one_is_graded(monkeypatch, capsys):
    worker = pytest.importorskip("specs.eval.formula_worker")
    asked = [{"prediction": prediction, "answer": "y"} for prediction in ("x", "?", "x")]
    monkeypatch.setattr(worker, "same", lambda prediction, answer: {"x": True, r"2 \sin x \cos x": True}[prediction])
    monkeypatch.setattr("sys.stdin", io.StringIO(_lines(asked)))
    worker.main()
    assert [json.loads(line).get("correct") for line in capsys.readouterr().out.splitlines()[1:]] == [True, None, True]


def test_numbers_in_json_keep_all_digits(tmp_path, capsys):
    long, other = "0.12345678901234567890", "0.12345678901234567891"
    numbers = [("1e400", "1e400"), ("1e400", "1e500"), (long, long), (long, other), ("1e400", '"1e400"')]
    numbers += [("1234567890123456.78", "1234567890123456.79"), ("1e400", r'"\\infty"'), ("0.5", "5e-1")]
    file = tmp_path / "made.jsonl"
    file.write_text("".join(f'{{"id": 1.5, "answer": {one}, "prediction": {two}}}\n' for one, two in numbers))
    rows, _ = _graded(capsys, file)
    assert [row["correct"] for row in rows] == [True, False, True, False, True, False, False, True]
    assert rows[0]["id"] == 1.5


def test_a_lone_surrogate_is_printed_escaped(tmp_path, capsys):
    file = tmp_path / "made.jsonl"
    file.write_text(_lines([{"id": "\ud83d", "answer": 5, "prediction": "\\boxed{\ud83d5}"}, *ROWS]))
    rows, summary = _graded(capsys, file)
    assert (rows[0]["id"], rows[0]["extracted"], rows[0]["correct"]) == ("\ud83d", "\ud83d5", False)
    assert summary["rows"] == 1 + len(ROWS)


def test_csv_fields_may_be_long_and_rows_must_have_the_same_number_of_fields(tmp_path, capsys, monkeypatch):
    file = tmp_path / "T.CSV"
    file.write_text(f"answer,prediction\n5,{'x ' * 100_000} so 5.\n")
    assert [row["correct"] for row in _graded(capsys, file)[0]] == [True]
    for row, said in (("5,1,000", "row 2: more fields"), ("5", "row 2: fewer fields")):
        file.write_text(f"answer,prediction\n5,5\n{row}\n")
        verdicts, summary = _graded(capsys, file)
        assert [one["correct"] for one in verdicts] == [True, None]
        assert f"{said} than the first row; quote fields that contain ','" in verdicts[1]["reason"]
        assert (summary["rows"], summary["undecided"]) == (2, 1)
    _pipe(monkeypatch, "answer,prediction\né,é\n".encode("latin-1"))
    assert main(["grade", "-"]) == 2
    assert "standard input cannot be read" in capsys.readouterr().err


def _command(line):
    command = line.replace("specs", f"{sys.executable} -m specs")
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)


def test_rows_are_read_from_a_process_substitution(tmp_path):
    (tmp_path / "made.csv").write_text("answer,prediction\n5,5\n")
    (tmp_path / "made.jsonl").write_text(_lines(ROWS[:2]))
    for name, rows in (("made.csv", 1), ("made.jsonl", 2)):
        done = _command(f"specs grade <(cat {tmp_path / name})")
        assert (done.returncode, len(done.stdout.splitlines())) == (0, rows + 1), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_of_one_line(tmp_path):
    (tmp_path / "made.csv").write_text("answer,prediction\n5,5\n")
    done = _command(f"specs grade {tmp_path / 'made.csv'} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "specs: OSError: [Errno 28] No space left on device\n")


def test_a_malformed_list_is_text():
    assert correct("['3', 5", "3, 5") is False
    assert correct("['3', 5]", "['3', 5]") is True


def _perturbed(answer):
    """The answer with its last digit changed; None if it has no digit."""
    found = re.search(r"\d(?=\D*$)", answer)
    return found and answer[: found.start()] + str((int(found.group()) + 3) % 10) + answer[found.end() :]


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the public test sets beside this checkout")
@pytest.mark.parametrize("name", ["math500", "amc23", "gsm8k", "olympiadbench"])
def test_references_equal_themselves_rewritten_and_differ_when_changed(name):
    answers = [problem.answer for problem in load_problems(str(DATA / f"{name}.jsonl"))]
    same, boxed, rewritten, wrong, perturbed = 0, 0, 0, 0, 0
    for answer in answers:
        same += correct(answer, answer) is True
        boxed += same_answer(read_answer(rf"So it is $\boxed{{{answer.strip('$')}}}$.", answer), answer) is True
        other = answer.replace(r"\left", "").replace(r"\right", "").replace(r"\frac", r"\dfrac")
        number = re.fullmatch(r"-?\d+(\.0)?", answer)
        other = rf"\frac{{{2 * int(float(answer))}}}{{2}}" if number else rf"{other} "
        rewritten += correct(other, answer) is True
        if other := _perturbed(answer):
            perturbed += 1
            wrong += correct(other, answer) is not False
    assert same == boxed == len(answers)
    assert rewritten >= 0.99 * len(answers)
    assert wrong <= 0.01 * perturbed


def _result(text):
    return Result(
        answer=None, text=text, finish_reason=Finish.END_OF_TEXT, method="target", question="q", steps=(), usage={},
        flops=0.0, latency_s=1.0, time_to_first_step_s=None, seed=0, models={}, prompt_token_ids={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reference", "extract", "answer", "right"),
    [
        (r"\boxed{3}, \boxed{5}", "3, 5", False, "3, 5", True),
        (r"\boxed{3}, \boxed{5}", "5", False, "5", True),
        ("The answer is 5.", "5", False, None, False),
        ("The answer is 5.", "5", True, "5", True),
        (r"The answer is 4, no: \boxed{5}", "5", True, "5", True),
    ],
)
def test_a_row_says_which_answer_was_compared(text, reference, extract, answer, right):
    point = GridPoint("target", Single())
    row = Row.of(Problem("q", reference, None, "p:1"), point, _result(text), extract)
    assert (row.answer, row.correct) == (answer, right)


ROWS = [
    {"id": "a", "prediction": r"Let us see.\n\nIt is \boxed{\frac{1}{2}}.", "answer": "0.5"},
    {"id": "b", "prediction": "7", "answer": 8},
    {"id": "c", "prediction": None, "answer": "1"},
    {"id": "d", "prediction": "x + 1", "answer": "1+x"},
    {"id": "e", "prediction": r"\boxed{5} and \boxed{3}", "answer": ["3", "5"]},
    {"id": "f", "prediction": [3, 5.5], "answer": "5.5, 3"},
    {"id": "g", "prediction": "0.00001", "answer": 0.00001},
    {"id": "h", "prediction": "The total is 72 pins.", "answer": "8 * 9 = 72\n#### 72"},
]
VERDICTS = [True, False, False, True, True, True, True, True]


def _graded(capsys, *options):
    assert main(["grade", *map(str, options)]) == 0
    *verdicts, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return verdicts, last["summary"]


def _pipe(monkeypatch, content):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def _lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_grade_prints_a_line_for_each_row_and_a_summary(tmp_path, capsys):
    file = tmp_path / "made.jsonl"
    file.write_text(_lines(ROWS))
    verdicts, summary = _graded(capsys, file)
    assert [row["correct"] for row in verdicts] == VERDICTS
    assert [row["id"] for row in verdicts] == list("abcdefgh")
    assert [row["extracted"] for row in verdicts] == [
        r"\frac{1}{2}", "7", None, "x + 1", "5, 3", "3, 5.5", "0.00001", "72"
    ]  # fmt: skip
    assert (summary["rows"], summary["correct"], summary["wrong"], summary["undecided"]) == (8, 6, 2, 0)
    assert summary["accuracy"] == summary["accuracy_if_undecided_are_correct"] == 0.75
    assert summary["accuracy_interval"] == pytest.approx([0.409, 0.929], abs=1e-3)


def test_a_grading_that_times_out_is_undecided_but_counted(tmp_path, capsys, monkeypatch):
    verdicts = iter([True, None, False, None])
    monkeypatch.setattr(grading, "same_answer", lambda *_: next(verdicts))
    file = tmp_path / "made.jsonl"
    file.write_text(_lines([*ROWS[:2], *ROWS[3:5]]))
    rows, summary = _graded(capsys, file)
    assert [row["correct"] for row in rows] == [True, None, False, None]
    assert [row.get("reason") for row in rows] == [None, "math-verify failed to compare them or took too long"] * 2
    assert (summary["rows"], summary["correct"], summary["wrong"], summary["undecided"]) == (4, 1, 1, 2)
    assert (summary["accuracy"], summary["accuracy_if_undecided_are_correct"]) == (0.25, 0.75)
    assert summary["accuracy_interval"] == [wilson(1, 4).low, wilson(3, 4).high]


CSV = 'uid,model,gold\n1,"\\boxed{3}, \\boxed{5}","[""3"",""5""]"\n2,The answer is 4,"1,000"\n3,"a\nb 7.",7\n4,,\n'


@pytest.mark.parametrize("standard_input", [True, False])
def test_grade_reads_csv_with_columns_of_any_name(tmp_path, capsys, monkeypatch, standard_input):
    file = tmp_path / "made.csv"
    file.write_text(CSV)
    if standard_input:
        _pipe(monkeypatch, ("\ufeff" + CSV).encode())
        file = "-"
    columns = ["--prediction-column", "model", "--answer-column", "gold", "--id-column", "uid"]
    verdicts, summary = _graded(capsys, file, *columns)
    assert [(row["id"], row["correct"]) for row in verdicts] == [("1", True), ("2", False), ("3", True), ("4", False)]
    assert summary["accuracy"] == 0.5


def test_grade_reads_json_lines_from_standard_input(capsys, monkeypatch):
    _pipe(monkeypatch, _lines(ROWS).encode())
    assert [row["correct"] for row in _graded(capsys, "-")[0]] == VERDICTS


def test_grade_accepts_any_json_value_as_id(capsys, monkeypatch):
    ids = ["a", 7, 0.5, None, [1.5, {"part": 2.5}], "\ud800", "é"]
    _pipe(monkeypatch, _lines([{"id": name, "prediction": "1", "answer": "1"} for name in ids]).encode())
    assert [row["id"] for row in _graded(capsys, "-")[0]] == ids


def test_grade_reads_parquet(tmp_path, capsys):
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    rows = [{"prediction": r"\boxed{3} \boxed{5}", "answer": ["3", "5"]}, {"prediction": None, "answer": ["1"]}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "made.parquet")
    verdicts, _ = _graded(capsys, tmp_path / "made.parquet")
    assert verdicts == [{"correct": True, "extracted": "3, 5"}, {"correct": False, "extracted": None}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "holds nothing to grade"),
        ("[1]", "entry 1: not an object; give one with 'answer' and 'prediction'"),
        ('{"answer": "1"}', "line 1: no 'prediction'; its columns are 'answer': name the right one with --prediction"),
        ("{}", "line 1: no 'answer' and no 'prediction'; it is empty"),
        ('{"answer": NaN, "prediction": "1"}', "'answer' is not a text, a number"),
        ("[" * 100_000, "line 1: not JSON"),
        ('{"answer": null, "prediction": "1"}', "'answer' is null"),
        ('{"answer": "1", "prediction": []}', "'prediction' is not a text, a number"),
        ('{"answer": "1", "prediction": [["1"]]}', "'prediction' is not a text, a number"),
        ('{"answer": true, "prediction": "1"}', "'answer' is not a text, a number"),
        ('{"answer": {}, "prediction": "1"}', "'answer' is not a text, a number"),
        ("", "holds nothing to grade"),
    ],
)
def test_grade_reports_errors_in_a_file(tmp_path, capsys, line, message):
    file = tmp_path / "made.jsonl"
    file.write_text(line + "\n")
    assert main(["grade", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_grade_reports_a_missing_file_and_a_missing_column(tmp_path, capsys):
    assert main(["grade", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl is not a file; give rows with answer and prediction" in capsys.readouterr().err
    file = tmp_path / "made.jsonl"
    file.write_text(_lines(ROWS))
    assert main(["grade", str(file), "--id-column", "uid"]) == 2
    assert "line 1: no 'uid'; name another column with --id-column" in capsys.readouterr().err


def test_without_math_verify_the_error_names_the_extra_before_any_output(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("specs.eval.grading.find_spec", lambda name: None)
    from specs.errors import InputError, install_command
    from specs.eval.grading import FormulaWorker

    with pytest.raises(InputError, match=re.escape(install_command("eval"))):
        FormulaWorker().same("x", "y", 1.0)
    file = tmp_path / "made.jsonl"
    file.write_text(_lines(ROWS))
    assert main(["grade", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"specs: comparing formulas needs math-verify: {install_command('eval')}\n"


def test_numbers_are_graded_without_math_verify(monkeypatch):
    monkeypatch.setattr(grading, "_WORKER", grading.FormulaWorker())
    monkeypatch.setattr(grading, "find_spec", lambda name: None)
    for prediction, answer, right in [("1/2", "0.5", True), ("3 m", "3 cm", False), ("(1, 2)", "(1,3)", False)]:
        assert correct(prediction, answer) is right
