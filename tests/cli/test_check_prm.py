"""`specs doctor --prm`: it prints the tokens that the model read, and reports a model that breaks a law."""

import json
from dataclasses import replace

import numpy as np
import pytest

from specs import api
from specs.cli.main import main
from specs.engines.folders import BUNDLED
from specs.engines.protocol import Models
from specs.engines.text import HubText
from specs.eval.check_prm import CASES, QUESTION, check
from specs.rewards.families import TokenClassification


def test_a_sound_prm_passes_on_one_screen(capsys):
    assert main(["doctor", "--prm", "bundled"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("model    bundled:prm, 2,810,498 parameters")
    assert lines[1] == "format   token-classification: its architecture is LlamaForTokenClassification"
    assert lines[7:10] == [
        "right                  1   0.995  …|8| nuts|.|[\\n\\n]|Tom| has",
        "                       2   0.995  …| nuts| left|.|[\\n\\n]|So| the",
        "                       3   0.996  …|2|}|.|[\\n\\n]",
    ]
    assert sum(line.endswith("(blank: keeps the reward before it)") for line in lines) == 2
    assert [line.split()[0] for line in lines[-6:]] == ["kept"] * 5 + ["note"]
    assert lines[-1].endswith("above the wrong one with 0.004")
    assert "NOT" not in lines[-1]


def test_json_holds_every_token_that_the_model_read(capsys):
    assert main(["doctor", "--prm", "bundled", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    text = HubText(BUNDLED / "prm")
    assert (found["format"], found["passed"]) == ("token-classification", True)
    assert found["ask"] == found["join"] == [[text.encode("\n\n")[0], "\n\n"]]
    for name, steps in CASES.items():
        filled: list[str] = []
        for step, reading in zip(steps, found["cases"][name], strict=True):
            ids = [token for token, _ in reading["input"]]
            if not step.strip():
                assert ids == []
                continue
            filled.append(step.strip())
            assert ids == text.prompt(QUESTION) + text.encode("".join(f"{one}\n\n" for one in filled))
            assert 0 <= reading["reward"] <= 1
    assert found["second_step"]["right"] > 0.9 > 0.1 > found["second_step"]["wrong"]
    assert all(law["kept"] for law in found["laws"])


class Around:
    """The bundled PRM's backend; subclasses change its outputs."""

    def __init__(self, backend):
        self._backend = backend

    def __getattr__(self, name):
        return getattr(self._backend, name)


class LooksAround(Around):
    """Every output depends on all tokens of its pass, also on later ones."""

    def forward(self, cache, ids, positions, visible, want):
        rows = self._backend.forward(cache, ids, positions, visible, np.arange(len(ids)))
        return np.repeat(rows.mean(axis=0, keepdims=True), len(want), axis=0)


class Overflows(Around):
    def forward(self, cache, ids, positions, visible, want):
        return np.full_like(self._backend.forward(cache, ids, positions, visible, want), np.nan)


def test_an_overflow_is_reported_by_name(monkeypatch, capsys):
    prm = api.load(None, None, "bundled").prm
    overflowing = replace(prm, backend=Overflows(prm.backend))
    monkeypatch.setattr(api, "load", lambda *names, **options: Models(prm=overflowing))
    assert main(["doctor", "--prm", "bundled"]) == 1
    assert "bundled:prm: rewards are not finite (NaN)" in capsys.readouterr().err


class KeepsBlanks(TokenClassification):
    def content(self, text, first, continues):
        return super().content(text, first, continues) or self.text.encode(" ")


BROKEN = {
    "not causal": (
        LooksAround,
        TokenClassification,
        {"step by step equals from scratch", "later steps change no reward"},
    ),
    "blank steps scored": (Around, KeepsBlanks, {"blank steps add nothing"}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_prm_that_breaks_a_law_fails_and_the_law_is_named(case, monkeypatch, capsys):
    backend, form, laws = BROKEN[case]
    prm = api.load(None, None, "bundled").prm
    prm = replace(prm, backend=backend(prm.backend), prm_format=form(prm.prm_format.text))
    monkeypatch.setattr(api, "load", lambda *names, **options: Models(prm=prm))
    assert {law.name for law in check(prm).laws if not law.kept} == laws
    assert main(["doctor", "--prm", "bundled"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("BROKEN   ") for line in shown) == len(laws)


@pytest.mark.parametrize(("engine", "dtype"), [("light", "fp32"), ("torch", "fp32"), ("torch", "bf16")])
def test_every_family_keeps_its_laws(engine, dtype, tmp_path, capsys):
    pytest.importorskip("torch")
    from helpers import prms

    for form in prms.FORMATS:
        folder = prms.write(form, tmp_path, max_position_embeddings=1024)
        options = ["--set", "prm_format=judge"] if form == "judge" else []
        assert main(["doctor", "--prm", str(folder), "--engine", engine, "--dtype", dtype, "--json", *options]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["format"] == form
        laws = {law["law"] for law in found["laws"]}
        # A judge's question is not kept in the sequence that continues with the next step.
        assert ("later steps change no reward" in laws) == (form != "judge")
        ask = found["ask"]
        for readings in found["cases"].values():
            assert all(one["input"][-len(ask) :] == ask for one in readings if one["input"])


def test_models_that_cannot_be_checked_are_refused_in_one_line(tmp_path, capsys):
    pytest.importorskip("torch")
    from helpers import prms

    chat = str(prms.write("judge", tmp_path, max_position_embeddings=300))
    capsys.readouterr()
    for options, message in (
        ([str(tmp_path / "none")], "no such model folder"),
        ([chat], "which can be read in several ways: say which with prm_format, among math-shepherd, rlhflow, judge"),
        ([chat, "--set", "prm_format=skywork"], "has no head for prm_format skywork"),
        ([chat, "--set", "prm_format=math-shepherd"], "names no bos_token"),
        ([chat, "--set", "prm_format=judge"], "has a context of 300 tokens, too few for the check"),
        (["bundled", "--set", "prm_format=qwen"], "tokens of '<extra_0>', which format qwen needs as one"),
    ):
        assert main(["doctor", "--prm", *options, "--engine", "light"]) == 2
        printed = capsys.readouterr()
        assert message in printed.err
        assert printed.err.count("\n") == 1
        assert printed.out == ""
