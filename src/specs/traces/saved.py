"""Solves in a file of JSON lines, each with an id, so that a run that was cut can be continued.

A line is a full trace, as `specs solve --trace` writes it, with the key `id`. A line that was cut off is removed when
the file is opened; of two lines with the same id the later one counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from specs.config import SolveConfig
from specs.core.text import readable
from specs.errors import InputError
from specs.traces.codec import result_from
from specs.traces.schema import check_writable, json_text, plain, result_json
from specs.types import Finish, Result

_BEGINNING = b'{"id": "'
"""Of every line that `SavedSolves.add` writes."""


class SavedSolves:
    """A file of solves that is open for adding more; only ids and places are in memory.

    Raises:
        InputError: the file cannot be written, is in use by another run, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        check_writable(path)
        if path.name.endswith(".gz"):
            raise InputError(f"{path} is to be continued later, which a gzipped file cannot; name it .jsonl")
        self.path = path
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise InputError(f"{path} is in use by another run; wait for it, or give another file") from None
        self._file = path.open("r+b" if path.exists() else "w+b")
        try:
            self._places = self._read()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()
        self._lock.release()

    def get(self, name: str, question: str, config: SolveConfig) -> Result | None:
        """The saved solve with this id; None if there is none, or if it failed.

        Raises:
            InputError: it is of another question or of other settings.
        """
        if name not in self._places:
            return None
        self._file.seek(self._places[name])
        found = result_from(json.loads(self._file.readline()), f"{self.path}, id {name}")
        differs = [
            what
            for what, ours, theirs in (
                ("question", readable(question), found.question),
                ("seed", config.seed, found.seed),
                ("settings", plain(config.settings), plain(found.settings)),
            )
            if ours != theirs
        ]
        if differs:
            raise InputError(f"{self.path} has id {name} with another {' and '.join(differs)}; give another file")
        return None if found.finish_reason is Finish.ERROR else found

    def add(self, name: str, result: Result) -> None:
        """Write one solve, whole or not at all."""
        place = self._file.seek(0, 2)
        try:
            self._file.write(json_text({"id": name, **result_json(result, candidates=True)}).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"{self.path} cannot take another solve ({error.strerror}); run again to continue"
            ) from None
        self._places[name] = place

    def _read(self) -> dict[str, int]:
        places: dict[str, int] = {}
        end = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                if not line.startswith(_BEGINNING[: len(line)]):  # it is no cut line of ours: leave the file alone
                    raise _not_ours(f"{self.path}, line {number}")
                break
            places[_id(line, f"{self.path}, line {number}")] = end
            end += len(line)
        self._file.truncate(end)
        return places


def _id(line: bytes, where: str) -> str:
    try:
        value: Any = json.loads(line)
        name = value["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _not_ours(where) from None
    if not isinstance(name, str):
        raise _not_ours(where)
    return name


def _not_ours(where: str) -> InputError:
    return InputError(f"{where}: not a solve with an id; give the file of an earlier solve_many, or a new one")
