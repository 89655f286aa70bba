"""Options that only version 0.1 has: its files are read and shown, and solving or replaying with them is refused."""

import json

import pytest

from helpers import toy
from helpers.server_app import app_of
from specs import api
from specs.cli import main
from specs.config import SolveConfig, configure, presets
from specs.config.presets import Preset
from specs.decoding.stream import stream
from specs.errors import InputError
from specs.eval.files import Problem
from specs.eval.grid import GridPoint
from specs.eval.runner import Plan, solve_all
from specs.eval.store import RunFolder, read_run
from specs.methods.specs import Specs
from specs.traces.codec import result_from
from specs.traces.replay import ReplayEnd, replay
from specs.traces.schema import plain, result_json
from specs.types import End

LAW = {"temperature": 0.9, "top_p": 1.0, "max_step_tokens": 4}
IDLE, REAL = {"hopeless": None, "enough": 1.0}, {"hopeless": 2.0, "enough": 0.5}
OWNERS = {"hopeless": "method", "enough": "steps"}
each = pytest.mark.parametrize("option", OWNERS)


def refused(option):
    return pytest.raises(InputError, match=f"no option '{option}'; version 0.1 has it, this version no longer does")


def recorded(option, value):
    """A trace of a solve with an option, as a file holds it."""
    config = configure(n=2, max_steps=3, **LAW)
    found = plain(result_json(stream("q", toy.models(), config).result, candidates=True))
    found["settings"][OWNERS[option]][option] = value
    return found


@each
def test_without_an_effect_the_option_is_dropped_from_a_trace(option):
    result = result_from(recorded(option, IDLE[option]), "file")
    assert option not in result.settings[OWNERS[option]]
    assert replay(result).ended is ReplayEnd.COMPLETE


@each
def test_a_trace_with_the_option_is_shown_and_not_replayed(option, tmp_path, capsys):
    trace = recorded(option, REAL[option])
    trace["steps"][0]["candidates"][1] |= {"end": "cut", "log_p": None, "log_q": None, "reward": None}
    (tmp_path / "trace.json").write_text(json.dumps(trace))
    result = result_from(trace, "file")
    assert result.steps[0].candidates[1].end is End.CUT
    assert result.settings[OWNERS[option]][option] == REAL[option]
    assert main(["view", str(tmp_path / "trace.json")]) == 0
    with refused(option):
        replay(result)
    assert main(["report", "--replay", str(tmp_path / "trace.json")]) == 2
    assert f"'{option}'; version 0.1 has it" in capsys.readouterr().err


def test_a_preset_with_the_option_is_read_and_not_solved_with(tmp_path):
    for value in (None, 2.0):
        path = tmp_path / "preset.json"
        Preset("specs", {"n": 2, "hopeless": value}, LAW, {}).write(path)
        preset = Preset.of(path)
        assert preset.options == ({"n": 2} if value is None else {"n": 2, "hopeless": value})
    with refused("hopeless"):
        api.solve("q", toy.models(), **presets.read(path))
    with refused("hopeless"):
        app_of(presets={"old": preset})


@each
def test_a_run_with_the_option_is_read_and_not_continued(option, tmp_path):
    config = SolveConfig(Specs(n=2))
    plan = Plan([Problem("a", "1", None, "toy:a")], [GridPoint("specs", config.method)], config.sampling, config.limits)
    models = toy.models()

    def solved():
        configuration = plan.configuration("toy", {"draft": "q", "target": "p", "prm": "r"}) | {"problem_seed": 1}
        with RunFolder(tmp_path / "run", configuration, plan.settings) as folder:
            folder.begin({"limit": 1, "seeds": 1, "command": "specs eval", "environment": {}})
            folder.end(solve_all(plan, models, folder))

    solved()
    file = tmp_path / "run" / "run.json"
    whole = file.read_text()
    for values in (IDLE, REAL):
        run = json.loads(whole)
        steps, options = run["configuration"]["law"]["steps"], run["methods"][0]["options"]
        (steps if option == "enough" else options)[option] = values[option]
        file.write_text(json.dumps(run))
        found = read_run(tmp_path / "run")
        assert len(found.rows) == 1
        if values is IDLE:
            solved()
            assert read_run(tmp_path / "run").settings == list(plan.settings)
    with refused(option):
        solved()


@each
def test_a_solve_with_the_option_is_refused(option, capsys):
    with refused(option):
        configure(**{option: REAL[option]})
    with refused(option):
        configure(Specs(), **{option: REAL[option]})
    with refused(option):
        replay(result_from(recorded(option, IDLE[option]), "file"), **{option: REAL[option]})
    for words in (
        ["--method", f"specs:{option}=0.5"],
        ["--set", f"{option}=0.5"],
        [f"--{option}", "0.5"],
        [f"--{option}=0.5"],
    ):
        assert main(["solve", "1+1?", *words]) == 2
        assert option in (said := capsys.readouterr().err)
        assert "version 0.1 has it, this version no longer does" in said
