"""The command line as a whole: its size, its answers to spellings of version 0.1 and to misspelt names."""

import pytest

from helpers.commands import QUICK, run_command
from specs.cli import main
from specs.cli.main import COMMANDS, MOVED
from specs.cli.parsing import METHOD_OPTIONS, SETTINGS

MOST_LINES = 45


def lines_of(capsys, words):
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    return capsys.readouterr().out.splitlines()


def refused(capsys, *words):
    """The error message that the command prints for these words."""
    assert main(list(words)) == 2, words
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("specs: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_the_help_of_solve_fits_on_a_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lines = lines_of(capsys, ["solve"])
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= 100


def test_there_are_ten_commands(capsys):
    shown = " ".join(lines_of(capsys, []))
    assert list(COMMANDS) == "solve methods eval report view grade calibrate serve launch doctor".split()
    assert all(f" {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", MOVED)
def test_commands_that_have_moved_say_where_to(command, capsys):
    assert MOVED[command] in refused(capsys, command, "--out", "x")
    assert MOVED[command].startswith(("python -m research.", *(f"specs {name} --" for name in COMMANDS)))


@pytest.mark.parametrize("option", METHOD_OPTIONS)
@pytest.mark.parametrize("form", [["--{}", "0.8"], ["--{}=0.8"]], ids=["apart", "joined"])
def test_flags_that_became_options_of_a_method_say_how_to_give_them(option, form, capsys):
    words, text = [word.format(option) for word in form], METHOD_OPTIONS[option]
    said = refused(capsys, "solve", *words, "a question")
    assert said == f"specs: --{option} is an option of the method now: --method {text}\n"
    assert refused(capsys, "eval", "--out", "x", *words).endswith(f"now: --methods {text}\n")
    assert refused(capsys, "report", "--replay", "x", *words) == f"specs: --{option}: --set {text.partition(':')[2]}\n"


@pytest.mark.parametrize("name", SETTINGS)
def test_flags_that_became_settings_say_how_to_give_them(name, capsys):
    for command in (["solve", "a question"], ["eval", "--out", "x"], ["calibrate", "--out", "x"]):
        assert refused(capsys, *command, f"--{name}", "1") == f"specs: --{name}: --set {SETTINGS[name]}\n"


def test_commands_accept_the_spellings_that_the_errors_suggest(capsys):
    """Each command then fails only because the question is missing."""
    for text in METHOD_OPTIONS.values():
        assert "no question" in refused(capsys, "solve", "--method", text)
    for text in SETTINGS.values():
        assert "no question" in refused(capsys, "solve", "--set", text)


@pytest.mark.parametrize("command", ["solve", "eval", "calibrate", "serve", "doctor"])
def test_the_old_flag_models_is_refused_with_an_explanation(command, capsys):
    assert "--models was removed: the bundled models are used unless" in refused(capsys, command, "--models", "bundled")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["slove"], "there is no command 'slove'; did you mean 'solve'?"),
        (["xyz"], "there is no command 'xyz'; choose from solve, methods, eval,"),
        (["methods", "beem"], "there is no method 'beem'; did you mean 'beam'?"),
        (["eval", "--methds", "beam"], "specs eval has no option --methds; did you mean '--methods'?"),
        (["calibrate", "--max-latency", "1"], "has no option --max-latency; did you mean '--max-latency-ratio'?"),
        (["serve", "--set", "max_steps=3"], "--set has no name 'max_steps'; did you mean 'max_step_tokens'?"),
        (["doctor", "--set", "promformat=qwen"], "--set has no name 'promformat'; did you mean 'prm_format'?"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(words, message, capsys):
    assert message in refused(capsys, *words)


def test_commands_of_research_suggest_spellings_too(capsys):
    assert run_command(QUICK, ["--tau", "0.5"]) == 2
    assert "--tau is an option of the method now: --methods specs:tau=0.8" in capsys.readouterr().err
