"""Two evaluation tools, inspect-ai and lm-eval, work unchanged with `specs serve` on the bundled models."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from helpers.server_app import app_of, running_server
from specs.bundled.problems import generate
from specs.server.app import ServerSettings

ENVIRONMENT = Path(os.environ.get("SPECS_CLIENTS_ENV", Path(__file__).parents[2] / ".venv-clients"))
PROBLEMS = 6

INSPECT = """
from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.scorer import match
from inspect_ai.solver import generate

@task
def sums():
    rows = json_dataset("rows.jsonl", FieldSpec(input="question", target="answer"))
    return Task(dataset=rows, solver=generate(), scorer=match(location="any", numeric=True))
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


@pytest.fixture(scope="module")
def tools():
    if not (ENVIRONMENT / "installed").exists():
        missing = f"no tools in {ENVIRONMENT}: run scripts/clients-environment"
        pytest.fail(missing) if os.environ.get("SPECS_LIVE") == "1" else pytest.skip(missing)
    return ENVIRONMENT / "bin"


@pytest.fixture(scope="module")
def address(local):
    with running_server(app_of(ServerSettings(), models=local)) as url:
        yield url


@pytest.fixture
def folder(tmp_path):
    problems = [generate("easy", 1_022_500 + k) for k in range(PROBLEMS)]
    rows = [json.dumps({"question": one.question, "answer": one.answer}) for one in problems]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    (tmp_path / "sums.py").write_text(INSPECT)
    (tmp_path / "sums.yaml").write_text(LM_EVAL)
    return tmp_path


def run(folder, *words, **variables):
    """Run the tool and return its output; fails if the tool fails."""
    known = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    environment = known | {"HOME": str(folder), "HF_HUB_OFFLINE": "1"} | variables
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_inspect(tools, address, folder):
    variables = {"SPECS_API_KEY": "none", "SPECS_BASE_URL": f"{address}/v1"}
    words = "eval sums.py --model openai-api/specs/specs --seed 1 --max-tokens 400 --log-format json --log-dir logs"
    run(folder, tools / "inspect", *words.split(), "--display", "plain", **variables)
    (log,) = (folder / "logs").glob("*.json")
    record = json.loads(log.read_text())
    assert record["status"] == "success"
    assert len(record["samples"]) == PROBLEMS
    for sample in record["samples"]:
        assert sample["output"]["choices"][0]["stop_reason"] == "stop"
        assert sample["output"]["usage"]["output_tokens"] > 0
    # Nearly all `easy` problems are solved: fewer than half would not be chance.
    assert sum(sample["scores"]["match"]["value"] == "C" for sample in record["samples"]) >= PROBLEMS / 2


@pytest.mark.parametrize("route", ["chat/completions", "completions"])
def test_lm_eval(tools, address, folder, route):
    kind = f"local-{route.replace('/', '-')}"
    arguments = (
        f"model=specs,base_url={address}/v1/{route},num_concurrent=2,tokenizer_backend=None,tokenized_requests=False"
    )
    words = (
        f"run --model {kind} --model_args {arguments} --include_path . --tasks sums --output_path found --log_samples"
    )
    chat = ["--apply_chat_template"] if "chat" in route else []
    run(folder, tools / "lm_eval", *words.split(), *chat, OPENAI_API_KEY="none")
    (found,) = (folder / "found").rglob("results_*.json")
    score = json.loads(found.read_text())["results"]["sums"]["exact_match,boxed"]
    (samples,) = (folder / "found").rglob("samples_*.jsonl")
    answers = [json.loads(line)["resps"][0][0] for line in samples.read_text().splitlines()]
    assert len(answers) == PROBLEMS
    assert all(answers)
    if chat:  # the bundled models know questions only in their template
        assert score >= 0.5
