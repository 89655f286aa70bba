"""The whole study, stage by stage: each stage uses what earlier stages have decided."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from research.study.cost import Board, seconds_per_unit
from research.study.findings import findings
from research.study.plan import GRIDS, STAGES, TITLES, Known, Run, stage
from research.study.running import Show, make_all, missing
from research.study.settings import draft_shares, tuned
from specs.errors import InputError
from specs.traces.schema import write_json

FORMAT = 1
PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class Study:
    """A study in a folder.

    Attributes:
        out: the folder.
        parts: letters of `TITLES`.
        scale: factor > 0 for all numbers of problems.
        jobs: how many processes make runs at the same time, >= 1; runs that measure latency are always alone.
    """

    out: Path
    parts: str = "".join(TITLES)
    scale: float = 1.0
    jobs: int = 1

    def make(self, command: str, show: Show, say: Callable[[float, float], None]) -> bool:
        """Make the missing solves; returns whether Ctrl-C ended it early.

        Args:
            command: the command line, for the record.
            show: called with the progress of all runs.
            say: called with the estimate before the first solve: CPU seconds, and seconds until the end.

        Raises:
            InputError: the folder cannot hold this study, or part c lacks part a.
        """
        self._take_over()
        known = self.known()
        if "c" in self.parts and "a" not in self.parts and not draft_shares(known, self.out):
            raise InputError("part c needs the draft share of specs in part a: add a to --parts")
        board = Board(self.jobs, seconds_per_unit())
        self._know(board, self.runs(known))
        say(board.cpu_seconds(), board.seconds_left())
        for makers in STAGES:
            known = self.known()
            runs = stage(makers, known, self.parts, self.scale)
            self._know(board, runs)
            if make_all(runs, self.out, self.jobs, command, board, show):
                return True
        return False

    def known(self) -> Known:
        """The tuned settings and draft shares that follow from the finished runs."""
        known = Known()
        known = replace(known, tuned=known.tuned | {
            label: GRIDS[label][found["chosen"]] for label, found in tuned(self.out).items()
        })  # fmt: skip
        return replace(known, draft_share=known.draft_share | draft_shares(known, self.out))

    def findings(self) -> dict[str, Any]:
        """The numbers of all parts that are in the folder, not only of `parts`."""
        known = self.known()
        return findings(replace(self, parts="".join(TITLES)).runs(known), known, self.scale, self.out)

    def runs(self, known: Known) -> list[Run]:
        """All runs of `parts`, in the order of the stages."""
        return [run for makers in STAGES for run in stage(makers, known, self.parts, self.scale)]

    def _know(self, board: Board, runs: list[Run]) -> None:
        board.know(runs, {run.path: missing(run, self.out) for run in runs})

    def _take_over(self) -> None:
        """Take over a folder of the same scale, or begin a new one: another scale might tune to other settings."""
        path = self.out / PLAN
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            if path.exists():
                found = json.loads(path.read_text(encoding="utf-8"))
                if found != {"format": FORMAT, "scale": self.scale}:
                    raise InputError(
                        f"{self.out} holds a study of scale {found.get('scale')} and format {found.get('format')}; "
                        "give the same scale, or another folder"
                    )
            elif any(self.out.iterdir()):
                raise InputError(f"{self.out} holds other files; give a new or empty folder, or the folder of a study")
            else:
                write_json(path, {"format": FORMAT, "scale": self.scale})
        except OSError as error:
            raise InputError(f"{self.out} cannot hold a study ({error.strerror}); give another folder") from None
