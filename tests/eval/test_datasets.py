"""Data sets: a seed gives the same problems, files are read as documented, and errors name the line."""

from __future__ import annotations

import csv
import json
import re
import sys
from itertools import islice
from pathlib import Path

import pytest

from specs.bundled.problems import HELD_OUT_SEED, problems
from specs.core.votes import boxed, normal
from specs.errors import InputError, install_command
from specs.eval.datasets import GENERATED, MADE, load_problems, problem_json
from specs.eval.files import HUB, Verdict
from specs.eval.grading import correct

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.parametrize("tier", ["easy", "medium", "hard"])
def test_bundled_problems_are_those_of_the_generator(tier):
    found = load_problems(f"bundled:{tier}", limit=30)
    wanted = list(islice(problems(tier, HELD_OUT_SEED), 30))
    assert [(p.question, p.answer, p.solution) for p in found] == [(p.question, p.answer, p.solution) for p in wanted]
    assert [p.id for p in found] == [f"bundled:{tier}:{p.seed}" for p in wanted]


@pytest.mark.parametrize("dataset", MADE)
def test_generated_problems_are_a_function_of_their_seed(dataset):
    """A later start only leaves out the first problems, and a limit only shortens the list."""
    found = load_problems(dataset)
    assert len(found) == GENERATED
    assert load_problems(dataset, limit=7) == found[:7]
    third_seed = int(found[3].id.rpartition(":")[2])
    assert load_problems(dataset, third_seed, limit=5) == found[3:8]


@pytest.mark.parametrize("dataset", MADE)
def test_generated_problems_are_distinct_and_solved(dataset):
    """No question and no id occurs twice; no step of a solution is blank, and the last one boxes the answer."""
    found = load_problems(dataset)
    assert len({p.question for p in found}) == len({p.id for p in found}) == len(found)
    for problem in found:
        steps = (problem.solution or "").split("\n\n")
        assert len(steps) > 1
        assert all(step == step.strip() != "" and "####" not in step for step in steps)
        assert [boxed(step) for step in steps] == [None] * (len(steps) - 1) + [problem.answer]
        assert problem.answer == normal(problem.answer)


def test_gsm_symbolic_draws_templates_and_names_independently():
    """If both came from the first draw of the same stream, each template would always have the same name."""
    found = load_problems("gsm-symbolic", limit=1000)
    assert len({p.question.split()[0] for p in found}) > 60
    assert len({p.question.split()[0] for p in found if "a minute and saute" in p.question}) > 3


def test_gsm_symbolic_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(InputError, match=re.escape(install_command("eval"))):
        load_problems("gsm-symbolic", limit=1)


def _written(tmp_path, *lines):
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return str(path)


def test_a_file_of_listed_problems_is_read_back(tmp_path):
    wanted = load_problems("bundled:easy", limit=4)
    found = load_problems(_written(tmp_path, *map(problem_json, wanted)))
    assert list(map(problem_json, found)) == list(map(problem_json, wanted))


def test_aliases_numbers_blank_lines_and_limit(tmp_path):
    path = _written(
        tmp_path, {"problem": "1+1?", "answer": 2}, "", {"question": " what ", "answer": " x^2 "}, "no json"
    )
    found = load_problems(path, limit=2)
    assert [(p.question, p.answer, p.solution) for p in found] == [("1+1?", "2", None), (" what ", "x^2", None)]


def test_gsm8k_answers_become_steps(tmp_path):
    text = "Half of 48 is 48/2 = <<48/2=24>>24 clips.\nTogether 48+24 = <<48+24=72>>72.\n#### 72"
    (found,) = load_problems(_written(tmp_path, {"question": "How many?", "answer": text}))
    assert found.answer == "72"
    assert found.solution == "Half of 48 is 48/2 = 24 clips.\n\nTogether 48+24 = 72.\n\nThe answer is \\boxed{72}."
    (bare,) = load_problems(_written(tmp_path, {"question": "How many?", "answer": "#### 1,200"}))
    assert (bare.answer, bare.solution) == ("1,200", None)


def test_ids_in_a_file_depend_on_its_content(tmp_path):
    rows = [{"question": "same", "answer": "1"}, {"question": "same", "answer": "1"}]
    first = [p.id for p in load_problems(_written(tmp_path, *rows))]
    assert len(set(first)) == 2
    assert [p.id for p in load_problems(_written(tmp_path, *rows))] == first
    rows[1]["answer"] = "2"
    changed = [p.id for p in load_problems(_written(tmp_path, *rows))]
    assert changed[0] == first[0]
    assert changed[1] != first[1]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ({"answer": "1"}, "'question'"),
        ({"question": " ", "answer": "1"}, "'question'"),
        ({"question": "q"}, "'answer'"),
        ({"question": "q", "answer": ""}, "'answer'"),
        ({"question": "q", "answer": True}, "'answer'"),
        ({"question": "q", "answer": [1]}, "'answer'"),
        ({"question": "q", "final_answer": []}, "'answer'"),
        ({"question": "q", "answer": "so ####"}, "####"),
        ({"question": "q", "answer": "1", "solution": 3}, "'solution'"),
    ],
)
def test_a_malformed_line_is_reported(tmp_path, line, fault):
    path = _written(tmp_path, {"question": "q", "answer": "1"}, "", line)
    good, bad = load_problems(path)
    assert good.error is None
    assert re.search(rf"set\.jsonl, line 3: .*{fault}", bad.error)
    with pytest.raises(InputError, match=rf"set\.jsonl, (line|entry) 1: .*{fault}"):
        load_problems(_written(tmp_path, line))


def test_sources_that_are_no_data_set_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no data set 'bundled:simple'.*bundled:easy"):
        load_problems("bundled:simple")
    with pytest.raises(InputError, match="nor a file"):
        load_problems(str(tmp_path))
    with pytest.raises(InputError, match="holds no problems"):
        load_problems(_written(tmp_path, "", ""))
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        load_problems(str(binary))
    with pytest.raises(InputError, match="limit of 0"):
        load_problems("bundled:easy", limit=0)
    with pytest.raises(InputError, match="start at 0"):
        load_problems("bundled:easy", -1)


@pytest.mark.parametrize("key", ["question", "answer", "solution"])
@pytest.mark.parametrize("half", [chr(0xD83D), chr(0xDFFF), chr(0xDC80)])
def test_a_lone_surrogate_is_reported_with_its_line(tmp_path, key, half):
    row = {"question": "2 + 2?", "answer": "4", "solution": "So 4."}
    (tmp_path / "set.jsonl").write_text("\n".join(map(json.dumps, [row, {**row, key: f"a{half}"}])))
    _, bad = load_problems(str(tmp_path / "set.jsonl"))
    assert re.search(r"set\.jsonl, line 2: the text contains half of a character .*; save it again", bad.error)


def test_csv_and_parquet_are_read_as_json_lines(tmp_path):
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    rows = [
        {"problem": "1+1?", "answer": "2", "solution": "a\n\nb"},
        {"problem": 'say "x, y"', "answer": "x", "solution": ""},
    ]
    (tmp_path / "set.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with (tmp_path / "set.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "set.parquet")
    wanted = load_problems(str(tmp_path / "set.jsonl"))
    assert [p.solution for p in wanted] == ["a\n\nb", None]
    for suffix in ("csv", "parquet"):
        assert load_problems(str(tmp_path / f"set.{suffix}")) == wanted
    (tmp_path / "bad.parquet").write_text("no table")
    with pytest.raises(InputError, match="is not a parquet file"):
        load_problems(str(tmp_path / "bad.parquet"))


def test_a_list_of_answers_is_one_answer_in_any_order(tmp_path):
    (problem,) = load_problems(
        _written(tmp_path, {"question": "q", "final_answer": ["$2$", "$x=-3$"], "solution": ["s", "t"]})
    )
    assert (problem.answer, problem.solution) == ("2, x=-3", "s\n\nt")
    assert correct("-3, 2", problem.answer)
    assert not correct("2", problem.answer)


@pytest.mark.parametrize("name", HUB)
def test_public_sets_are_fetched_from_the_hub_by_name(name, tmp_path, monkeypatch):
    asked = []

    def fetch(repository, file, repo_type):
        asked.append((repository, file, repo_type))
        return _written(tmp_path, {"question": "q", "answer": "1"})

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    (problem,) = load_problems(name)
    assert asked == [(*HUB[name], "dataset")]
    assert problem.id.startswith(f"{name}:1:")

    def offline(*_, **__):
        raise OSError("no network\nmore")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(
        InputError, match=rf"{name} could not be downloaded from the hub \(no network\); give it as a file"
    ):
        load_problems(name)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the public test sets beside this checkout")
@pytest.mark.parametrize(
    ("name", "problems"), [("math500", 500), ("amc23", 40), ("olympiadbench", 675), ("gsm8k", 1319)]
)
def test_public_sets_are_read_completely(name, problems):
    found = load_problems(str(DATA / f"{name}.jsonl"))
    assert len(found) == len({p.id for p in found}) == problems
    assert all(p.question.strip() and p.answer for p in found)


def test_columns_may_have_other_names(tmp_path):
    path = _written(tmp_path, {"prompt": "How many?", "label": 3, "answer": "not this"})
    (problem,) = load_problems(path, question_column="prompt", answer_column="label")
    assert (problem.question, problem.answer) == ("How many?", "3")
    (problem,) = load_problems(path, question_column="prompt")
    assert problem.answer == "not this"
    with pytest.raises(InputError, match=r"line 1: no text under 'query'; its columns are"):
        load_problems(path, question_column="query")
    with pytest.raises(InputError, match=r"line 1: no text or number under 'gold'; its columns are"):
        load_problems(path, question_column="prompt", answer_column="gold")
    with pytest.raises(InputError, match="math500 is not a file"):
        load_problems("math500", answer_column="gold")


@pytest.mark.parametrize("name", ["chain_sum", "countdown", "gcd", "simple_equations", "word_sorting"])
def test_generators_of_reasoning_gym_are_data_sets_with_their_verifiers(name):
    found = load_problems(f"reasoning-gym:{name}", problem_seed=5, limit=6)
    assert len({problem.id for problem in found}) == len({problem.question for problem in found}) == len(found) > 3
    assert found[:3] == load_problems(f"reasoning-gym:{name}", problem_seed=5, limit=3)
    for problem in found:
        assert problem.verify(problem.answer) == Verdict(True)
        assert problem.verify("nothing of the kind") == Verdict(False)


def test_a_verifier_accepts_every_right_answer():
    """In countdown any expression that reaches the number is right, not only the library's own."""
    for problem in load_problems("reasoning-gym:countdown", problem_seed=5, limit=5):
        assert problem.verify(f"({problem.answer})").correct is True


def test_an_unknown_generator_is_named_with_the_most_similar_one(monkeypatch):
    with pytest.raises(InputError, match=r"no generator 'chain_sums'; did you mean 'chain_sum'\?"):
        load_problems("reasoning-gym:chain_sums", limit=1)
    with pytest.raises(InputError, match="composite"):
        load_problems("reasoning-gym:composite", limit=1)
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(InputError, match=re.escape(install_command("eval"))):
        load_problems("reasoning-gym:chain_sum", limit=1)


def test_a_verifier_that_fails_leaves_its_problem_undecided():
    problem = load_problems("reasoning-gym:chain_sum", limit=1)[0]
    _, entry = problem.verify.args

    class Broken:
        def score_answer(self, answer, entry):
            raise ZeroDivisionError

    found = type(problem.verify)(problem.verify.func, Broken(), entry)("1")
    assert (found.correct, found.reason) == (
        None,
        "the verifier of reasoning_gym failed (ZeroDivisionError: no message)",
    )


ROWS = [{"q": "1 + 1?", "gold": "2"}, {"q": "2 + 2?", "gold": "4"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("set.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("set.json", json.dumps(ROWS)),
        ("set.json", json.dumps(ROWS, indent=2)),
        ("set.jsonl", "\ufeff" + json.dumps(ROWS)),
        ("set.csv", "q,gold\n1 + 1?,2\n2 + 2?,4\n"),
        ("set.csv", "q;gold\n1 + 1?;2\n2 + 2?;4\n"),
        ("set.tsv", "q\tgold\n1 + 1?\t2\n2 + 2?\t4\n"),
    ],
)
def test_the_same_rows_in_every_form(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    found = load_problems(str(tmp_path / name), question_column="q", answer_column="gold")
    assert [(problem.question, problem.answer) for problem in found] == [("1 + 1?", "2"), ("2 + 2?", "4")]


def test_a_message_names_the_columns_that_are_there_and_the_option(tmp_path):
    path = _written(tmp_path, *ROWS)
    with pytest.raises(InputError) as raised:
        load_problems(path)
    assert "its columns are 'q', 'gold': name the right one with --question-column" in str(raised.value)
    with pytest.raises(InputError) as raised:
        load_problems(path, question_column="q")
    assert "its columns are 'q', 'gold': name the right one with --answer-column" in str(raised.value)


def test_a_row_that_cannot_be_used_is_its_own_fault(tmp_path):
    good = {"question": "1 + 1?", "answer": "2"}
    path = _written(tmp_path, good, "{broken", {"question": "2 + 2?"}, [1], good | {"question": "3 + 3?"})
    found = load_problems(path)
    assert [problem.error is None for problem in found] == [True, False, False, False, True]
    assert len({problem.id for problem in found}) == 5
    assert "line 2: not JSON" in found[1].error
    assert "line 3: no text or number under 'answer'" in found[2].error
    assert "line 4: not an object" in found[3].error
