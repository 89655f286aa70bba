"""Whether an answer is right.

Spellings that differ in nothing but form (1,234.0 and 1234) and plain numbers are compared here;
anything else goes to math-verify (extra `specs-llm[eval]`), in a process of its own
(`specs.eval.judge`), which is stopped when an answer takes too long.
"""

from __future__ import annotations

import atexit
import json
import re
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from queue import Empty, Queue
from typing import IO

from specs.core.votes import boxed, normal
from specs.errors import EngineError, InputError, install_command

TIMEOUT_S = 5.0
"""Seconds for one comparison."""
_START_S = 120.0
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_FALLBACKS = (
    r"####\s*(.+)",
    r"(?i)\banswer\s*(?:is|:|=)\s*:?\s*(.+?)\s*(?:\.\s|\.?$)",
    r"\$([^$]+)\$",
    r"(-?\d[\d,]*(?:\.\d+)?(?:/\d+)?)",
)


def correct(prediction: str | None, answer: str, timeout_s: float = TIMEOUT_S) -> bool | None:
    """Whether `prediction` is the reference `answer`; None if that could not be decided in time.

    Args:
        prediction: the answer alone; None never is one.
        timeout_s: seconds, > 0.

    Raises:
        InputError: a comparison needs math-verify and it is not installed.
    """
    if prediction is None:
        return False
    given, wanted = normal(prediction), normal(answer)
    if given == wanted:
        return True
    if not given or (_NUMBER.fullmatch(given) and _NUMBER.fullmatch(wanted)):
        return False
    return _JUDGE.same(prediction, answer, timeout_s)


def extract(text: str) -> str | None:
    """The answer that a solution gives: the last box, else what follows the last `####` or "answer is",
    else the last formula between dollar signs, else the last number; None without any of them."""
    if (answer := boxed(text)) is not None:
        return answer
    for pattern in _FALLBACKS:
        if found := re.findall(pattern, text, re.MULTILINE):
            return found[-1].strip()
    return None


class _Judge:
    """The judging process; it starts with the first question, and anew after one that took too long."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._replies: Queue[str | None] = Queue()
        self._lock = threading.Lock()
        atexit.register(self._stop)

    def same(self, prediction: str, answer: str, timeout_s: float) -> bool | None:
        with self._lock:
            stdin = self._running()
            try:
                stdin.write(json.dumps({"prediction": prediction, "answer": answer}) + "\n")
                stdin.flush()
                reply = self._replies.get(timeout=timeout_s)
            except (OSError, Empty):
                reply = None
            if reply is None:  # too long, or more than the process could take
                self._stop()
                return None
            return json.loads(reply)["correct"]

    def _running(self) -> IO[str]:
        """Where questions go."""
        if self._process is None:
            if find_spec("math_verify") is None:
                raise InputError(f"comparing formulas needs math-verify: {install_command('eval')}")
            command = [sys.executable, "-m", "specs.eval.judge"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._replies = Queue()
            threading.Thread(target=_listen, args=(self._process.stdout, self._replies), daemon=True).start()
            try:
                ready = self._replies.get(timeout=_START_S)
            except Empty:
                ready = None
            if ready is None:
                self._stop()
                raise EngineError("the judging process did not start; run 'python -m specs.eval.judge' to see why")
        assert self._process.stdin is not None
        return self._process.stdin

    def _stop(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            assert process.stdin is not None
            process.kill()
            process.wait()
            with suppress(OSError):  # what was still to be sent goes nowhere
                process.stdin.close()


def _listen(lines: IO[str], replies: Queue[str | None]) -> None:
    """Hand on what the process says, and None when it ends."""
    with lines:
        for line in lines:
            replies.put(line)
    replies.put(None)


_JUDGE = _Judge()
