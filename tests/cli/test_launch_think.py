"""`specs launch --think`, run as a command."""

import json
import shlex

import pytest

from deploy.checkpoints import QWEN3_0_6B, QWEN3_8B, QWEN_PRM, qwen_shapes, write_checkpoint
from specs.cli import main
from specs.cli.main import parser
from specs.cli.options import method_of


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Options that name checkpoints with the headers of Qwen3 0.6B and 8B, but without weights."""
    folder = tmp_path_factory.mktemp("qwen3")
    options = []
    for role, config in (("draft", QWEN3_0_6B), ("target", QWEN3_8B)):
        options += [f"--{role}", write_checkpoint(folder / role, config, qwen_shapes(config))]
    return options


def value(words, flag):
    return words[words.index(flag) + 1]


def test_two_servers_and_a_solve_that_fits_them(pair, capsys, monkeypatch):
    monkeypatch.delenv("SPECS_API_KEY", raising=False)
    assert main(["launch", "--think", *pair, "--gpus", "80", "--plugins"]) == 0
    text = capsys.readouterr().out
    *servers, solve = [shlex.split(line) for line in text.splitlines() if not line.startswith("#")]
    assert len(servers) == 2
    for words in servers:
        assert value(words, "--max-model-len") == "20480"
        assert value(words, "--max-num-seqs") == "64"
        assert "--reasoning-parser" not in words
    assert "# No --reasoning-parser: " in text
    assert solve == shlex.split(
        "specs solve --example --draft http://127.0.0.1:8000 --target http://127.0.0.1:8001 --think"
    )
    method, sampling, limits = method_of(parser().parse_args(solve[1:]))
    assert (method.name, sampling.thinks, limits.max_thinking_tokens) == ("specreason", True, 16_384)


def test_another_budget_and_another_cap_reach_servers_and_solve(pair, capsys):
    options = ["--thinking-tokens", "8192", "--max-step-tokens", "512"]
    assert main(["launch", "--think", *pair, "--gpus", "80", *options]) == 0
    *servers, solve = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert {value(words, "--max-model-len") for words in servers} == {"12288"}
    _, sampling, limits = method_of(parser().parse_args(solve[1:]))
    assert limits.max_thinking_tokens == 8192
    assert sampling.thinking.max_tokens == 512
    assert sampling.temperature == 1  # without the plugins the target scores at temperature 1 only


def test_the_dry_run_says_how_many_traces_fit(pair, capsys):
    assert main(["launch", "--think", "--dry-run", *pair, "--gpus", "80"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith(
        "traces of 20,480 tokens at the same time: 8 (thinking at most 16,384, answer and question 4,096; with 8 "
    )
    assert main(["launch", "--think", "--dry-run", *pair, "--gpus", "80", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["solves"], found["thinking_tokens"], found["max_num_seqs"]) == (8, 16_384, 64)


def test_on_a_cpu_the_servers_hold_four_long_traces(tmp_path, capsys):
    small = QWEN3_0_6B | {"num_hidden_layers": 2}
    folders = {role: write_checkpoint(tmp_path / role, small, qwen_shapes(small)) for role in ("draft", "target")}
    names = [word for role, folder in folders.items() for word in (f"--{role}", folder)]
    assert main(["launch", "--think", "--cpu", *names, "--n", "4"]) == 0
    servers = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if "vllm serve" in line]
    for words in servers:
        # 20,224 tokens fill 632 blocks of 32; each of 4 candidates touches 9 more; 4 bytes a number.
        assert value(words, "--kv-cache-memory-bytes") == str(4 * (632 + 4 * 9) * 32 * 2 * 2 * 8 * 128 * 4)
        assert value(words, "--max-num-seqs") == "16"


BAD = {
    "no models": (["--think"], "give --draft and --target too: a plan needs a draft and a target that can think"),
    "a budget without thinking": (
        ["--thinking-tokens", "9"],
        "--thinking-tokens is the budget of thinking; add --think",
    ),
    "a context that cannot hold it": (["--think", "--context", "4096"], "leave context out, or give a smaller"),
    "steps longer than all": (["--think", "--max-step-tokens", "30000"], "leave no room in a context of 20480"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_it(case, capsys):
    options, message = BAD[case]
    assert main(["launch", "--dry-run", "--gpus", "80", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_a_prm_that_cannot_read_the_trace_may_be_left_out(pair, tmp_path, capsys):
    prm = ["--prm", write_checkpoint(tmp_path / "prm", QWEN_PRM, {})]
    assert main(["launch", "--think", "--dry-run", *pair, *prm, "--gpus", "80"]) == 2
    assert "reads at most 4096 tokens; leave it out" in capsys.readouterr().err


def test_where_no_trace_fits_the_error_says_so_in_one_line(pair, capsys):
    assert main(["launch", "--think", "--dry-run", *pair, "--gpus", "24"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("specs: no trace of 20,480 tokens fits: the models do not fit on 1 GPU of 24 GB")
    assert said.count("\n") == 1
