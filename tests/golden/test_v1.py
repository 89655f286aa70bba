"""Files that version 0.1 recorded are still read, and methods whose draws did not change solve as they did then.

`tests/golden/v1/record.py` says what the files hold. Solves of the bundled models are compared token for token;
on another kind of processor a rounding error could change one token in a million.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from helpers import tiny, toy
from helpers.fitting import fitting
from specs import api
from specs.cli import main
from specs.config import presets
from specs.engines.folders import BUNDLED
from specs.engines.text import HubText
from specs.errors import InputError
from specs.eval.store import RunFolder, read_run
from specs.methods.registry import NAMES, SPECULATING
from specs.traces.codec import read_traces
from specs.traces.replay import ReplayEnd, replay
from specs.types import DRAWS, Chat, Turn

V1 = Path(__file__).parent / "v1"
MOVED = {"specs", "random-switch", "gsi", "hard-reject", "prm-free", "soft-best-of-n"}
"""Methods that draw by themselves, which version 0.1 did from the seed alone."""
TOLERANCE = 1e-4
"""Nats on a step's log-probability: engines may round otherwise."""


def recorded(name):
    return [result for _, result in read_traces(V1 / name)]


SINCE = {
    "specs-released", "random-rewrite", "soft-beam", "one-first", "adaptive-majority", "cascade", "glimp",
}  # fmt: skip
KNOWN = [name for name in (*NAMES, *SPECULATING) if name.split("+")[0] not in SINCE]
"""The methods of version 0.1."""


@pytest.fixture(scope="module")
def trio():
    return api.load()


def unmoved(result):
    return result.method.removesuffix("+speculation") not in MOVED


def steps(result):
    return [(r.writer, r.accepted, r.decision.chosen, [c.token_ids for c in r.candidates]) for r in result.steps]


@pytest.mark.parametrize(("name", "each"), [("bundled.jsonl.gz", 2), ("tabular.jsonl.gz", 1)])
def test_every_trace_is_read_and_its_decisions_are_reproduced(name, each):
    results = recorded(name)
    assert [result.method for result in results] == [name for name in KNOWN for _ in range(each)]
    for result in results:
        assert result.draws == 1
        again = replay(result)
        assert again.ended is ReplayEnd.COMPLETE
        for decision, record in zip(again.decisions, result.steps, strict=True):
            assert decision.probabilities == record.decision.probabilities
            if record.kept is None:  # the record's choice is the answer; that of the decision is the leading trace
                assert decision.chosen == record.decision.chosen


@pytest.mark.parametrize("method", [name for name in KNOWN if name.split("+")[0] not in MOVED])
def test_methods_without_draws_of_their_own_solve_token_for_token_as_before(method, trio):
    of_method = [result for result in recorded("bundled.jsonl.gz") if result.method == method]
    assert len(of_method) == 2
    for result in of_method:
        again = api.solve(result.question, trio, method, seed=result.seed, **fitting(method, n=4))
        assert steps(again) == steps(result)
        assert (again.answer, again.finish_reason, again.draws) == (result.answer, result.finish_reason, DRAWS)
        for now, then in zip(again.steps, result.steps, strict=True):
            for one, other in zip(now.candidates, then.candidates, strict=True):
                for value, before in ((one.log_p, other.log_p), (one.log_q, other.log_q), (one.reward, other.reward)):
                    assert value == (None if before is None else pytest.approx(before, abs=TOLERANCE))


def test_tabular_models_solve_as_before():
    results = [result for result in recorded("tabular.jsonl.gz") if unmoved(result)]
    assert len(results) > 20
    for result in results:
        models = toy.models_for(result.method.removesuffix("+speculation"))
        again = api.solve("q", models, result.method, seed=result.seed, temperature=1.0, **fitting(result.method, n=4))
        assert steps(again) == steps(result)


def test_methods_with_draws_of_their_own_now_draw_differently(trio):
    """Otherwise the test above could not notice a changed draw."""
    for result in recorded("bundled.jsonl.gz"):
        if result.method == "soft-best-of-n":
            again = api.solve(result.question, trio, result.method, seed=result.seed, **fitting(result.method, n=4))
            assert [c.token_ids for c in again.steps[0].candidates] == [
                c.token_ids for c in result.steps[0].candidates
            ], "tokens are sampled as before"
            assert replay(again).ended is ReplayEnd.COMPLETE
            assert again.draws == DRAWS


def test_prompts_have_the_recorded_ids(tmp_path):
    tiny.write_tokenizer(tmp_path / "template")
    (tmp_path / "template" / "config.json").write_text('{"eos_token_id": 2}')
    shutil.copytree(tmp_path / "template", tmp_path / "plain")
    (tmp_path / "plain" / "chat_template.jinja").unlink()
    chats = [
        Chat(),
        Chat((Turn("system", "Be brief."),)),
        Chat((Turn("user", "a b"), Turn("assistant", "c d."))),
        Chat(template=False),
    ]
    folders = {role: BUNDLED / role for role in ("draft", "target", "prm")}
    texts = {name: HubText(path) for name, path in folders.items()}
    texts |= {f"tiny-{name}": HubText(tmp_path / name) for name in ("template", "plain")}
    for row in json.loads((V1 / "prompts.json").read_text()):
        assert texts[row["text"]].prompt(row["question"], chat=chats[row["chat"]]) == row["ids"], row


def test_a_run_is_read_reported_and_replayed(tmp_path, capsys):
    run = read_run(V1 / "run")
    assert len(run.rows) == 3 * 2 * 5
    assert main(["report", str(V1 / "run"), "--out", str(tmp_path / "report")]) == 0
    assert "soft-best-of-n" in capsys.readouterr().out
    assert main(["report", "--replay", str(V1 / "run" / "traces.jsonl.gz")]) == 0
    assert "(100.0%)" in capsys.readouterr().out


def test_a_run_with_the_first_rule_of_draws_cannot_be_continued(tmp_path):
    shutil.copytree(V1 / "run", tmp_path / "run")
    found = read_run(tmp_path / "run")
    with pytest.raises(InputError, match=r"drawn by rule 1 \(draws\)"):
        RunFolder(tmp_path / "run", {**found.configuration, "draws": DRAWS}, found.settings)


def test_a_calibration_and_its_preset_are_read(trio):
    for name, rows in (("pilot", 20), ("design", 20 * 9), ("check", 20 * 2)):
        assert len(read_run(V1 / "calibration" / name).rows) == rows
    question = "Tom has 4 nuts. He gives 3 nuts away. How many nuts does Tom have now?"
    result = api.solve(question, trio, seed=1, **presets.read(V1 / "calibration" / "preset.json"))
    assert result.answer == "1"
