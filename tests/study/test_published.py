"""The benchmark of the authors' published code: what it puts around that code, without servers and without the code."""

import logging
import sys
from collections import Counter
from functools import partial
from textwrap import dedent
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer

from research.benchmarks.published import (
    MODULES,
    STAND_INS,
    Prompts,
    Published,
    Rewards,
    Solved,
    Writer,
    counted,
    measured,
    rewarded,
    summary,
    timed,
)
from specs import load
from specs.bundled.problems import HELD_OUT_SEED, generate
from specs.engines.folders import BUNDLED
from specs.engines.protocol import never_stop
from specs.engines.text import HubText
from specs.engines.vllm.client import Client
from specs.types import Candidate, End, Role, Trace

PROBLEMS = [generate(tier, HELD_OUT_SEED + k) for tier in ("easy", "medium", "hard") for k in range(3)]
PROBLEM = PROBLEMS[3]
STEPS = [f"{step}\n\n" for step in PROBLEM.solution.split("\n\n")]
PROMPTS = Prompts(HubText(BUNDLED / "draft"))
DECIDES = """
    import logging
    import wandb
    from tqdm import tqdm
    from vllm import SamplingParams
    from sal.utils.score import aggregate_scores
    from ..utils.eval_utils import extract_answer
    from . import utils

    logger = logging.getLogger(__name__)

    def specalign_rejection(examples, config, llm, prm, llm_target, draft_tokenizer, target_tokenizer):
        (question,) = examples["problem"]
        assert (config.n, config.rm_regularizer, config.rejection_threshold) == (8, 10.0, 7.0)
        assert config.speculative and config.sample and config.sort_completed and not wandb.run
        assert not SamplingParams(temperature=1.0, max_tokens=64, top_p=1.0).stop
        turns = [{"role": "system", "content": "Think."}, {"role": "user", "content": question}]
        (prompt,) = draft_tokenizer.apply_chat_template([turns], add_generation_prompt=True, tokenize=False)
        try:
            for _ in tqdm(range(2), desc="rounds"):
                (text,) = llm.completions.create(model="draft", prompt=[prompt], logprobs=1)
            ((reward,),), _ = utils.process_and_run_reward_model([prompt], [text], prm, None, config, 8192)
        except Exception as error:
            logger.error(f"it failed: {error}")
            logger.warning("and this is less important")
            return {"pred": ["no solution"]}
        assert 0 < reward < 1
        return {"pred": [text]}
"""
SEARCHES = """
    from tqdm import tqdm
    from vllm import SamplingParams
    from .utils import derive_step_rewards_vllm, prepare_input, process_and_run_reward_model

    def speculative_beam_search(examples, config, llm, prm, llm_target, draft_tokenizer, target_tokenizer):
        assert llm is llm_target and config.beam_width == config.n and not config.speculative and not config.sample
        text = llm.completions.create(model="draft", prompt=["a prompt"])[0]
        assert process_and_run_reward_model(["a prompt"], [text], None, None, config) == ([], 0.0)
        given = [prepare_input(p, text, tokenizer=None, step_token="-") for p in examples["problem"]]
        inputs, _, flags = zip(*given)
        rewards = derive_step_rewards_vllm(prm.embeddings.create(input=inputs, model="prm"), flags)
        return {"pred": [text] if 0 < rewards[0][-1] < 1 else []}
"""
UTILS = """
    from vllm import LLM, SamplingParams

    def process_and_run_reward_model(*_):
        raise NotImplementedError

    prepare_input = derive_step_rewards_vllm = process_and_run_reward_model
"""
CONFIG = """
    from types import SimpleNamespace as Config
    from sal.utils.hub import get_dataset_revisions
"""


@pytest.fixture(scope="module")
def models():
    return load()


def solved(answer="0", latency_s=1.0, failure=None, **requests):
    return Solved(answer, latency_s, requests, failure)


@pytest.mark.parametrize("role", [Role.DRAFT, Role.TARGET])
def test_prompts_read_as_the_tokens_that_our_client_sends(models, role):
    tokenizer = Tokenizer.from_file(str(BUNDLED / role / "tokenizer.json"))
    for problem in PROBLEMS:
        read = tokenizer.encode(PROMPTS.of(problem.question), add_special_tokens=False).ids
        assert tuple(read) == models.prompt(role, problem.question)
        assert PROMPTS.encode(PROMPTS.of(problem.question)) == read


def test_the_answer_so_far_follows_the_prompt_and_system_turns_are_left_out():
    turns = [{"role": "system", "content": "Think."}, {"role": "user", "content": PROBLEM.question}]
    both = [turns, [*turns, {"role": "assistant", "content": STEPS[0]}]]
    found = PROMPTS.apply_chat_template(both, add_generation_prompt=False, continue_final_message=True, tokenize=False)
    assert found == [PROMPTS.of(PROBLEM.question), PROMPTS.of(PROBLEM.question) + STEPS[0]]
    assert PROMPTS.encode(found[1]) == [*PROMPTS.encode(found[0]), *PROMPTS.encode(STEPS[0])]


def test_every_candidate_gets_the_reward_of_its_whole_trace(models):
    prompt = PROMPTS.of(PROBLEM.question)
    rewards = Rewards(models.prm, PROBLEM.question, prompt)
    candidates = [STEPS[2], "That makes 3 in all.\n\n", STEPS[2]]
    found, _ = rewarded([prompt + STEPS[0] + STEPS[1]] * 3, candidates, rewards, None, None, 8192)

    trace = Trace(PROBLEM.question)
    for step in STEPS[:2]:
        trace = trace.extend(Candidate((), step, End.DELIMITER), Role.TARGET)
    session = models.prm.open(models.prm.prompt(PROBLEM.question), never_stop)
    wanted = session.score([(trace, [Candidate((), text, End.DELIMITER) for text in candidates])], "\n\n")
    assert found == [[pytest.approx(reward, abs=1e-5)] for reward in wanted]
    assert found[0] == found[2] > found[1]

    (before,) = rewards.embeddings.create(input=("".join(STEPS[:2]),), model="prm")
    (blank,), _ = rewarded([prompt + STEPS[0] + STEPS[1]], [""], rewards)
    assert blank == pytest.approx(before, abs=1e-5)
    assert rewarded([prompt], [STEPS[0]], None) == ([], 0.0)


def test_requests_to_writers_are_counted_and_name_the_served_model():
    sent = Counter()
    writer = Writer(SimpleNamespace(create=lambda **request: request), "draft", "/models/draft", sent)
    found = writer.completions.create(model="x", prompt=["a"], extra_body={"include_stop_str_in_output": True})
    body = {"include_stop_str_in_output": True, "add_special_tokens": False}
    assert found == {"model": "/models/draft", "prompt": ["a"], "extra_body": body}
    assert writer.completions.create(prompt=["b"])["extra_body"] == {"add_special_tokens": False}
    assert sent == {"draft /v1/completions": 2}


def test_requests_of_our_client_are_counted(monkeypatch):
    sent = Counter()
    monkeypatch.setattr(Client, "post", lambda client, path, body: body)
    post = counted({"draft": "http://a", "prm": "http://b"}, sent)
    assert post(SimpleNamespace(url="http://b"), "/pooling", {"input": []}) == {"input": []}
    assert sent == {"prm /pooling": 1}


@pytest.fixture
def code(tmp_path):
    """A folder with the outline of their code, which decides nothing."""
    for name, text in zip(MODULES, (CONFIG, UTILS, DECIDES, SEARCHES), strict=True):
        path = tmp_path / "src" / "sal" / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "sal"]:
        del sys.modules[name]
    logging.getLogger("sal.search.specalign_rejection").filters.clear()


def test_the_searches_get_what_they_need_and_exceptions_are_failures(code, models, caplog):
    answers = [["Say \\boxed{3}"]] * 4
    writer = SimpleNamespace(create=lambda **_: answers.pop())
    writers = {role: SimpleNamespace(completions=writer) for role in ("draft", "target")}
    published = Published(code, writers, models.prm, PROMPTS, 10.0)
    assert not STAND_INS.keys() & sys.modules.keys()
    assert str(code / "src") not in sys.path

    assert published.solve("theirs", PROBLEM.question) == ("3", None)
    assert published.solve("their-beam", PROBLEM.question) == ("3", None)
    failed = (None, "it failed: pop from empty list")
    assert [published.solve("theirs", PROBLEM.question) for _ in range(2)] == [failed, failed]
    found = timed(partial(published.solve, "their-beam"), Counter(), PROBLEM.question)
    assert (found.answer, found.failure) == (None, "IndexError: pop from empty list")
    assert caplog.records == []


def test_a_solve_has_its_own_requests_and_an_exception_is_a_failure():
    sent = Counter({"draft": 5})

    def solve(question):
        sent["prm"] += 1
        return question, None if question else f"{1 // 0}"

    assert timed(solve, sent, "3").requests == timed(solve, sent, "4").requests == {"prm": 1}
    failed = timed(solve, sent, "")
    assert (failed.answer, failed.requests) == (None, {"prm": 1})
    assert failed.failure.startswith("ZeroDivisionError: ")


def test_failed_solves_are_counted_as_failed_and_not_as_wrong():
    answer, problems = PROBLEM.answer, [PROBLEM] * 3
    reason = "Beam search failed: no answer"
    found = {
        "theirs": [solved(answer, 3.0, draft=4, prm=2), solved(None, 9.0, reason, draft=1), solved("x", 5.0, draft=4)],
        "their-beam": [solved(latency_s=2.0), solved(latency_s=2.0), solved(None, 2.0, "ZeroDivisionError")],
        "beam": [solved(latency_s=1.0)] * 3,
        "specs": [solved(None, 1.0, reason)] * 3,
    }
    row = summary(found, "theirs", problems)
    assert (row["problems"], row["right"], row["failed"], row["failures"]) == (3, 1, 1, {reason: 1})
    assert row["rows"] == {"right": [True, None, False], "latency_s": [3.0, 9.0, 5.0]}
    assert (row["mean_latency_s"], row["requests_a_problem"]) == (4.0, 5.0)
    assert row["by_endpoint"] == {"draft": 4.0, "prm": 1.0}
    assert (row["latency_to_beam"]["problems"], row["latency_to_beam"]["of_means"]) == (2, 4.0)
    assert (row["latency_to_their_beam"]["problems"], row["latency_to_their_beam"]["median"]) == (1, 1.5)

    none = summary(found, "specs", problems)
    assert (none["right"], none["failed"], none["failures"]) == (0, 3, {reason: 3})
    assert none["mean_latency_s"] is none["requests_a_problem"] is none["latency_to_beam"] is None


def test_methods_take_turns_in_an_order_that_rotates(capsys):
    done = []

    def way(name, question):
        done.append((name, question))
        return solved(question)

    names = ("theirs", "their-beam", "beam")
    ways = {name: partial(way, name) for name in names}
    found = measured(ways, PROBLEMS[:4], 2, lambda: done.append("reset"))
    questions = [problem.question for problem in PROBLEMS[:4]]
    assert {name: [one.answer for one in found[name]] for name in names} == dict.fromkeys(names, questions)
    order = [(names[0], 0), (names[1], 0), (names[2], 0), (names[1], 2), (names[2], 2), (names[0], 2)]
    turns = [["reset", (name, questions[at]), (name, questions[at + 1])] for name, at in order]
    assert done == [one for turn in turns for one in turn]
    assert capsys.readouterr().err == "run 1 of 2\nrun 2 of 2\n"
