"""The sandbox: right code passes, wrong code fails with a reason, hostile code neither passes nor leaves anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from specs.errors import InputError
from specs.eval import sandbox
from specs.eval.files import Verdict
from specs.eval.sandbox import require_sandbox, run_tests
from specs.eval.sandbox_worker import verdict

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource limits")

PROMPT = '''import math


def root(x: float) -> float:
    """The square root of x."""
'''
TESTS = """
def check(candidate):
    for x in (0.0, 1.0, 2.0, 9.0):
        assert abs(candidate(x) ** 2 - x) < 1e-9
    assert len([x for x in range(3) if root(x) >= 0]) == 3
"""
RIGHT = "def root(x):\n    return math.sqrt(x)\n"


@pytest.fixture(params=["namespaces", "plain"])
def isolation(request, monkeypatch, tmp_path):
    """Runs with and without namespaces, with short limits, in folders below `tmp_path`."""
    if request.param == "plain":
        monkeypatch.setattr(sandbox, "_namespaces", tuple)
    elif not sandbox._namespaces():
        pytest.skip("this system does not let this user make namespaces")
    monkeypatch.setattr(sandbox, "WALL_S", 2.0)
    monkeypatch.setattr(sandbox, "_GRACE_S", 4.0)
    monkeypatch.setitem(sandbox._LIMITS, "RLIMIT_CPU", [1, 2])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return request.param


def passes(answer: str) -> Verdict:
    return run_tests(PROMPT, TESTS, "root", answer)


def _left(folder: Path) -> list[int]:
    """Processes that work in the folder, even if it is gone (Linux)."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(process / "cwd").startswith(str(folder)):
                found.append(int(process.name))
    return found


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        PROMPT + "    return math.sqrt(x)\n",
        "    return math.sqrt(x)\n",
        "return math.sqrt(x)",
        "if x == 0:\n        return 0.0\n    return math.sqrt(x)",
        "if x == 0:\n    return 0.0\nreturn math.sqrt(x)",
        "    return math.sqrt(x)\n\nprint(root(4))\n",
        "    def root(x):\n        return math.sqrt(x)\n",
        "from __future__ import annotations\nimport cmath\n\ndef root(x: Unknown):\n    return abs(cmath.sqrt(x))",
        "root = lambda x: x ** 0.5",
        "root = math.sqrt\nif __name__ == '__main__':\n    raise SystemExit(input())",
        "def helper(x):\n    return x ** 0.5\n\ndef root(x):\n    '''\u221a of {x}'''\n    return helper(x)",
        "from dataclasses import dataclass\n\n@dataclass\nclass Box:\n    x: 'float'\n\n"
        "def root(x):\n    return Box(x).x ** 0.5",
        "import sys\n\ndef root(x):\n    sys.stdout.close()\n    return x ** 0.5",
        "def root(x):\n    open('file', 'w').write('x')\n    return x ** 0.5",
        "print('x' * 50_000_000)\n" + RIGHT,
    ],
)
def test_right_code_passes_in_every_form(answer):
    """Whole, with or without the prompt, or only a body: indented, indented from line 2 on, or not indented."""
    assert passes(answer) == Verdict(True)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "IndentationError|TypeError"),
        ("pass", "TypeError"),
        ("return x / 2", "AssertionError"),
        ("def root(x):\n    return math.sqrt(x) + 1e-4", "AssertionError"),
        ("def other(x):\n    return math.sqrt(x)", "TypeError"),
        ("def root():\n    return 1", "TypeError: root.. takes 0 positional arguments"),
        ("def root(x):\n    return sqrt(x)", "NameError: name 'sqrt' is not defined"),
        ("root = 5", "TypeError: 'int' object is not callable"),
        ("def root(x:\n    return x", "SyntaxError"),
        ("Here is the function:\n" + RIGHT, r"SyntaxError: .*\(<answer>, line 1\)"),
        ("y = x\nreturn (y", r"SyntaxError: .*\(<answer>, line 2\)"),
        (RIGHT + "\0", "SyntaxError|ValueError"),
        (RIGHT + "# \udcff\ud800", "SyntaxError|UnicodeEncodeError"),
        ("x = '\ud800'\n", "SyntaxError|UnicodeEncodeError"),
        ("(" * 5000 + RIGHT, "SyntaxError|MemoryError|RecursionError"),
        ("import no_such_module\n" + RIGHT, "ModuleNotFoundError"),
        ("raise KeyError(1)", "KeyError: 1"),
        ("def root(x):\n    return root(x)", "RecursionError"),
    ],
)
def test_wrong_code_fails_with_its_error(answer, reason):
    found = passes(answer)
    assert found.correct is False
    assert re.match(reason, found.reason), found.reason
    assert "\n" not in found.reason


WRONG = "\ndef root(x):\n    return -1.0\n"
HOSTILE = {
    "an endless loop": ("while True: pass", "timed out"),
    "an endless loop in C": ("sum(iter(int, 1))", "timed out"),
    "a loop that catches everything": (
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "timed out|killed by SIGKILL",
    ),
    "sleep": ("import time\ntime.sleep(1000)", "timed out"),
    "10 GB": ("x = b'x' * 10**10", "MemoryError"),
    "much memory by parts": ("x = []\nwhile True: x.append(bytes(10**7))", "MemoryError"),
    "a large file": ("f = open('f', 'wb')\nfor _ in range(100): f.write(bytes(1 << 20))", "OSError.*File too large"),
    "reading": ("input()", "EOFError"),
    "exit": ("import sys\nsys.exit(0)", "SystemExit"),
    "exit in the function": ("def root(x):\n    raise SystemExit", "SystemExit"),
    "exit at once": ("import os\nos._exit(0)", "ended before its tests had passed .exit status 0"),
    "exit in the function at once": ("import os\ndef root(x):\n    os._exit(0)", "ended before"),
    "abort": ("import os\nos.abort()", "killed by SIGABRT"),
    "a crash": ("import ctypes\nctypes.string_at(0)", "killed by SIGSEGV"),
    "an error that exits": (
        "class E(Exception):\n    def __str__(self):\n        raise SystemExit\nraise E",
        "ended before its tests",
    ),
    "closed files": ("import os\nos.closerange(0, 100)" + WRONG, "ended before its tests"),
    "printing the report": ("import os\nfor fd in range(64):\n    try: os.write(fd, b'passed\\npassed 0\\n')\n"
                            "    except OSError: pass" + WRONG, "ended before|AssertionError"),
    "replaced builtins": ("import builtins\nbuiltins.abs = lambda x: 0.0\nbuiltins.AssertionError = Warning" + WRONG,
                          "AssertionError"),
    "shadowed builtins": ("abs = lambda x: 0.0" + WRONG, "AssertionError"),
    "replaced exit": ("import os\nos._exit = lambda status: None\nos.write = print" + WRONG, "AssertionError"),
    "its own tests": ("def check(candidate): pass" + WRONG, "AssertionError"),
    "exit handlers": ("import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit", "SystemExit"),
    "killing its parent": ("import os\nos.kill(os.getppid(), 9)" + WRONG, "killed the process that watched|Assertion"),
    "killing its parent's group": (
        "import os\nif os.getppid() > 1: os.killpg(os.getpgid(os.getppid()), 9)" + WRONG,
        "killed the process that watched|Assertion",
    ),
    "killing all of its namespace": (
        "import os\nif os.getppid() == 1: os.kill(-1, 9)" + WRONG,
        "No such process|Assertion",
    ),
    "stopping its parent": (
        "import os\nos.kill(os.getppid(), 19)" + WRONG,
        "killed the process that watched|Assertion",
    ),
    "processes": ("import os, time\nfor _ in range(6): os.fork()\ntime.sleep(60)", "timed out|BlockingIOError"),
    "a process in another session": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(60)\n    os._exit(0)"
        + WRONG,
        "AssertionError|BlockingIOError",
    ),
    "a process that copies itself": (
        "import os, time\nfor _ in range(50):\n    if os.fork(): os._exit(0)\n    time.sleep(0.001)\ntime.sleep(60)",
        "ended before|BlockingIOError",
    ),
    "a program that stays": (
        "import subprocess\nsubprocess.Popen(['sleep', '60'], start_new_session=True)" + WRONG,
        "AssertionError|BlockingIOError",
    ),
    "deep folders": (
        "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')" + WRONG, "AssertionError"
    ),
    "a folder without rights": ("import os\nos.makedirs('d/e')\nos.chmod('d', 0)\nos.chmod('.', 0)" + WRONG,
                                "AssertionError"),
}  # fmt: skip


SHORT = ("an endless loop", "10 GB", "exit at once", "replaced builtins", "killing its parent", "a program that stays")
"""The rest takes a minute."""


@pytest.mark.parametrize(
    "name", [name if name in SHORT else pytest.param(name, marks=pytest.mark.slow) for name in HOSTILE]
)
def test_hostile_code_is_wrong_and_leaves_no_process(name, isolation, tmp_path, monkeypatch):
    answer, reason = HOSTILE[name]
    if "timed out" not in reason and "watched" not in reason:
        monkeypatch.setattr(sandbox, "WALL_S", 20.0)
    start = time.monotonic()
    found = passes(answer)
    assert found.correct is False, found
    assert re.search(reason, found.reason), found.reason
    assert time.monotonic() - start < 20
    deadline = time.monotonic() + 5
    while _left(tmp_path) and time.monotonic() < deadline:  # a killed process takes a moment to go
        time.sleep(0.01)
    assert _left(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_empty_and_goes_away(isolation, tmp_path):
    look = "import os\nassert os.listdir() == [] and os.environ['HOME'] == os.getcwd(), os.listdir()\n"
    assert passes(f"{look}open('f', 'w')\nos.makedirs('a/b')\n{RIGHT}") == Verdict(True)
    assert list(tmp_path.iterdir()) == []


def test_code_gets_neither_environment_nor_open_files_nor_terminal(isolation, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", "x")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        look = (
            "import os, sys\nassert 'SECRET' not in os.environ\n"
            "assert not [a for a in os.environ if a.startswith('PYTHON')] or os.environ['PYTHONHASHSEED'] == '0'\n"
            "assert os.getsid(0) == os.getpid() and sys.stdin.read() == ''\n"
            f"for fd in range(64):\n    try: assert not os.path.samestat(os.fstat(fd), os.stat({file.name!r}))\n"
            "    except OSError: pass\n"
        )
        assert passes(look + RIGHT) == Verdict(True)


def test_code_in_namespaces_has_no_network():
    if not sandbox._namespaces():
        pytest.skip("this system does not let this user make namespaces")
    look = "import socket\ns = socket.socket()\ns.connect(('127.0.0.1', 9))\n"
    assert re.match("OSError.*Network is unreachable", passes(look + RIGHT).reason)


def test_the_same_answer_gets_the_same_grade():
    """Sets have one order and tests draw the same inputs in every run."""
    answer = RIGHT + "import random\nraise KeyError(list({'a', 'b', 'c', 'd', 'e', 'f'}), random.random())"
    assert len({passes(answer).reason for _ in range(3)}) == 1


def test_helpers_of_the_prompt_serve_code_and_tests():
    prompt = 'def double(x):\n    return 2 * x\n\n\ndef half(x):\n    """The inverse of double."""\n'
    tests = "def check(candidate):\n    assert candidate(double(7)) == 7\n    assert double(7) == 14\n"
    assert run_tests(prompt, tests, "half", "return x // 2") == Verdict(True)
    assert run_tests(prompt, tests, "half", "assert double(2) == 4\nreturn x // 2") == Verdict(True)
    cheat = "def double(x):\n    return x\n\ndef half(x):\n    return x\n"
    assert run_tests(prompt, tests, "half", cheat).correct is False


def test_a_sandbox_that_fails_decides_nothing(monkeypatch, tmp_path):
    broken = run_tests("def f(:", "", "f", "def f(): pass")
    assert broken.correct is None
    assert re.match("the sandbox failed: SyntaxError", broken.reason)
    assert run_tests(PROMPT, "checks = 1", "root", RIGHT).correct is None
    monkeypatch.setattr(sandbox, "_namespaces", tuple)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert re.match("the sandbox did not start .FileNotFoundError", passes(RIGHT).reason)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert passes(RIGHT) == Verdict(None, "the sandbox did not start (exit status 1)")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert passes(RIGHT).correct is None


def test_a_limit_that_cannot_be_set_decides_nothing(monkeypatch):
    monkeypatch.setitem(sandbox._LIMITS, "RLIMIT_CORE", [2, 1])
    if sys.platform == "linux":
        assert re.match("the sandbox failed: ", passes(RIGHT).reason)


@pytest.mark.parametrize(
    ("report", "status", "late_s", "correct"),
    [
        ("ready\npassed t\n", 0, None, True),
        ("ready\npassed t\n", 9, 3.0, True),
        ("ready\npassed u\n", 0, None, False),
        ("ready\nfailed E: t\n", 0, None, False),
        ("ready\n", 0, None, False),
        ("ready\n", 9, 3.0, False),
        ("ready\n", 9, None, False),
        ("passed t\n", 0, None, None),
        ("broken E\n", 0, None, None),
        ("", 9, None, None),
    ],
)
def test_only_the_token_passes_and_only_code_that_ran_is_wrong(report, status, late_s, correct):
    found, reason = verdict(report, "t", status, late_s)
    assert found is correct
    assert (reason is None) is (correct is True)


def test_many_threads_run_code_at_a_time():
    """They do not mix up their verdicts."""
    answers = [RIGHT, "return x / 2"] * 6
    with ThreadPoolExecutor(6) as pool:
        assert [found.correct for found in pool.map(passes, answers)] == [True, False] * 6


def test_ctrl_c_ends_the_code_too(isolation, tmp_path, monkeypatch):
    def interrupted(self, *args):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sandbox._run_in(str(tmp_path), {}, sandbox._namespaces())
    assert _left(tmp_path) == []


def test_without_resource_limits_an_error_says_so(monkeypatch):
    monkeypatch.setattr(sandbox, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="Windows"):
        require_sandbox()


def test_without_unshare_code_runs_all_the_same(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    assert sandbox._namespaces.__wrapped__() == ()
    monkeypatch.undo()
    monkeypatch.setattr(sandbox, "_NAMESPACES", ("false",))
    assert sandbox._namespaces.__wrapped__() == ()
