"""Decides whether an answer is right.

This module compares normal forms, and `specs.eval.equivalence` compares structure and numbers. math-verify (extra
`specs-llm[eval]`) compares formulas, in a separate process (`specs.eval.formula_worker`) that this module kills when
an answer takes too long.
"""

from __future__ import annotations

import atexit
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from queue import Empty, Queue
from typing import IO

from specs.core.answers import normal
from specs.errors import EngineError, InputError, SpecsError, install_command
from specs.eval.equivalence import same
from specs.eval.extraction import extract, last_boxes, stated
from specs.eval.structure import answers_of

__all__ = ["TIMEOUT_S", "Grade", "correct", "extract", "grade", "read_answer", "require_math_verify", "same_answer"]

TIMEOUT_S = 5.0
"""Seconds for all formulas of one answer."""
_START_S = 120.0
_QUOTED = r"""(?:"[^"]*"|'[^']*')"""
_LIST = re.compile(rf"\s*\[\s*{_QUOTED}(?:\s*,\s*{_QUOTED})*\s*\]\s*")


@dataclass(frozen=True, slots=True)
class Grade:
    """The grade of a prediction.

    Attributes:
        correct: whether it is right; None if undecided, and `reason` says why.
        extracted: the answer that was read from the prediction; None if there is none.
    """

    correct: bool | None
    extracted: str | None
    reason: str | None = None


UNDECIDED = "math-verify failed to compare them or took too long"
"""Why an answer is neither right nor wrong, if the grading itself did not fail."""


def correct(prediction: str | None, answer: str, timeout_s: float = TIMEOUT_S) -> bool | None:
    """Whether `prediction` gives the reference `answer`; None if that could not be decided (`UNDECIDED`).

    Args:
        prediction: an answer, or a text that gives one (`read_answer`); None is never right.
        timeout_s: seconds, > 0.

    Raises:
        InputError: a comparison needs math-verify and it is not installed.
    """
    return grade(prediction, answer, timeout_s).correct


def grade(prediction: str | None, answer: str, timeout_s: float = TIMEOUT_S) -> Grade:
    """Like `correct`, also with the answer that was read; `answer` may be a text that states the reference answer."""
    extracted: str | None = None
    try:
        if prediction is None:
            return Grade(False, None)
        extracted = read_answer(prediction, answer)
        if normal(prediction) == normal(answer) != "":
            return Grade(True, extracted)
        verdict = same_answer(extracted, answer, timeout_s)
    except SpecsError:
        raise
    except Exception as error:  # a bug in grading one answer must not stop the others
        return Grade(None, extracted, f"{type(error).__name__} while it was graded")
    return Grade(verdict, extracted, UNDECIDED if verdict is None else None)


def read_answer(text: str, answer: str, unboxed: bool = True) -> str | None:
    """The answer that a text gives to the question with the reference `answer`; None if it gives none.

    If the reference lists k answers, the answer is made of as many of the last boxes as together hold k.

    Args:
        unboxed: whether to also read answers from texts without a box (`specs.eval.extraction`).
    """
    count = len(answers_of(stated(_listed(answer))))
    text = _listed(text)
    return extract(text, count) if unboxed else last_boxes(text, count)


def same_answer(prediction: str | None, answer: str, timeout_s: float = TIMEOUT_S) -> bool | None:
    """Like `correct`, for a prediction that is just an answer, such as the content of a box."""
    if prediction is None:
        return False
    prediction, answer = _listed(prediction), stated(_listed(answer))
    if normal(prediction) == normal(answer):
        return normal(answer) != ""
    with _WORKER.lock:
        return same(prediction, answer, _compare_within(timeout_s))


def require_math_verify() -> None:
    """Raises `InputError` unless formulas can be compared."""
    if find_spec("math_verify") is None:
        raise InputError(f"comparing formulas needs math-verify: {install_command('eval')}")


def _listed(text: str) -> str:
    """A list of strings as JSON or Python write it, `["3", "5"]`, as `3, 5`; other texts unchanged."""
    if not _LIST.fullmatch(text):
        return text
    return ", ".join(entry[1:-1].replace("\\\\", "\\") for entry in re.findall(_QUOTED, text))


def _compare_within(timeout_s: float) -> Callable[[str, str], bool | None]:
    """A function that compares formulas, with one time limit for all its calls; starting the worker does not count."""
    deadline: float | None = None

    def compare(one: str, other: str) -> bool | None:
        nonlocal deadline
        _WORKER.start()
        deadline = deadline or time.monotonic() + timeout_s
        left_s = deadline - time.monotonic()
        return _WORKER.same(one, other, left_s) if left_s > 0 else None

    return compare


class FormulaWorker:
    """The process that compares formulas; the first comparison starts it, and the first one after a timeout again."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._replies: Queue[str | None] = Queue()
        atexit.register(self._stop)

    def same(self, prediction: str, answer: str, timeout_s: float) -> bool | None:
        """Whether two formulas are the same; None if the comparison failed or took longer than `timeout_s` seconds."""
        with self.lock:
            stdin = self.start()
            try:
                stdin.write(json.dumps({"prediction": prediction, "answer": answer}) + "\n")
                stdin.flush()
                reply = self._replies.get(timeout=timeout_s)
            except (OSError, Empty):
                reply = None
            if reply is None:  # it took too long, or the process ended
                self._stop()
                return None
            return json.loads(reply)["correct"]

    def start(self) -> IO[str]:
        """Start the process if it is not running; returns its standard input."""
        if self._process is None:
            require_math_verify()
            command = [sys.executable, "-m", "specs.eval.formula_worker"]
            self._process = subprocess.Popen(  # in its own session, so that Ctrl-C does not reach it
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            self._replies = Queue()
            threading.Thread(target=_listen, args=(self._process.stdout, self._replies), daemon=True).start()
            try:
                ready = self._replies.get(timeout=_START_S)
            except Empty:
                ready = None
            if ready is None:
                self._stop()
                raise EngineError("grading did not start; run 'python -m specs.eval.formula_worker' to see why")
        assert self._process.stdin is not None
        return self._process.stdin

    def _stop(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            assert process.stdin is not None
            process.kill()
            process.wait()
            with suppress(OSError):  # closing flushes what was not sent, and nobody reads it
                process.stdin.close()


def _listen(lines: IO[str], replies: Queue[str | None]) -> None:
    """Pass on each line of the process, and None when it ends."""
    with lines:
        for line in lines:
            replies.put(line)
    replies.put(None)


_WORKER = FormulaWorker()
