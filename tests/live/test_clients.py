"""Six clients of OpenAI's API work with a real `specs serve` on the bundled models; docs/server.md lists them.

Those that evaluate also meet a server whose models think.
"""

import json
import os
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.server_app import app_of, running_server
from helpers.thinkers import BOX, BREAK, CLOSE, END, TEXT, A, B, thinkers
from server.process import ROOT, ServerProcess
from specs import api
from specs.bundled.problems import generate
from specs.server.app import ServerSettings
from specs.server.request_parsing import RequestLimits

ENVIRONMENT = Path(os.environ.get("SPECS_CLIENTS_ENV", ROOT / ".venv-clients"))
PROGRAMS = Path(__file__).with_name("client_programs.py")
PYTHON_CLIENTS = ("openai", "litellm", "langchain-openai")
CLIENTS = (*PYTHON_CLIENTS, "llm", "inspect-ai", "lm-eval")
PROBLEMS = 4
QUESTION = "Tom has 40 nuts. He gives 6 nuts to each of 3 friends. How many nuts does Tom have now?"
KEY = "sk-of-a-client"

INSPECT = r"""
from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.scorer import match, pattern
from inspect_ai.solver import generate

def of(scorer):
    rows = json_dataset("rows.jsonl", FieldSpec(input="question", target="answer"))
    return Task(dataset=rows, solver=generate(), scorer=scorer)

@task
def sums():
    return of(match(location="any", numeric=True))

@task
def boxed():
    return of(pattern(r"boxed\{(\d+)\}"))
"""
LM_EVAL = r"""
task: sums
dataset_path: json
dataset_kwargs: {data_files: rows.jsonl}
test_split: train
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["Question:"], do_sample: false, temperature: 0.0, max_gen_toks: 300}
filter_list:
  - name: boxed
    filter:
      - {function: regex, regex_pattern: "boxed\\{(-?[0-9.,]+)\\}"}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
LLM = "- {model_id: specs, model_name: specs, api_base: URL/v1, api_key_name: specs}\n"


@pytest.fixture(scope="module")
def tools():
    locked, installed = ROOT / "constraints-clients.txt", ENVIRONMENT / "installed"
    if not installed.exists() or installed.read_text() != locked.read_text():
        missing = f"not the clients of {locked.name} in {ENVIRONMENT}: run scripts/clients-environment"
        pytest.fail(missing) if os.environ.get("SPECS_LIVE") == "1" else pytest.skip(missing)
    return ENVIRONMENT / "bin"


@contextmanager
def started(tmp_path_factory, *flags):
    """A server that asks for keys and solves one question at a time."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "keys").write_text(f"{KEY}\n")
    flags = ["--concurrency=1", f"--api-key-file={folder / 'keys'}", *flags]
    with ServerProcess(folder / "home", *flags) as server:
        yield server
        server.stop()


@pytest.fixture(scope="module")
def served(tools, tmp_path_factory):
    with started(tmp_path_factory) as server:
        yield server


@pytest.fixture(scope="module")
def lenient(tools, tmp_path_factory):
    with ServerProcess(tmp_path_factory.mktemp("lenient") / "home", "--ignore-unknown") as server:
        yield server
        server.stop()


@pytest.fixture(scope="module")
def expected(local):
    return api.solve(QUESTION, local, seed=1).text


@pytest.fixture
def folder(tmp_path):
    problems = [generate("easy", 1_022_500 + k) for k in range(PROBLEMS)]
    rows = [json.dumps({"question": one.question, "answer": one.answer}) for one in problems]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    (tmp_path / "sums.py").write_text(INSPECT)
    (tmp_path / "sums.yaml").write_text(LM_EVAL)
    return tmp_path


def start(folder, *words, **variables):
    """Start a client in its environment."""
    known = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    environment = known | {"HOME": str(folder), "HF_HUB_OFFLINE": "1", "LLM_USER_PATH": str(folder)} | variables
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(list(map(str, words)), cwd=folder, env=environment, text=True, **pipes)


def finish(client):
    """The output of a client; fails if the client fails."""
    try:
        output, _ = client.communicate(timeout=240)
    finally:
        client.kill()
    assert client.returncode == 0, output
    return output


def see(tools, server, folder, client, what, key=KEY):
    """Start a Python client (`client_programs.py`)."""
    return start(folder, tools / "python", PROGRAMS, client, f"{server.url}/v1", key, QUESTION, what)


def start_llm(tools, server, folder, *options, key=KEY):
    (folder / "extra-openai-models.yaml").write_text(LLM.replace("URL", server.url))
    return start(folder, tools / "llm", "-m", "specs", "--key", key, *options, QUESTION)


def start_inspect(tools, server, folder, key=KEY, task="sums"):
    variables = {"SPECS_API_KEY": key, "SPECS_BASE_URL": f"{server.url}/v1"}
    words = (
        f"eval sums.py@{task} --model openai-api/specs/specs --seed 1 --max-tokens 400 --log-format json --log-dir logs"
    )
    return start(folder, tools / "inspect", *words.split(), "--display", "plain", **variables)


def start_lm_eval(tools, server, folder, route="chat/completions", key=KEY):
    kind = f"local-{route.replace('/', '-')}"
    arguments = f"model=specs,base_url={server.url}/v1/{route},num_concurrent=2,max_retries=6,tokenizer_backend=None"
    words = f"run --model {kind} --model_args {arguments},tokenized_requests=False --include_path . --tasks sums"
    chat = ["--apply_chat_template"] if "chat" in route else []
    words += " --output_path found --log_samples"
    return start(folder, tools / "lm_eval", *words.split(), *chat, OPENAI_API_KEY=key)


def inspect_record(folder):
    (log,) = (folder / "logs").glob("*.json")
    return json.loads(log.read_text())


def lm_eval_samples(folder):
    (samples,) = (folder / "found").rglob("samples_*.jsonl")
    return [json.loads(line) for line in samples.read_text().splitlines()]


def lm_eval_answers(folder):
    return [sample["resps"][0][0] for sample in lm_eval_samples(folder)]


def lm_eval_score(folder):
    (found,) = (folder / "found").rglob("results_*.json")
    return json.loads(found.read_text())["results"]["sums"]["exact_match,boxed"]


@pytest.mark.parametrize("client", PYTHON_CLIENTS)
def test_python_clients_get_answers_streams_counts_and_errors(tools, served, folder, expected, client):
    seen = json.loads(finish(see(tools, served, folder, client, "all")).splitlines()[-1])
    assert seen["text"] == seen["stream"] == expected
    assert seen["usage"] == seen["stream usage"] > 0
    assert seen["sent back"] in ("stop", "length")
    assert "AuthenticationError" in seen["wrong key"]
    assert "NotFoundError" in seen["wrong model"]
    for name, says in (
        ("wrong field", "repetition_penalty: there is no such field"),
        ("tools", "tools: not supported"),
    ):
        assert any(kind in seen[name] for kind in ("BadRequestError", "InvalidRequestError")), seen[name]
        assert says in seen[name]


@pytest.mark.parametrize("client", PYTHON_CLIENTS)
def test_with_ignore_unknown_a_foreign_field_is_no_error(tools, lenient, folder, client):
    seen = json.loads(finish(see(tools, lenient, folder, client, "all", "none")).splitlines()[-1])
    assert seen["wrong field"] == "none"
    assert "tools: not supported" in seen["tools"]


def test_llm(tools, served, folder, expected):
    for options in ([], ["--no-stream"]):
        output = finish(start_llm(tools, served, folder, "-o", "seed", "1", "--usage", *options))
        assert expected in output
        assert "Token usage:" in output
    assert "\\boxed" in finish(start_llm(tools, served, folder, "--continue", "-o", "temperature", "0"))
    stranger = start_llm(tools, served, folder, key="wrong")
    output, _ = stranger.communicate(timeout=60)
    assert stranger.returncode != 0
    assert "no valid API key" in output


def test_inspect(tools, served, folder):
    finish(start_inspect(tools, served, folder))
    record = inspect_record(folder)
    assert record["status"] == "success"
    assert len(record["samples"]) == PROBLEMS
    for sample in record["samples"]:
        assert sample["output"]["choices"][0]["stop_reason"] == "stop"
        assert sample["output"]["usage"]["output_tokens"] > 0
    # Nearly all `easy` problems are solved: fewer than half would not be chance.
    assert sum(sample["scores"]["match"]["value"] == "C" for sample in record["samples"]) >= PROBLEMS / 2


@pytest.mark.parametrize("route", ["chat/completions", "completions"])
def test_lm_eval(tools, served, folder, route):
    finish(start_lm_eval(tools, served, folder, route))
    answers = lm_eval_answers(folder)
    assert len(answers) == PROBLEMS
    assert all(answers)
    if "chat" in route:  # the bundled models know questions only in their template
        assert lm_eval_score(folder) >= 0.5


WRONG, RIGHT = "\\boxed{3}", "\\boxed{4}"


def wrong_at_first(ids):
    """Logits of a model that always boxes a wrong number in its thinking, at least once, and the right one after it."""
    row = np.full(len(TEXT.pieces), -np.inf)
    if CLOSE not in ids:
        row[[A, B, BREAK]] = 0.0
        row[CLOSE] = 0.0 if B in ids else -np.inf
    elif BOX in ids:
        row[END] = 0.0
    else:
        row[[A, BOX]] = 0.0
    return row


@pytest.fixture(scope="module")
def thinking(tools):
    """A server whose models think unless a request says otherwise; it asks for no keys."""
    spelled = {B: WRONG, BOX: RIGHT}
    text = replace(TEXT, pieces=[spelled.get(token, piece) for token, piece in enumerate(TEXT.pieces)])
    models = thinkers(text, draft=wrong_at_first, target=wrong_at_first)
    limits = RequestLimits(think=True, thinking_tokens=60)
    with running_server(app_of(ServerSettings(request_limits=limits), models=models)) as url:
        yield SimpleNamespace(url=url)


@pytest.fixture
def fours(folder):
    rows = [json.dumps({"question": f"How many are {one} and {4 - one}?", "answer": "4"}) for one in range(PROBLEMS)]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    return folder


def test_lm_eval_scores_the_answer_and_not_the_thinking(tools, thinking, fours):
    finish(start_lm_eval(tools, thinking, fours))
    assert lm_eval_score(fours) == 1.0
    samples = lm_eval_samples(fours)
    assert len(samples) == PROBLEMS
    for sample in samples:
        recorded = json.dumps([sample["resps"], sample["filtered_resps"]])
        assert "boxed{4}" in recorded
        assert not any(mark in recorded for mark in ("boxed{3}", "think>"))
        assert sample["filtered_resps"] == ["4"]


def test_inspect_scores_the_answer_and_shows_the_thinking_as_reasoning(tools, thinking, fours):
    finish(start_inspect(tools, thinking, fours, task="boxed"))
    record = inspect_record(fours)
    assert record["status"] == "success"
    assert len(record["samples"]) == PROBLEMS
    for sample in record["samples"]:
        score = sample["scores"]["pattern"]
        assert (score["value"], score["answer"]) == ("C", "4")
        reasoning, answer = sample["output"]["choices"][0]["message"]["content"]
        assert (reasoning["type"], answer["type"]) == ("reasoning", "text")
        assert WRONG in reasoning["reasoning"]
        assert RIGHT not in reasoning["reasoning"]
        assert RIGHT in answer["text"]
        assert not any(mark in answer["text"] for mark in (WRONG, "think>"))
        usage = sample["output"]["usage"]
        assert 0 < usage["reasoning_tokens"] < usage["output_tokens"]


@contextmanager
def drained(server):
    """Another program with the same key takes every request that the server's rate allows; yields what ends it.

    It begins when nothing is left of the rate.
    """
    ended, empty = threading.Event(), threading.Event()

    def take():
        with server.client() as client:
            while not ended.wait(0.05 if empty.is_set() else 0):
                if client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}"}).status_code == 429:
                    empty.set()

    thread = threading.Thread(target=take)
    thread.start()
    try:
        assert empty.wait(60)
        yield ended.set
    finally:
        ended.set()
        thread.join()


def turned_away(server):
    return sum(line.get("status") == 429 and line["method"] == "POST" for line in server.lines())


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_that_are_turned_away_try_again(tools, tmp_path_factory, folder, expected, client):
    """The server turns the client away until it has done so once; then the next attempt succeeds."""
    begin = {"llm": start_llm, "inspect-ai": start_inspect, "lm-eval": start_lm_eval}
    output = ""
    with started(tmp_path_factory, "--rate=60") as served:
        for _ in range(3):  # a client whose first request comes just before the other program's is not turned away
            with drained(served) as free:
                if client in PYTHON_CLIENTS:
                    running = see(tools, served, folder, client, "once")
                else:
                    options = ("-o", "seed", "1") if client == "llm" else ()
                    running = begin[client](tools, served, folder, *options)
                try:
                    served.until(lambda running=running: turned_away(served) or running.poll() is not None, 240)
                finally:
                    free()
                    output = finish(running)
            if turned_away(served):
                break
        assert turned_away(served)
    if client == "inspect-ai":
        assert inspect_record(folder)["status"] == "success"
    elif client == "lm-eval":
        assert all(lm_eval_answers(folder))
    else:
        assert expected in (output if client == "llm" else json.loads(output.splitlines()[-1])["text"])
