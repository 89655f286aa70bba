"""`specs solve`, run as a command on tiny random models and on the bundled trio."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from helpers import tiny
from helpers.rows import log_probabilities
from specs.cli import main
from specs.core.sampling import log_law
from specs.engines.loading import Names, load_models
from specs.engines.protocol import never_stop
from specs.engines.text import HubText
from specs.errors import ModelError
from specs.types import Role, SamplingParams


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    return tiny.write_trio(tmp_path_factory.mktemp("trio"))


@pytest.fixture
def own(trio):
    """Command-line options that name the tiny trio on the light engine."""
    return [
        "--draft",
        str(trio["draft"]),
        "--target",
        str(trio["target"]),
        "--prm",
        str(trio["prm"]),
        "--engine",
        "light",
    ]


SMALL = ["--n", "3", "--set", "max_steps=4", "--set", "max_step_tokens=8", "--temperature", "1"]


def test_json_has_the_documented_fields(own, capsys):
    assert main(["solve", "a b c", *own, *SMALL, "--json", "--seed", "5"]) == 0
    result = json.loads(capsys.readouterr().out)
    fields = "answer text finish_reason method steps usage latency_s time_to_first_step_s seed models"
    assert set(result) >= set(fields.split())
    assert result["seed"] == 5
    assert set(result["usage"]) == {"draft", "target", "prm"}
    for use in result["usage"].values():
        assert set(use) >= {"prompt", "processed", "cached", "generated", "discarded"}
    for step in result["steps"]:
        assert set(step) >= {"writer", "text", "n_tokens", "reward", "log_ratio", "chosen", "n_candidates", "seconds"}
        assert set(step["seconds"]) == {"draft", "target_generate", "target_score", "prm", "wall", "orchestration"}
    assert result["text"] == "".join(step["text"] for step in result["steps"] if step["accepted"])


def test_every_number_of_a_trace_can_be_recomputed(own, trio, tmp_path, capsys):
    """log p, log q, rewards, scores and probabilities, from nothing but the three models and the trace."""
    path = tmp_path / "trace.json"
    options = ["--method", "specs:beta=3:tau=0.4:start=draft:verify=all", "--set", "top_p=0.95", "--trace", str(path)]
    assert main(["solve", "a b c", *own, *SMALL, *options]) == 0
    trace = json.loads(path.read_text())
    names = Names(str(trio["draft"]), str(trio["target"]), str(trio["prm"]))
    models = load_models(names, engine="light")

    def outputs(model, ids):
        ids = np.array(ids)
        return model.backend.forward(model.backend.cache(), ids, np.arange(len(ids)), None, np.arange(len(ids)))

    def log_p(role, accepted, tokens):
        prompt = trace["prompt_token_ids"][role]
        logits = outputs(getattr(models, role), [*prompt, *accepted, *tokens[:-1]])
        rows = log_law(logits, SamplingParams(1.0, 0.95))[-len(tokens) :]
        return float(rows[range(len(tokens)), tokens].sum())

    def reward(steps):
        ids = list(trace["prompt_token_ids"]["prm"])
        for step in steps:
            ids += [*models.prm.prm_format.content(step, False, False), *models.prm.prm_format.ask]
        return float(models.prm.prm_format.rewards(outputs(models.prm, ids)[-1:])[0])

    accepted: list[int] = []
    text = ""
    drafted = 0
    for step in trace["steps"]:
        for candidate in step["candidates"]:
            tokens = candidate["token_ids"]
            steps = [part.strip() for part in (text + candidate["text"]).split("\n\n") if part.strip()]
            if candidate["text"].strip() and "\ufffd" not in text + candidate["text"]:
                assert candidate["reward"] == pytest.approx(reward(steps), abs=1e-4)
            score = 3 * candidate["reward"]
            if step["writer"] == "draft":
                drafted += 1
                p, q = log_p("target", accepted, tokens), log_p("draft", accepted, tokens)
                assert float(candidate["log_p"]) == pytest.approx(p, abs=1e-4)
                assert float(candidate["log_q"]) == pytest.approx(q, abs=1e-4)
                score += p - q
            assert float(candidate["score"]) == pytest.approx(score, abs=1e-3)
        scores = np.array([float(c["score"]) for c in step["candidates"]])
        if step["chosen"] is not None:
            weights = np.exp(scores - scores.max())
            assert [c["probability"] for c in step["candidates"]] == pytest.approx((weights / weights.sum()).tolist())
        if step["accepted"]:
            accepted += step["candidates"][step["chosen"]]["token_ids"]
            text += step["text"]
    assert drafted


def test_steps_are_printed_as_they_are_accepted(own, capsys):
    assert main(["solve", "a b c", *own, *SMALL, "--candidates"]) == 0
    shown = capsys.readouterr().out
    assert "a b c" in shown
    assert "target  " in shown
    assert "effective samples" in shown
    for total in ("answer ", "finish ", "latency ", "phases ", "steps "):
        assert f"\n{total}" in shown
    assert "\x1b[" not in shown


def test_the_question_may_come_from_standard_input(own, capsys, monkeypatch):
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("a b c\n"))
    assert main(["solve", "-", *own, *SMALL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["question"] == "a b c"


def test_different_vocabularies_are_scored_through_text_when_allowed(own, trio, capsys):
    """Refused by default; with `allow_text_scoring` the result says so, and scores are finite."""
    mixed = [*own[:2], "--target", str(trio["other"]), *own[4:]]
    assert main(["solve", "a b c", *mixed, *SMALL]) == 2
    assert "different vocabularies" in capsys.readouterr().err
    allowed = ["--method", "specs:start=draft", "--set", "allow_text_scoring=true", "--json"]
    assert main(["solve", "a b c", *mixed, *SMALL, *allowed]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["text_scoring"] is True
    drafted = [step for step in result["steps"] if step["writer"] == "draft"]
    assert drafted
    assert all(isinstance(step["log_ratio"], float) for step in drafted)
    assert result["usage"]["target"]["minimum"] is None


def test_scoring_by_text_equals_scoring_by_ids_where_the_text_is_tokenised_alike(trio):
    """With one vocabulary, a text whose tokens are what the tokenizer makes of it has the same log p either way."""
    from specs.methods.specreason import RATING
    from specs.types import Candidate, End, Trace

    models = load_models(Names(str(trio["draft"]), str(trio["target"]), None), engine="light")
    text = HubText(trio["target"])
    prompt = models.target.prompt("a b c")
    ids = tuple(text.encode("a b.\n\n"))
    trace = Trace("a b c").extend(Candidate(tuple(text.encode("c d")), "c d", End.CAP), "draft")
    candidate = Candidate(ids, "a b.\n\n", End.DELIMITER)
    joined = text.encode("c da b.\n\n")
    assert tuple(joined) == (*trace.token_ids, *ids)
    by_ids = models.target.open(prompt, frozenset({text.fingerprint}), never_stop)
    by_text = models.target.open(prompt, frozenset({text.fingerprint, "another"}), never_stop)
    law = SamplingParams(0.7)
    (one,), (two,) = (log_probabilities(s, [(trace, [candidate])], law) for s in (by_ids, by_text))
    assert one == pytest.approx(two, abs=1e-4)
    assert math.isfinite(one)
    groups = [(trace, [candidate, replace(candidate, token_ids=(*ids, 2), end=End.END_OF_TEXT)])]
    assert by_ids.judge(groups, RATING) == by_text.judge(groups, RATING)


BAD = {
    "unknown method": (["--method", "spex"], "there is no method 'spex'; did you mean 'specs'?"),
    "unknown flag": (["--tmperature", "3"], "has no option --tmperature; did you mean '--temperature'?"),
    "abbreviation": (["--temp", "3"], "has no option --temp; did you mean '--temperature'?"),
    "unknown option": (["--method", "specs:betta=3"], "method specs has no option 'betta'; did you mean 'beta'?"),
    "another method's option": (["--method", "beam:tau=0.5"], "no option 'tau'; choose from answer, n, width"),
    "option without a value": (["--method", "specs:tau"], "'tau' gives no value; write NAME=VALUE"),
    "option given twice": (["--method", "specs:tau=0.1:tau=0.2"], "tau is given twice"),
    "n given twice": (["--method", "specs:n=4", "--n", "8"], "--method specs has n=4, and --n says 8; give n once"),
    "n of a method without": (["--method", "target", "--n", "8"], "--n: method target has no option 'n'"),
    "n too small": (["--n", "0"], "argument --n: 0 is too small; give at least 1"),
    "n in the method too small": (["--method", "specs:n=0"], "n is 0; give a whole number of at least 1"),
    "beta 0": (["--method", "specs:beta=0"], "beta is 0, but accept_weight counts in units of 1 / beta"),
    "beta below 0": (["--method", "specs:beta=-1"], "beta is -1.0; give a number of at least 0"),
    "tau above 1": (["--method", "specs:tau=1.5"], "tau is 1.5; give a number from 0 to 1"),
    "tau no number": (["--method", "specs:tau=high"], "tau is 'high'; give a number from 0 to 1"),
    "no such choice": (["--method", "specs:start=prm"], "start is 'prm'; give 'target' or 'draft'"),
    "temperature 0 with candidates": (["--temperature", "0"], "makes all 8 candidates equal"),
    "top_p 0": (["--set", "top_p=0"], "top_p is 0.0; give a number above 0"),
    "top_p no number": (["--set", "top_p=high"], "top_p is 'high'; give a number above 0 and up to 1"),
    "top_k no number": (["--set", "top_k=many"], "top_k is 'many'; give a whole number of at least 0"),
    "top_k a fraction": (["--set", "top_k=0.5"], "top_k is '0.5'; give a whole number of at least 0"),
    "min_p above 1": (["--set", "min_p=2"], "min_p is 2.0; give a number from 0 to 1"),
    "a filter as a flag": (["--top-k", "20"], "--top-k: --set top_k=20"),
    "unknown setting": (["--set", "topp=1"], "--set has no name 'topp'; did you mean 'top_p'?"),
    "setting without a value": (["--set", "top_p"], "'top_p' gives no value; write NAME=VALUE"),
    "setting with a flag": (["--set", "n=3"], "n has a flag of its own, --n"),
    "timeout": (["--set", "timeout=0"], "timeout is 0.0; give a number above 0"),
    "unknown PRM format": (["--set", "prm_format=jugde"], "prm_format is 'jugde'; give 'auto', 'qwen',"),
    "no switch": (["--set", "allow_text_scoring=maybe"], "allow_text_scoring is 'maybe'; give True or False"),
    "no such folder": (["--draft", "./nowhere", "--target", "./x", "--prm", "./y"], "specs: draft ./nowhere: no such"),
    "missing role": (["--draft", "."], "also needs --target and --prm"),
    "not a model folder": (["--draft", ".", "--target", ".", "--prm", "."], ". is not a model folder"),
    "trace into nowhere": (["--trace", "/nowhere/at/all.json"], "is not a folder; make it first"),
    "deadline": (["--deadline", "-1"], "argument --deadline: -1 is out of range"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_it(case, capsys):
    options, message = BAD[case]
    assert main(["solve", "a b c", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.startswith("specs: ")
    assert printed.err.count("\n") == 1


def test_missing_and_empty_questions_are_refused(capsys):
    for words, message in (
        ([], "no question; give one"),
        (["  "], "question is empty"),
        (["a", "--example"], "not both"),
    ):
        assert main(["solve", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_model_in_the_wrong_role_is_refused(own, trio, capsys):
    swapped = [*own[:4], "--prm", str(trio["draft"]), *own[6:]]
    assert main(["solve", "a", *swapped]) == 2
    assert "is a language model (LlamaForCausalLM), which can be read in several ways" in capsys.readouterr().err
    swapped = ["--draft", str(trio["prm"]), *own[2:]]
    assert main(["solve", "a", *swapped]) == 2
    assert "is a reward model, not a language model" in capsys.readouterr().err


def test_a_chat_model_can_be_the_prm(own, tmp_path, capsys):
    pytest.importorskip("torch")
    from helpers import prms

    chat = str(prms.write("judge", tmp_path))
    capsys.readouterr()
    mixed = [*own[:4], "--prm", chat, *own[6:]]
    assert main(["solve", "a", *mixed, *SMALL]) == 2
    assert "say which with prm_format" in capsys.readouterr().err
    assert main(["solve", "a", *mixed, *SMALL, "--set", "prm_format=judge", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert all(0 < step["reward"] < 1 for step in result["steps"])
    assert result["usage"]["prm"]["processed"] == result["usage"]["prm"]["minimum"] > 0


def test_a_question_beyond_the_context_is_an_error_of_one_line(own, capsys):
    assert main(["solve", "a b " * 400, *own, *SMALL]) == 1
    printed = capsys.readouterr()
    assert "shorten it" in printed.err
    assert "Traceback" not in printed.err


def test_ctrl_c_prints_the_best_trace_so_far(own, tmp_path):
    """A real process receives SIGINT in the middle of a solve: exit code 1, the steps so far, a complete trace file."""
    trace = tmp_path / "trace.json"
    command = [sys.executable, "-m", "specs", "solve", "a b c", *own, "--trace", str(trace)]
    endless = ["--method", "beam-draft", "--n", "8", "--max-tokens", "200"]
    endless += ["--set", "max_steps=100000", "--set", "max_step_tokens=1"]
    process = subprocess.Popen(
        [*command, *endless, "--temperature", "0.05", "--seed", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A shell starts background jobs with SIGINT ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors
    if "interrupted" in errors:
        assert process.returncode == 1
        assert "finish   cancelled" in rest
    else:  # the solve ended before the signal arrived
        assert process.returncode == 0
    assert json.loads(trace.read_text())["steps"]
    assert len(lines) == 6


def test_out_of_memory_is_one_line(own, capsys, monkeypatch):
    from specs.engines.local.onnx import backend as light

    def exhausted(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(light, "load_light", exhausted)
    assert main(["solve", "a", *own]) == 1
    assert "out of memory; use smaller models" in capsys.readouterr().err


def test_a_failed_write_leaves_no_partial_file(own, tmp_path, monkeypatch, capsys):
    from specs.traces import schema as record

    monkeypatch.setattr(record.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    target = tmp_path / "trace.json"
    assert main(["solve", "a b c", *own, *SMALL, "--trace", str(target)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_closed_output_pipe_prints_no_traceback(own):
    command = [sys.executable, "-m", "specs", "solve", "a b c", *own, *SMALL, "--candidates"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=20) == 1


def test_help_and_version_start_quickly():
    start = time.perf_counter()
    run = subprocess.run([sys.executable, "-m", "specs", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("specs 0.")
    assert time.perf_counter() - start < 10


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("words", [["--version"], ["solve", "--help"], ["grade", "--help"]])
def test_a_full_disk_is_one_line(words):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # or argparse hides it
    command = [sys.executable, "-m", "specs", *words]
    with open("/dev/full", "w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=env)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "No space left on device" in run.stderr


def test_the_light_engine_writes_nothing_to_the_home_folder(own, tmp_path):
    """By default onnxruntime writes an identifier of the user into the home folder and sends telemetry to Microsoft."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    command = [sys.executable, "-m", "specs", "solve", "a b c", *own, *SMALL, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, env={**kept, "HOME": str(home)}, check=True)
    assert run.stderr == ""
    assert [str(path) for path in home.rglob("*")] == []


def test_labels_that_a_model_has_no_rows_for_are_named(trio):
    """A causal model as PRM whose labels lie outside its output matrix."""
    from specs.engines.local.onnx.backend import load_light

    with pytest.raises(ModelError, match=r"has no token 100000, only .*; use the tokenizer that belongs to the model"):
        load_light(trio["target"], labels=(3, 100_000))


def test_a_candidate_without_any_text_is_impossible_under_text_scoring(trio):
    """Its text has no tokens: log p is -inf and its rating is 0; the other candidates keep their scores."""
    from specs.methods.specreason import RATING
    from specs.types import Candidate, End, Trace

    models = load_models(Names(str(trio["draft"]), str(trio["target"]), None), engine="light")
    text = HubText(trio["target"])
    session = models.target.open(models.target.prompt("a b c"), frozenset({text.fingerprint, "another"}), never_stop)
    whole, empty = Candidate(tuple(text.encode("a b")), "a b", End.DELIMITER), Candidate((5,), "", End.CAP)
    for trace in (Trace("a b c"), Trace("a b c").extend(whole, Role.DRAFT)):
        (alone,) = log_probabilities(session, [(trace, [whole])], SamplingParams(0.8))
        assert math.isfinite(alone)
        between = log_probabilities(session, [(trace, [empty, whole, empty])], SamplingParams(0.8))
        assert between == [-math.inf, pytest.approx(alone, abs=1e-4), -math.inf]
        assert log_probabilities(session, [(trace, [empty])], SamplingParams(0.8)) == [-math.inf]
        assert session.judge([(trace, [empty])], RATING) == [0.0]
