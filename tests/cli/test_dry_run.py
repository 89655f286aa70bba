"""`specs launch --dry-run`, run as a command."""

import json

import pytest

from deploy.checkpoints import QWEN_1_5B, QWEN_7B, QWEN_PRM, qwen_shapes, write_checkpoint
from specs.cli import main


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    """Options that name checkpoints with the headers of the paper's models, but without weights."""
    folder = tmp_path_factory.mktemp("qwen")
    options = []
    for role, config in (("draft", QWEN_1_5B), ("target", QWEN_7B), ("prm", QWEN_PRM)):
        options += [f"--{role}", write_checkpoint(folder / role, config, qwen_shapes(config))]
    return options


def test_the_plan_is_one_screen(qwen, capsys):
    assert main(["launch", "--dry-run", *qwen, "--gpus", "80"]) == 0
    titles, *servers, total = capsys.readouterr().out.splitlines()
    assert titles.split() == "role model weights KV a token GPU utilisation tokens of KV solves".split()
    assert [line.split()[0] for line in servers] == ["draft", "target", "prm"]
    assert [line.split()[2:6] for line in servers] == [
        ["3.1", "GB", "28.7", "kB"],
        ["15.2", "GB", "57.3", "kB"],
        ["14.1", "GB", "57.3", "kB"],
    ]
    assert total.startswith("solves at the same time: 28 (with 8 candidates a step")


def test_json_has_the_same_plan_in_bytes(qwen, capsys):
    assert main(["launch", "--dry-run", *qwen, "--gpus", "80,80", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["solves"], found["context"], found["max_step_tokens"], found["n"]) == (32, 4096, 512, 8)
    assert [server["kv_bytes_per_token"] for server in found["servers"]] == [28_672, 57_344, 57_344]
    assert [[gpu["name"] for gpu in server["gpus"]] for server in found["servers"]] == [["0"], ["1"], ["0"]]
    on_first = sum(s["gpu_memory_utilization"] for s in found["servers"] if s["gpus"][0]["name"] == "0")
    assert on_first < found["ceiling"]


def test_without_names_the_bundled_models_are_planned(capsys):
    assert main(["launch", "--dry-run", "--gpus", "24"]) == 0
    assert capsys.readouterr().out.count("bundled") == 3


def test_too_little_memory_is_an_error_of_one_line(qwen, capsys):
    assert main(["launch", "--dry-run", *qwen, "--gpus", "24"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("specs: the models do not fit on 1 GPU of 24 GB: weights (draft 3.1,")
    assert printed.err.count("\n") == 1


BAD = {
    "no such model": (["--draft", "./x", "--target", "./y", "--prm", "./z"], "specs: draft ./x: no such model folder"),
    "one model": (["--draft", "./x"], "give --target and --prm too"),
    "no GPUs": (["--gpus", "0"], "'0' is not the size of a GPU"),
    "context beyond the model's": (["--context", "4097"], "reads at most 4096 tokens; give at most that"),
    "steps beyond the context": (["--context", "512"], "steps of 512 tokens leave no room"),
    "n": (["--n", "0"], "argument --n: 0 is too small"),
    "a start": (["--start"], "--dry-run starts nothing and plans for GPUs; leave out --start"),
    "no GPUs at all": (["--cpu"], "--dry-run starts nothing and plans for GPUs; leave out --cpu"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_it(case, capsys):
    options, message = BAD[case]
    assert main(["launch", "--dry-run", "--gpus", "80", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
