"""Measures points one after the other within a time limit, and saves each as soon as it is measured.

A record is a file `PART.json` in the act's folders:

    {"format": 1, "part": ..., "dry_run": ..., "points": {NAME: POINT, ...}}

A point has `on` (GPU, torch, transformers, commit), `seconds`, and either `found`, the measurement, or `failed`, the
reason why there is none (`begun` if the process ended during the measurement). Points with `found` are never measured
again. The next call, on this machine or on another one with a copy of the folder, first measures the points that were
never begun, then retries those that failed.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specs.errors import InputError
from specs.eval.environment import environment
from specs.traces.schema import write_json

FORMAT = 1

Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """One thing to measure.

    Attributes:
        measure: returns the `found` of the record, as JSON values.
        about_s: estimate of the seconds on a GPU; the point does not start when fewer are left.
    """

    name: str
    measure: Callable[[], Found]
    about_s: float


class Late(Exception):
    """The time left is too short for the next point."""


class Broken(Exception):
    """A CUDA error after which every CUDA call in this process fails."""


@dataclass(slots=True)
class Act:
    """A run of some parts.

    Attributes:
        folders: where records are written; the first one is also read.
        device: a torch device.
        dry: whether sizes are tiny, to test that everything runs.
        ends: the end of the time limit, by `time.monotonic`.
        say: prints a line about the progress.
    """

    folders: tuple[Path, ...]
    device: str
    dry: bool
    ends: float
    say: Callable[[str], None] = field(default=lambda line: print(line, flush=True))

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def left_s(self) -> float:
        return self.ends - time.monotonic()

    def run(self, part: str, points: Iterable[Point]) -> bool:
        """Measure the missing points of a part; returns whether no point of its record has failed.

        Raises:
            Late: the time left is too short for the next point.
            Broken: the device is unusable in this process.
            InputError: the folder holds another record under this name.
        """
        record = self._begun(part)
        known: Found = record["points"]
        todo = []
        for point in points:
            if "found" in known.get(point.name, {}):
                commit = known[point.name]["on"]["commit"] or "an unknown commit"
                self.say(f"{part}: {point.name}: already measured, at {commit[:9]}")
            else:
                todo.append(point)
        for point in sorted(todo, key=lambda point: point.name in known):
            if self.left_s < point.about_s:
                raise Late(f"{part}: {point.name} takes about {point.about_s:.0f} s, and {self.left_s:.0f} s are left")
            self.say(f"{part}: {point.name} ...")
            begun = time.monotonic()
            here = where()
            known[point.name] = {"on": here, "failed": "begun", "seconds": 0.0}
            self._write(part, record)
            one: Found = {"on": here, **_measured(point), "seconds": round(time.monotonic() - begun, 1)}
            known[point.name] = one
            self._write(part, record)
            self.say(f"{part}: {point.name}: {'failed' if 'failed' in one else 'measured'} in {one['seconds']} s")
            if "CUDA error" in one.get("failed", ""):
                raise Broken(f"{part}: {point.name}: {one['failed']}")
        return not any("failed" in one for one in known.values())

    def _begun(self, part: str) -> Found:
        path = self.folders[0] / f"{part}.json"
        new: Found = {"format": FORMAT, "part": part, "dry_run": self.dry, "points": {}}
        if not path.exists():
            return new
        try:
            found: Found = json.loads(path.read_text(encoding="utf-8"))
            if {**found, "points": {}} != new or not isinstance(found["points"], dict):
                raise ValueError
        except (ValueError, TypeError):
            raise InputError(f"{path} is not a record of this part and format; move it away") from None
        return found

    def _write(self, part: str, record: Found) -> None:
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / f"{part}.json", record, indent=1)


def _measured(point: Point) -> Found:
    try:
        return {"found": point.measure()}
    except (Exception, SystemExit) as error:  # benchmarks raise SystemExit if a solve fails
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}


def where() -> Found:
    """Hardware, library versions and commit of a measurement."""
    found = environment()
    commit = (found["git"] or {}).get("commit") or os.environ.get("SPECS_COMMIT")
    libraries = {name: found["libraries"].get(name) for name in ("torch", "transformers")}
    return {"gpu": found["gpu"], "cpu": found["cpu"], **libraries, "commit": commit}
