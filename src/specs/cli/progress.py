"""Shows the progress of a run on standard error: on a terminal in one line, elsewhere in a line every 30 seconds."""

from __future__ import annotations

import os
import sys
import time

from specs.eval.runner import RunProgress

_EVERY_S = {True: 0.2, False: 30.0}
"""Seconds between two lines, on a terminal and elsewhere."""


class Shown:
    """Shows the progress that it is called with, unless it showed some less than `_EVERY_S` ago."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = time.monotonic() if not self._terminal else -1.0

    def __call__(self, standing: RunProgress) -> None:
        now, over = time.monotonic(), standing.done == standing.total
        if now - self._last < _EVERY_S[self._terminal] and not (over and self._terminal):
            return
        self._last = now
        if self._terminal:
            text = line(standing, _columns())
            print(f"\r{text}\x1b[K", end="\n" if over else "", file=sys.stderr, flush=True)
        else:
            print(line(standing), file=sys.stderr, flush=True)


def line(standing: RunProgress, width: int = 200) -> str:
    """Solves done, remaining time, and as many methods' shares of right answers as fit into `width`."""
    text = f"{standing.title}: " if standing.title else ""
    text += f"{standing.done}/{standing.total} solves, {100 * standing.done // max(standing.total, 1)}%"
    if standing.seconds_left is not None:
        text += f", {duration(standing.seconds_left)} left"
    for name, (right, graded) in standing.graded.items():
        more = f"{text}  {name} {100 * right / graded:.0f}%"
        if len(more) > width:
            break
        text = more
    return text


def _columns() -> int:
    """Columns that a line may fill without wrapping."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns - 1
    except OSError:
        return 79


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
