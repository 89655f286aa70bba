"""The folder of a run: configuration, rows and traces. A run that is killed at any point can be continued.

    run.json          configuration, methods, and every start of the run
    results.jsonl     one line per solve (`specs.eval.rows.Row`)
    traces.jsonl.gz   the full traces, one line and one gzip member per solve

`RunFolder` writes a trace before its row, and the row records the trace's byte range. So anything after the last
complete row and its trace is unfinished, and `RunFolder` cuts it off when the run continues.
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

from specs.config.versions import effective
from specs.errors import InputError
from specs.eval.grid import Setting
from specs.eval.rows import Key, Row, Rows, read_rows
from specs.traces.schema import json_text, plain, result_json, write_json
from specs.types import Result
from specs.types.checks import check_removed

FORMAT = 1
"""Version of the folder's format; increased whenever the meaning of its contents changes."""
RUN, RESULTS, TRACES = "run.json", "results.jsonl", "traces.jsonl.gz"


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """The contents of a run folder.

    Attributes:
        path: the folder.
        configuration: data set, models, law, limits and first seed, which all starts of the run share.
        settings: the configured methods.
        starts: time, number of problems and seeds, command and environment of each start.
        rows: the rows by key.
        size: size of the complete rows in bytes; an incomplete row may follow them.
    """

    path: Path
    configuration: dict[str, Any]
    settings: list[Setting]
    starts: list[dict[str, Any]]
    rows: dict[Key, Row]
    size: int

    def trace(self, row: Row) -> dict[str, Any]:
        """The full trace of a row: its `problem_id` and the fields of `specs.traces.schema.result_json`."""
        if row.trace is None:
            raise InputError(f"{self.path} keeps no trace of {row.problem_id}")
        with (self.path / TRACES).open("rb") as file:
            file.seek(row.trace[0])
            return json.loads(gzip.decompress(file.read(row.trace[1] - row.trace[0])))


def read_run(path: Path) -> RecordedRun:
    """Read a run folder, which may belong to an unfinished or killed run.

    Raises:
        InputError: it is not a run folder, or has another format.
    """
    try:
        run: Any = json.loads((path / RUN).read_text(encoding="utf-8"))
        if run["format"] != FORMAT:
            raise InputError(f"{path} has format {run['format']}, but this version reads {FORMAT}; use another folder")
        settings = [Setting(**setting | {"options": effective(setting["options"])}) for setting in run["methods"]]
        configuration, starts = {"draws": 1, **run["configuration"]}, run["starts"]  # early runs did not record rule 1
        law: Any = configuration["law"]
        configuration["law"] = law | {"steps": effective(law["steps"])}
    except OSError as error:
        raise InputError(f"{path} is not a folder of 'specs eval' ({RUN}: {error.strerror})") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f"{path / RUN} was not written by 'specs eval'; give another folder") from None
    return RecordedRun(path, configuration, settings, starts, *read_rows(path / RESULTS))


class RunFolder(Rows):
    """A run folder that is open for adding rows: a context manager that holds an exclusive lock."""

    def __init__(self, path: Path, configuration: dict[str, Any], settings: Sequence[Setting]) -> None:
        """Open a folder, which may be new or empty, and continue the run in it if there is one.

        A run may grow by more problems of the same data set, more seeds, more methods or other n.

        Raises:
            InputError: the folder holds other files or a run with another configuration, or is in use or unusable.
        """
        super().__init__()
        self.path = path
        # In the types that JSON returns, to be compared with the stored configuration.
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

    def __enter__(self) -> RunFolder:
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
        """Record the end of the run, and whether it was interrupted."""
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
            self._append(self._results, json_text(row.to_json()).encode() + b"\n")
        except OSError as error:
            raise InputError(
                f"{self.path} cannot take another row ({error.strerror}); correct that and run the same command again"
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
            found = read_run(self.path)
            self._check_and_merge(found)
            self.by_key, size = found.rows, found.size
        kept = max((row.trace[1] for row in self.by_key.values() if row.trace), default=0)
        traces = _open_for_append(self.path / TRACES, kept)
        return traces, _open_for_append(self.path / RESULTS, size)

    def _check_and_merge(self, found: RecordedRun) -> None:
        before, now = found.configuration, self._configuration
        check_removed(f"{self.path}: there is no option", before["law"]["steps"])
        # A method that is added later may need a model that the earlier methods did not.
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
        stored = {setting.key: setting for setting in found.settings}
        for setting in self._settings:
            _check_same_options(self.path, setting, stored.setdefault(setting.key, setting))
        self._configuration = {**now, "models": models}
        self._settings, self._starts = list(stored.values()), found.starts

    def _write(self) -> None:
        settings = [asdict(setting) for setting in self._settings]
        run = {"format": FORMAT, "configuration": self._configuration, "methods": settings, "starts": self._starts}
        write_json(self.path / RUN, run, indent=1)


def _open_for_append(path: Path, size: int) -> BinaryIO:
    """Open a file for appending, cut to its known size."""
    file = path.open("r+b" if path.exists() else "w+b")
    if file.seek(0, 2) < size:
        file.close()
        raise InputError(f"{path} is shorter than the rows in the folder require; restore it, or give another folder")
    file.truncate(size)
    file.seek(size)
    return file


def _check_same_options(path: Path, wanted: Setting, stored: Setting) -> None:
    """Raise `InputError` if the stored setting of the same label and n has other or removed options."""
    check_removed(f"{path}: there is no option", stored.options)
    for name in sorted({*wanted.options, *stored.options}):
        ours, theirs = wanted.options.get(name), stored.options.get(name)
        if ours != theirs:
            raise InputError(
                f"{path} holds {wanted.label} with {name}={theirs}, not {ours}; "
                f"add it as {wanted.method}:{name}={ours}, or give another folder"
            )
