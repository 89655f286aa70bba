"""Presets: a solve takes exactly the settings that calibration wrote, and a broken file is an error of one line."""

import json
from dataclasses import asdict

import pytest

from helpers import toy
from specs import solve
from specs.config import presets
from specs.config.presets import Preset
from specs.errors import InputError
from specs.methods.registry import NAMES, make, options_of
from specs.methods.specs import Specs

LAW = {"temperature": 0.9, "top_p": 0.95, "max_step_tokens": 5}
MADE = Preset("specs", asdict(Specs(n=2, tau=0.3, start="draft")), LAW, {"models": {"draft": "q", "prm": "r"}})


def _written(path, **changes):
    """Write a preset with some fields changed; a field that is None is left out."""
    value = {name: one for name, one in {**asdict(MADE), **changes}.items() if one is not None}
    path.write_text(json.dumps(value))
    return path


def test_solve_accepts_what_read_returns(tmp_path):
    MADE.write(tmp_path / "preset.json")
    assert Preset.of(tmp_path / "preset.json") == MADE
    settings = solve("q", toy.models(), **presets.read(tmp_path / "preset.json")).settings
    assert settings["method"] == asdict(Specs(n=2, tau=0.3, start="draft"))
    assert (settings["sampling"], settings["steps"]["max_tokens"]) == ({"temperature": 0.9, "top_p": 0.95}, 5)


def test_a_law_may_have_filters_and_has_none_without_them(tmp_path):
    """Presets of earlier versions have none, and a law without filters is written as before."""
    law = {**LAW, "top_k": 20, "min_p": 0.05}
    read = presets.read(_written(tmp_path / "preset.json", law=law))
    assert solve("q", toy.models(), **read).settings["sampling"] == {
        "temperature": 0.9, "top_p": 0.95, "top_k": 20, "min_p": 0.05,
    }  # fmt: skip
    assert "top_k" not in Preset.of(_written(tmp_path / "plain.json")).law


def test_options_that_are_left_out_are_the_defaults(tmp_path):
    read = presets.read(_written(tmp_path / "preset.json", method="rsd", options={"tau": 1}))
    assert read == {"method": "rsd", "tau": 1, **LAW}


def test_models_other_than_those_of_the_preset_are_reported():
    assert MADE.foreign({"draft": "q", "target": "p", "prm": "other"}) == ["prm is other, not r"]
    assert MADE.foreign({"draft": "q", "prm": "r"}) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "spex"}, "there is no method 'spex'; did you mean 'specs'"),
        ({"method": 7}, "'method' is 7; give a name"),
        ({"method": None}, "it has no field 'method'"),
        ({"colour": "red"}, "it has an unknown field 'colour'; there are method, options, law, provenance"),
        ({"options": [1]}, "'options' is not an object"),
        ({"options": {"tua": 0.7}}, "method specs has no option 'tua'; did you mean 'tau'"),
        ({"options": {"tau": "0.7"}}, "tau is '0.7'; give a number from 0 to 1"),
        ({"options": {"n": 0}}, "n is 0; give a whole number of at least 1"),
        ({"options": {"start": "prm"}}, "start is 'prm'; give 'target' or 'draft'"),
        ({"law": {"temperature": 0.7}}, "'law' has no field 'top_p'"),
        ({"law": {**LAW, "seed": 1}}, "'law' has an unknown field 'seed'"),
        ({"law": {**LAW, "temperature": "hot"}}, "temperature is 'hot'; give a number of at least 0"),
        ({"law": {**LAW, "max_step_tokens": 1.5}}, "max_step_tokens is 1.5; give a whole number"),
        ({"law": {**LAW, "top_k": -1}}, "top_k is -1; give a whole number of at least 0"),
        ({"law": {**LAW, "top_k": 0.5}}, "top_k is 0.5; give a whole number"),
        ({"law": {**LAW, "min_p": 1.1}}, "min_p is 1.1; give a number from 0 to 1"),
        ({"law": {**LAW, "top_p": 7}}, "top_p is 7; give a number above 0 and up to 1"),
        ({"provenance": {"models": "q"}}, "the models of 'provenance' are 'q'"),
    ],
)
def test_broken_presets_are_refused(changes, message, tmp_path):
    with pytest.raises(InputError, match=rf"^preset \S*preset.json: {message}[^\n]*$"):
        Preset.of(_written(tmp_path / "preset.json", **changes))


def test_files_that_are_no_presets(tmp_path):
    path = tmp_path / "preset.json"
    for content, message in ((None, "cannot be read"), ("{", "is not JSON"), ("[]", "not an object")):
        if content is not None:
            path.write_text(content)
        with pytest.raises(InputError, match=message):
            Preset.of(path)


@pytest.mark.parametrize("name", NAMES)
def test_every_default_is_a_valid_value_and_text_for_a_number_is_not(name):
    method = make(name)
    for option in options_of(name):
        assert make(name, **{option: getattr(method, option)}) == method
    if "n" in options_of(name):
        for wrong in ("8", 8.0, True, None, [8]):
            with pytest.raises(InputError, match=r"n is .*; give a whole number of at least 1"):
                make(name, n=wrong)
