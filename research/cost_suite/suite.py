"""The whole suite: measures one point after the other and saves each as soon as it is measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from research.cost_suite.measure import NAIVE, WAYS, replays, shares, steps
from research.cost_suite.scales import Scale
from research.cost_suite.shapes import check_engine
from specs.errors import InputError
from specs.eval.environment import environment, machine
from specs.traces.schema import write_json

RECORD = "suite.json"
FORMAT = 1
PAIR = ("specs", "beam")

Say = Callable[[int, int, str], None]
"""Called before every measurement with the number of points done, their total, and the name of the next one."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite of one scale in a folder `out`."""

    scale: Scale
    out: Path

    def make(self, say: Say) -> dict[str, Any]:
        """Measure the missing points; returns the whole record. After Ctrl-C, finished points stay in the folder.

        Raises:
            InputError: the folder holds a suite of another scale, machine or format.
        """
        check_engine(self.scale.engine, self.scale.device)
        found = self._begun()
        makers = dict(self.points())
        for done, (name, measured) in enumerate(makers.items()):
            if name not in found["points"]:
                say(done, len(makers), name)
                found["points"][name] = measured()
                write_json(self.out / RECORD, found, indent=1)
        return found

    def points(self) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
        """Name and measurement of every point, in order."""
        scale = self.scale

        def at(
            *ways: str, trio: str = scale.trio, n: int = scale.n, context: int = scale.context
        ) -> Callable[[], dict[str, Any]]:
            return partial(steps, scale, ways, trio, n, context)

        yield "steps", at(*WAYS, *NAIVE)
        for n in scale.widths:
            yield f"n {n}", at(*PAIR, n=n)
        for context in scale.contexts:
            yield f"context {context}", at(*PAIR, *NAIVE, context=context)
        yield "shares", partial(shares, scale)
        for trio in scale.trios:
            yield f"trio {trio}", at(*PAIR, trio=trio)
        for tier in ("medium", "hard"):
            yield f"replayed {tier}", partial(replays, scale, tier)

    def _begun(self) -> dict[str, Any]:
        """The folder's record, or a new one; a folder belongs to one scale and one machine."""
        path, here = self.out / RECORD, environment()
        new = {"format": FORMAT, "scale": asdict(self.scale), "environment": here, "points": {}}
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                return new
            found = json.loads(path.read_text(encoding="utf-8"))
            same = (found["format"], found["scale"]) == (FORMAT, json.loads(json.dumps(new["scale"])))
            if not same or machine(found["environment"]) != machine(here):
                raise InputError(f"{self.out} holds a suite of another scale or machine; give another folder")
        except OSError as error:
            raise InputError(f"{self.out} cannot hold a suite ({error.strerror}); give another folder") from None
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path} is not the record of a suite; give another folder") from None
        return found
