"""Thinking on the engines of this process: random models with marker tokens, whose template behaves like Qwen3's."""

import json

import pytest

from helpers.fitting import make_with
from helpers.rows import log_probabilities
from helpers.tiny_thinkers import write_pair
from specs.cli import main
from specs.config import Limits, SolveConfig
from specs.core.selection import log_ratio
from specs.core.text import readable
from specs.decoding.stream import stream
from specs.engines.loading import Names, load_models
from specs.engines.protocol import never_stop
from specs.methods.early_exit import Deer, Dynasor
from specs.traces.replay import ReplayEnd, replay
from specs.types import Chat, End, Phase, Role, SamplingParams, StepPolicy, ThinkingEnd, Trace

LAW = SamplingParams(1.0, 1.0, StepPolicy(max_tokens=10), StepPolicy(max_tokens=9))
LIMITS = Limits(max_steps=30, max_tokens=20, max_thinking_tokens=60)
METHODS = ("target", "draft", "prm-free", "target+speculation")


@pytest.fixture(scope="module", params=["qwen3", "magistral"])
def folders(request, tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module", params=["light", "torch"])
def models(request, folders):
    if request.param == "torch":
        pytest.importorskip("torch")
    return load_models(Names(str(folders["draft"]), str(folders["target"])), engine=request.param)


def solve(models, name, seed=0, law=LAW, limits=LIMITS):
    return stream("How many?", models, SolveConfig(make_with(name, {"n": 4}), law, limits, seed)).result


@pytest.mark.parametrize("name", METHODS)
def test_solves_think_and_then_answer(models, name):
    ends = set()
    for seed in range(6):
        result = solve(models, name, seed)
        assert result.error is None
        assert result.chat == Chat(think=True)
        for role in result.usage:
            assert result.usage[role].processed == result.usage[role].minimum + result.usage[role].speculated
        marks = models.target.thinking
        for record in result.accepted:
            closes = marks.close_id in record.step.token_ids and record.phase is Phase.THINKING
            assert closes == (record.step.end is End.CLOSE)
            if record.step.forced:
                assert record.step.token_ids[-record.step.forced :] == marks.closing_ids
        ends.add(result.thinking_end)
    assert ThinkingEnd.FORCED in ends


def test_prompts_end_inside_an_open_block(models):
    for model in (models.draft, models.target):
        ids = model.prompt("How many?", Chat(think=True))
        opening = model.thinking.opening
        assert "".join(map(model.text.spelling, ids)).endswith(opening)
        assert ids != model.prompt("How many?")


def test_scored_is_what_was_sampled(models):
    """Step after step, before and behind the close: the draft's own log-probabilities, and the target's of its own."""
    chat, answered = Chat(think=True), 0
    for seed in range(6):
        result = solve(models, "prm-free", seed)
        for role, own in ((Role.DRAFT, "log_q"), (Role.TARGET, "log_p")):
            model = getattr(models, role)
            session = model.open(model.prompt("How many?", chat), frozenset({model.fingerprint}), never_stop)
            trace = Trace.start("How many?", True)
            for record in result.accepted:
                group = [one for one in record.candidates if getattr(one, own) is not None]
                if group:
                    scored = log_probabilities(session, [(trace, group)], LAW)
                    assert [getattr(one, own) for one in group] == pytest.approx(scored, abs=1e-3)
                trace = trace.extend(record.step, record.writer)
            answered += trace.phase is Phase.ANSWER
    assert answered


def test_equal_models_have_ratio_0_throughout(folders):
    equal = load_models(Names(str(folders["same"]), str(folders["target"])), engine="light")
    found = 0
    for seed in range(4):
        for record in solve(equal, "prm-free", seed).steps:
            for candidate in record.candidates if record.writer is Role.DRAFT else ():
                assert log_ratio(candidate) == pytest.approx(0, abs=1e-4)
                found += candidate.forced > 0
    assert found


def test_engines_write_the_same(folders):
    pytest.importorskip("torch")
    names = Names(str(folders["draft"]), str(folders["target"]))
    light, torch = (load_models(names, engine=engine) for engine in ("light", "torch"))
    for name in METHODS:
        for seed in range(3):
            assert solve(light, name, seed).text == solve(torch, name, seed).text


def test_the_command_line(folders, capsys):
    own = ["--target", str(folders["target"]), "--method", "target", "--temperature", "1", "--set", "top_p=1"]
    small = ["--max-tokens", "10", "--set", "max_thinking_step_tokens=9", "--set", "top_k=0"]
    assert main(["solve", "How many?", *own, *small, "--think", "--thinking-tokens", "40", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["text"].startswith(found["thinking"])
    assert [step["phase"] for step in found["steps"] if "phase" in step]
    assert found["settings"]["limits"]["max_thinking_tokens"] == 40
    assert main(["solve", "How many?", *own, *small, "--think", "--thinking-tokens", "40"]) == 0
    assert "closed by force" in capsys.readouterr().out
    assert main(["solve", "How many?", *own, *small, "--json"]) == 0
    assert "thinking" not in json.loads(capsys.readouterr().out)
    assert main(["solve", "How many?", *own, "--thinking-tokens", "40"]) == 2
    assert "add --think" in capsys.readouterr().err
    assert main(["solve", "1 + 1", "--think"]) == 2
    assert "has no way to think" in capsys.readouterr().err


def test_an_evaluation_reports_the_thinking(folders, tmp_path, capsys):
    own = ["--target", str(folders["target"]), "--temperature", "1", "--set", "top_p=1", "--set", "top_k=0"]
    size = ["--limit", "3", "--max-tokens", "8", "--thinking-tokens", "30", "--set", "max_thinking_step_tokens=9"]
    run = ["eval", "--dataset", "bundled:easy", "--methods", "target", *own, *size, "--think", "--out", str(tmp_path)]
    assert main(run) == 0
    said = capsys.readouterr().out
    assert "tokens of thinking a solve; it ended: " in said
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {row["thinking_end"] for row in rows} <= {"closed", "forced", "cut"}
    assert all(row["thinking_tokens"] > 0 for row in rows)
    summary = json.loads((tmp_path / "summary.json").read_text())
    ends = summary["methods"]["target"]["thinking"]["ends"]
    assert sum(ends.values()) == pytest.approx(1)
    assert main(run) == 0  # read again, nothing to do


ALWAYS, NEVER = Deer(threshold=0.0, word=""), Dynasor(every=1, agree=10**6)


@pytest.mark.parametrize("name", METHODS)
def test_early_exits(models, name):
    """The rule that always exits leaves one step of thinking, one that never does leaves the solve as it was."""
    exits = probes = 0
    for seed in range(3):
        without, never, always = (
            stream("How many?", models, SolveConfig(make_with(name, {"n": 4}), LAW, LIMITS, seed, rule)).result
            for rule in (None, NEVER, ALWAYS)
        )
        assert never.text == without.text
        probes += sum(record.probe is not None for record in never.steps)
        for result in (never, always):
            assert result.error is None
            assert replay(result).ended is ReplayEnd.COMPLETE
            for role in result.usage:
                assert result.usage[role].processed == result.usage[role].minimum + result.usage[role].speculated
        if always.thinking_end is ThinkingEnd.EXITED:
            exits += 1
            assert always.thinking == readable(always.accepted[0].text) + models.target.thinking.closing
    assert exits
    assert probes


def test_early_exits_on_the_command_line(folders, tmp_path, capsys):
    own = ["--target", str(folders["target"]), "--temperature", "1", "--set", "top_p=1", "--set", "top_k=0"]
    size = ["--max-tokens", "8", "--thinking-tokens", "30", "--set", "max_thinking_step_tokens=9"]
    exits = ["--early-exit", "deer:threshold=0:word="]
    assert main(["solve", "How many?", "--method", "target", *own, *size, "--think", *exits]) == 0
    assert "closed early: a trial answer was sure enough" in capsys.readouterr().out
    assert main(["solve", "How many?", "--method", "target", *own, *exits]) == 2
    assert "--early-exit ends the thinking early; add --think" in capsys.readouterr().err
    assert main(["solve", "How many?", "--method", "target", *own, "--think", "--early-exit", "dear"]) == 2
    assert "did you mean 'deer'?" in capsys.readouterr().err
    run = ["eval", "--dataset", "bundled:easy", "--limit", "2", "--methods", "target", *own, *size, "--think", *exits]
    assert main([*run, "--out", str(tmp_path)]) == 0
    assert "exited" in capsys.readouterr().out
    ends = json.loads((tmp_path / "summary.json").read_text())["methods"]["target"]["thinking"]["ends"]
    assert ends["exited"] > 0
    assert sum(ends.values()) == pytest.approx(1)
