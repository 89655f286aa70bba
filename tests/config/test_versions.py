"""Options and settings that earlier versions wrote mean what they meant."""

import json

import pytest

from specs.config.presets import Preset
from specs.config.solve_config import SETTINGS_VERSION
from specs.config.versions import current_options, current_settings
from specs.errors import InputError
from specs.methods.registry import make

WEIGHTS = ("switch_on", "select_weight", "accept_weight")


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ({"score": "tilted", "switch_on": "tilted"}, ("step", 1.0, 1.0)),
        ({"score": "tilted", "switch_on": "step"}, ("step", 1.0, 0.0)),
        ({"score": "tilted", "switch_on": "trace"}, ("trace", 1.0, 0.0)),
        ({"score": "raw", "switch_on": "tilted"}, ("step", 0.0, 0.0)),
        ({"score": "raw", "switch_on": "trace"}, ("trace", 0.0, 0.0)),
        ({"score": "raw"}, ("step", 0.0, 0.0)),
        ({"score": "tilted"}, ("step", 1.0, 1.0)),
        ({"switch_on": "step"}, ("step", 1.0, 0.0)),
        ({"switch_on": "tilted"}, ("step", 1.0, 1.0)),
    ],
)
def test_old_options_become_weights(old, now):
    """Whole or in part: what was left out had the default of its version."""
    found = current_options({"n": 4, **old})
    assert tuple(found[name] for name in WEIGHTS) == now
    make("specs", **found)


def test_current_options_stay():
    for options in ({}, {"n": 4}, {"switch_on": "trace", "accept_weight": 1.0}, {"select_weight": 0.5}):
        assert current_options(options) == options


def test_a_score_that_never_was_is_refused():
    with pytest.raises(InputError, match="score is 'best'; give 'tilted' or 'raw'"):
        current_options({"score": "best"})


def test_an_old_preset_is_read(tmp_path):
    old = {"n": 4, "tau": 0.9, "score": "raw", "switch_on": "tilted"}
    law = {"temperature": 0.7, "top_p": 1.0, "max_step_tokens": 64}
    preset = {"method": "specs", "options": old, "law": law, "provenance": {}}
    (tmp_path / "preset.json").write_text(json.dumps(preset))
    assert Preset.of(tmp_path / "preset.json").options == {
        "n": 4, "tau": 0.9, "switch_on": "step", "select_weight": 0.0, "accept_weight": 0.0,
    }  # fmt: skip


def test_settings_of_a_newer_version_are_refused():
    with pytest.raises(InputError, match=f"its settings have version {SETTINGS_VERSION + 1}, which is newer than"):
        current_settings({"version": SETTINGS_VERSION + 1})


def test_settings_of_version_2_get_the_weights():
    method = {"n": 8, "score": "tilted", "switch_on": "tilted"}
    found = current_settings({"version": 2, "method": method, "steps": {}, "sampling": {}, "limits": {}})
    assert found["version"] == SETTINGS_VERSION
    assert found["method"] == {
        "n": 8, "switch_on": "step", "select_weight": 1.0, "accept_weight": 1.0, "length_power": 0.0, "verify": "all",
    }  # fmt: skip


def test_settings_before_version_4_say_that_the_target_read_everything():
    method = {"n": 8, "beta": 20.0, "threshold": 0.5}
    for version in (2, 3):
        found = current_settings({"version": version, "method": method, "steps": {}, "sampling": {}, "limits": {}})
        assert found["method"] == {**method, "verify": "all"}
    assert make("gsi", **found["method"]).verify == "all"
    released = {"n": 8, "threshold": 7.0, "switch_back": 0.7}
    found = current_settings({"version": 3, "method": released, "steps": {}, "sampling": {}, "limits": {}})
    assert found["method"] == {**released, "verify": "all"}
    other = {"n": 8}
    found = current_settings({"version": 3, "method": other, "steps": {}, "sampling": {}, "limits": {}})
    assert found["method"] == other
