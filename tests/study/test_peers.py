"""The benchmark of its_hub, RSD and SPECS: arithmetic, tables and adapters, without servers or that code."""

import asyncio
import sys
from collections import Counter
from functools import partial
from textwrap import dedent
from types import SimpleNamespace

import pytest

from research.benchmarks import peer_code
from research.benchmarks.peer_report import BARS, COUNTERPART, Bar, judged, table
from research.benchmarks.peers import ROWS, Turn, in_threads, measured, missing, ratio, summary
from research.benchmarks.published import Prompts, Solved
from specs import load
from specs.bundled.problems import HELD_OUT_SEED, generate
from specs.engines.folders import BUNDLED
from specs.engines.text import HubText

PROBLEMS = [generate("easy", HELD_OUT_SEED + k) for k in range(4)]
SEARCH = """
    from tqdm import tqdm
    from transformers import AutoTokenizer
    from external.qwen25_math_evaluation.evaluate import evaluate
    from external.qwen25_math_evaluation.utils import set_seed, load_jsonl, save_jsonl, construct_prompt
    from external.qwen25_math_evaluation.parser import *
    from external.qwen25_math_evaluation.data_loader import load_data
    from external.skywork_o1_prm_inference.model_utils.io_utils import prepare_input, derive_step_rewards_vllm

    def get_responses(args, draft, target, prm, draft_tokenizer, target_tokenizer, prm_tokenizer, prompts, problems):
        print("a step")
        assert args.patience == args.max_steps and args.prm_threshold == 0.7
        (text,) = draft.completions.create(prompt=prompts)
        inputs, _, flags = zip(*[prepare_input(p, text, tokenizer=prm_tokenizer, step_token="-") for p in problems])
        ((reward,),) = derive_step_rewards_vllm(prm.embeddings.create(input=inputs, model="prm"), flags)
        assert 0 < reward < 1 and draft_tokenizer.encode(text)
        return [text], [], [], []
"""


@pytest.fixture(scope="module")
def prm():
    return load().prm


def one(latency_s, answer="0", failure=None):
    return Solved(answer, latency_s, {}, failure)


def turn(*latencies_s, requests=0):
    return Turn([one(latency_s) for latency_s in latencies_s], max(latencies_s), {"target": requests})


def test_a_turn_counts_once_by_the_mean_of_the_solves_that_did_not_fail():
    ours = [turn(1.0, 3.0), turn(4.0, 4.0), Turn([one(9.0, None, "it broke"), one(1.0)], 9.0, {})]
    theirs = [turn(4.0, 4.0), turn(4.0, 4.0), turn(1.0, 4.0)]
    found = ratio(ours, theirs)
    assert (found["turns"], found["median"]) == (3, 0.5)
    assert found["of_means"] == pytest.approx((2 + 4 + 1) / (4 + 4 + 4), abs=1e-3)
    assert ratio(ours[2:], [Turn([one(1.0), one(1.0, None, "too")], 1.0, {})]) is None


def test_a_row_compares_a_method_with_its_counterpart_at_the_same_width():
    answers = [problem.answer for problem in PROBLEMS]
    right = Turn([one(1.0, answers[0]), one(2.0, answers[1])], 2.0, {"prm": 4, "target": 12})
    wrong = Turn([one(2.0, "x"), one(4.0, None, "it broke")], 4.0, {"prm": 2})
    found = {("beam", 2): [right, wrong], (COUNTERPART["beam"], 2): [turn(2.0, 4.0), turn(1.0, 1.0)]}
    row = summary(found, ("beam", 2), PROBLEMS)
    assert (row["problems"], row["right"], row["failed"], row["failures"]) == (4, 2, 1, {"it broke": 1})
    assert (row["mean_latency_s"], row["median_latency_s"]) == (1.6667, 2.0)
    assert (row["solves_a_minute"], row["requests_a_problem"]) == (40.0, 4.5)
    assert row["by_endpoint"] == {"prm": 1.5, "target": 3.0}
    assert row["counterpart"] == COUNTERPART["beam"]
    assert row["latency_to_counterpart"]["median"] == 1.25  # of 0.5 and 2
    assert "latency_to_counterpart" not in summary(found, (COUNTERPART["beam"], 2), PROBLEMS)


def record_of(found):
    rows = [{"method": name, "at_a_time": width, "not_run": "no `--rsd`"} for name, width in ROWS]
    rows[0] |= {"latency_to_counterpart": found}
    return {"rows": rows, "bars": [judged(bar, rows) for bar in BARS]}


@pytest.mark.parametrize(
    ("median", "high", "met"), [(1.0, 1.05, True), (0.9, 1.06, False), (1.01, 1.02, False), (0.5, 0.6, True)]
)
def test_a_bar_is_met_if_neither_the_median_nor_the_upper_end_is_higher(median, high, met):
    found = {"median": median, "low": 0.4, "high": high}
    record = record_of(found)
    assert [bar["met"] for bar in record["bars"]] == [met, *[None] * (len(BARS) - 1)]
    without = judged(Bar("beam", 1, 1.0, None), record["rows"])
    assert without["met"] == (median <= 1.0)


def test_the_tables_say_what_was_not_run():
    lines = table(record_of({"median": 0.9, "low": 0.8, "high": 1.0}))
    assert sum("| not run: no `--rsd` |" in line for line in lines) == len(ROWS)
    assert sum(line.endswith("| not run |") for line in lines) == len(BARS) - 1
    assert "| `beam` | 1 | its_hub beam search | 0.90 [0.80, 1.00] | 1.00, upper end 1.05 | yes |" in lines


def test_methods_that_cannot_run_say_why_and_other_folders_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("research.benchmarks.peers.find_spec", lambda name: None)
    reasons = missing(SimpleNamespace(rsd=None, specs=None))
    assert set(reasons) == {name for name, _ in ROWS} - {"beam", "best-of-n", "specs"}
    for options in ({"rsd": tmp_path, "specs": None}, {"rsd": None, "specs": tmp_path}):
        with pytest.raises(SystemExit, match=r"^--(rsd|specs) is not a clone of github\.com/"):
            missing(SimpleNamespace(**options))


def test_every_turn_has_all_methods_of_its_width_in_a_new_order(capsys):
    done = []

    def solver(name, questions):
        done.append((name, questions))
        return [one(1.0, question) for question in questions]

    widths = {"a": (1, 2), "b": (1, 2), "c": (1,)}
    runs = [PROBLEMS[:2], PROBLEMS[2:]]
    found = measured({name: partial(solver, name) for name in widths}, widths, runs, Counter(), lambda: None, 0)
    questions = [problem.question for problem in PROBLEMS]
    for (_, width), turns in found.items():
        assert [solve.answer for some in turns for solve in some.solves] == questions
        assert {len(some.solves) for some in turns} == {width}
    alone = [name for name, asked in done if len(asked) == 1]
    orders = [tuple(alone[start : start + 3]) for start in range(0, 12, 3)]
    assert {frozenset(order) for order in orders} == {frozenset("abc")}
    assert len(set(orders)) > 1
    assert capsys.readouterr().err == "run 1 of 2\nrun 2 of 2\n"


def test_questions_are_solved_at_the_same_time_in_their_order():
    def solve(question):
        if question == "bad":
            raise ValueError("no")
        return question, None

    assert [(s.answer, s.failure) for s in in_threads(solve, ["x", "bad"])] == [("x", None), (None, "ValueError: no")]


def test_both_reward_models_of_its_hub_give_the_rewards_of_our_prm(prm):
    problem = PROBLEMS[0]
    texts = [problem.solution, problem.solution.replace(problem.answer, "1" + problem.answer)]
    steps = asyncio.run(peer_code.StepRewards(prm, problem.question).ascore(problem.question, texts))
    conversations = [[SimpleNamespace(content=problem.question), SimpleNamespace(content=text)] for text in texts]
    whole = asyncio.run(peer_code.SolutionRewards(prm, problem.question).ascore(conversations, orchestrator=None))
    assert steps == whole
    assert steps[0] > steps[1]


def test_the_code_of_rsd_runs_with_prompts_and_rewards_of_ours(prm, tmp_path, capsys):
    (tmp_path / "main_online.py").write_text(dedent(SEARCH))
    problem, prompts = PROBLEMS[0], Prompts(HubText(BUNDLED / "draft"))
    writer = SimpleNamespace(completions=SimpleNamespace(create=lambda prompt: [problem.solution]))
    rsd = peer_code.Rsd(tmp_path, {"draft": writer, "target": writer}, prm, prompts)
    assert rsd.solve(problem.question) == (problem.answer, None)
    assert capsys.readouterr().out == ""
    assert "external.qwen25_math_evaluation.parser" not in sys.modules
