"""The folder of a run: what it is, its rows and its traces, written so that it can be killed at any point.

    run.json          configuration, methods, and every start of the run
    results.jsonl     one line a solve (`specs.eval.rows.Row`)
    traces.jsonl.gz   the full trace of each, one line and one gzip member a solve

A trace is written before its row, and the row says which bytes hold it. So whatever a killed run
leaves behind the last whole row belongs to nothing, and is cut off when the run goes on.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from specs.errors import InputError
from specs.eval.grid import Setting
from specs.eval.rows import Key, Row, Rows, read_rows
from specs.traces.schema import json_text, plain, result_json, write_json
from specs.types import Result

FORMAT = 1
"""Raised whenever what a folder holds changes its meaning."""
RUN, RESULTS, TRACES = "run.json", "results.jsonl", "traces.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a folder holds.

    Attributes:
        configuration: what all starts share: data set, models, law, limits, first seed.
        settings: the configured methods.
        starts: each start of the run: when, how many problems and seeds, command, environment.
        size: bytes that the rows fill; a row that was cut off comes after them.
    """

    path: Path
    configuration: dict[str, Any]
    settings: list[Setting]
    starts: list[dict[str, Any]]
    rows: dict[Key, Row]
    size: int

    def trace(self, row: Row) -> dict[str, Any]:
        """The full trace of a row: its `problem_id` and what `specs.traces.schema.result_json` says of the solve."""
        if row.trace is None:
            raise InputError(f"{self.path} keeps no trace of {row.problem_id}")
        with (self.path / TRACES).open("rb") as file:
            file.seek(row.trace[0])
            return json.loads(gzip.decompress(file.read(row.trace[1] - row.trace[0])))


def read(path: Path) -> Recorded:
    """What the folder of a run holds, also of one that is under way or was killed.

    Raises:
        InputError: it is no such folder, or of another format.
    """
    try:
        run = json.loads((path / RUN).read_text(encoding="utf-8"))
        if run["format"] != FORMAT:
            raise InputError(f"{path} has format {run['format']}, this version reads {FORMAT}; make it anew")
        settings = [Setting(**setting) for setting in run["methods"]]
        configuration, starts = {"draws": 1, **run["configuration"]}, run["starts"]  # rule 1 was not recorded
    except OSError as error:
        raise InputError(f"{path} is no folder of 'specs eval' ({RUN}: {error.strerror})") from None
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path / RUN} was not written by 'specs eval'; give another folder") from None
    return Recorded(path, configuration, settings, starts, *read_rows(path / RESULTS))


class Folder(Rows):
    """The folder of a run, opened to add to: a context manager that holds the only lock on it."""

    def __init__(self, path: Path, configuration: dict[str, Any], settings: Sequence[Setting]) -> None:
        """Take over what the folder holds; it may be new or empty.

        A run may grow: other problems of the same data set, other seeds, other methods or n.

        Raises:
            InputError: it holds something else, another configuration (named), or is in use.
        """
        super().__init__()
        self.path = path
        # What is there is compared with what JSON makes of the configuration.
        self._configuration: dict[str, Any] = plain(configuration)
        self._settings = [Setting(**plain(asdict(setting))) for setting in settings]
        self._starts: list[dict[str, Any]] = []
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(not one.name.startswith(".") for one in path.iterdir()) and not (path / RUN).exists():
                raise InputError(f"{path} holds other files; give a new or empty folder, or that of a run")
            self._lock = FileLock(path / ".lock")
            self._lock.acquire(blocking=False)
        except Timeout:
            raise InputError(f"{path} is in use by another run; wait for it, or give another folder") from None
        except OSError as error:
            raise InputError(f"{path} cannot hold a run ({error.strerror}); give another folder") from None
        try:
            self._traces, self._results = self._open()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *exception: object) -> None:
        self._traces.close()
        self._results.close()
        self._lock.release()

    def begin(self, start: dict[str, Any]) -> None:
        """Record a start of the run."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._starts.append({"started": now, "ended": None, **start})
        self._write()

    def end(self, interrupted: bool) -> None:
        """Record that the run came to its end, or was told to stop."""
        ended = {"ended": datetime.now(UTC).isoformat(timespec="seconds"), "interrupted": interrupted}
        self._starts[-1] |= ended
        self._write()

    def add(self, row: Row, result: Result) -> None:
        """Write the trace, then the row."""
        trace = {"problem_id": row.problem_id, "label": row.method, **result_json(result, candidates=True)}
        first = self._traces.tell()
        try:
            self._append(self._traces, gzip.compress(json_text(trace).encode() + b"\n", 6, mtime=0))
            row = replace(row, trace=[first, self._traces.tell()])
            self._append(self._results, json_text(asdict(row)).encode() + b"\n")
        except OSError as error:
            raise InputError(
                f"{self.path} cannot take another row ({error.strerror}); mend that and run the same command again"
            ) from None
        super().add(row, result)

    @staticmethod
    def _append(file: BinaryIO, content: bytes) -> None:
        file.write(content)
        file.flush()

    def _open(self) -> tuple[BinaryIO, BinaryIO]:
        for left_over in self.path.glob(".*.part"):
            left_over.unlink()
        size = 0
        if (self.path / RUN).exists():
            found = read(self.path)
            self._take_over(found)
            self.by_key, size = found.rows, found.size
        kept = max((row.trace[1] for row in self.by_key.values() if row.trace), default=0)
        traces = _opened(self.path / TRACES, kept)
        return traces, _opened(self.path / RESULTS, size)

    def _take_over(self, found: Recorded) -> None:
        before, now = found.configuration, self._configuration
        # A method added later may need a model that the earlier ones did without.
        models = {**before["models"], **now["models"]}
        differs = [name for name in sorted({*before, *now} - {"models"}) if before.get(name) != now.get(name)]
        differs += ["models"] if models != {**now["models"], **before["models"]} else []
        if before["draws"] != now["draws"]:
            raise InputError(
                f"{self.path} was drawn by rule {before['draws']} (draws), this version draws by rule {now['draws']}, "
                "so the same methods choose differently; give another folder"
            )
        if differs:
            raise InputError(f"{self.path} holds another run (its {', '.join(differs)} differ); give another folder")
        there = {setting.key: setting for setting in found.settings}
        for setting in self._settings:
            _same(self.path, setting, there.setdefault(setting.key, setting))
        self._configuration = {**now, "models": models}
        self._settings, self._starts = list(there.values()), found.starts

    def _write(self) -> None:
        settings = [asdict(setting) for setting in self._settings]
        run = {"format": FORMAT, "configuration": self._configuration, "methods": settings, "starts": self._starts}
        write_json(self.path / RUN, run, indent=1)


def _opened(path: Path, size: int) -> BinaryIO:
    """A file to append to, cut to what is known of it."""
    file = path.open("r+b" if path.exists() else "w+b")
    if file.seek(0, 2) < size:
        file.close()
        raise InputError(f"{path} is shorter than the rows beside it say; put it back, or give another folder")
    file.truncate(size)
    file.seek(size)
    return file


def _same(path: Path, wanted: Setting, there: Setting) -> None:
    """Raise `InputError` if a label stands for other options than before."""
    for name in sorted({*wanted.options, *there.options}):
        ours, theirs = wanted.options.get(name), there.options.get(name)
        if ours != theirs:
            raise InputError(
                f"{path} holds {wanted.label} with {name}={theirs}, not {ours}; "
                f"add it as {wanted.method}:{name}={ours}, or give another folder"
            )
