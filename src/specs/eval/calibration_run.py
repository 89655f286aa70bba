"""Runs a calibration: pilot, design, choice, check. The command line adds the flags and prints what is found.

Every solve is kept in a run folder below `out`, so a calibration goes on after a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from specs import __version__
from specs.config import Limits
from specs.config.presets import FILTERS, LAW, Preset
from specs.engines.protocol import Models
from specs.eval.calibration import (
    Choice,
    Estimate,
    Estimates,
    Evidence,
    Goal,
    Statistic,
    design,
    estimates,
    pick,
    values,
)
from specs.eval.environment import environment
from specs.eval.files import Problem
from specs.eval.grid import GridPoint, names
from specs.eval.pareto import pareto_front
from specs.eval.rows import Row
from specs.eval.runner import OnProgress, Plan, solve_all
from specs.eval.store import RunFolder, read_run
from specs.methods import Method
from specs.methods.specs import Specs
from specs.traces.codec import result_from
from specs.types import Result, SamplingParams

PILOT = 30
"""Problems of the pilot, which sets the taus of the design."""


class Interrupted(Exception):
    """Ctrl-C ended a run early."""


@dataclass(slots=True)
class CalibrationRuns:
    """The runs of a calibration, each in a folder of its own below `out`, as `specs eval` writes them.

    Attributes:
        load: loads the models that methods need; called once, when the first folder is open.
        configuration, start: what the folder records of a run and of one start of it (`RunFolder`).
    """

    out: Path
    sampling: SamplingParams
    limits: Limits
    seed: int
    load: Callable[[list[Method]], Models]
    configuration: Callable[[Plan], dict[str, Any]]
    start: Callable[[Plan], dict[str, Any]]
    on_progress: OnProgress
    _models: Models | None = field(default=None, init=False)

    def rows(self, name: str, problems: Sequence[Problem], points: Sequence[GridPoint]) -> list[Row]:
        """The rows of the run called `name`, problem by problem.

        Raises:
            Interrupted: after Ctrl-C; the folder keeps what was solved.
        """
        plan = Plan(problems, points, self.sampling, self.limits, self.seed)
        with RunFolder(self.out / name, self.configuration(plan), plan.settings) as folder:
            if self._models is None:
                self._models = self.load(plan.methods)
            folder.begin(self.start(plan))
            interrupted = solve_all(plan, self._models, folder, self.on_progress)
            folder.end(interrupted)
            if interrupted:
                raise Interrupted
            return [folder.by_key[solve.key] for solve in plan.solves()]

    def pilot(self, problems: Sequence[Problem], n: int) -> list[Result]:
        """Traces of `specs` with its default options on the first `PILOT` problems."""
        rows = self.rows("pilot", problems[:PILOT], [GridPoint("specs", Specs(n, verify="all"))])
        folder = read_run(self.out / "pilot")
        return [result_from(folder.trace(row), f"{folder.path}, {row.problem_id}") for row in rows]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The solved design and the choice from it.

    Attributes:
        points: the configurations; the first one is the reference.
        record: the content of calibration.json.
        expected: statistics of each configuration on the problems of the check.
    """

    goal: Goal
    points: Sequence[GridPoint]
    choice: Choice
    found: Estimates
    expected: Estimates
    record: dict[str, Any]

    @property
    def picked(self) -> str:
        """Name of the configuration that meets the goal, or comes nearest."""
        return self.record["configurations"][self.choice.idx]["name"]

    def check(self, runs: CalibrationRuns, further: Sequence[Problem]) -> Preset:
        """Predict what the picked configuration does on `further` problems, check it, and write the preset."""
        prediction = self.expected[self.choice.idx]
        self.record["prediction"] = {name: estimate._asdict() for name, estimate in prediction.items()}
        pair = [self.points[0], self.points[self.choice.idx]]
        evidence = Evidence.of(runs.rows("check", further, pair), pair)
        self.record["check"] = checked(evidence, prediction, self.goal, self.expected[0]["p95_s"])
        return self._preset(runs.sampling)

    def _preset(self, sampling: SamplingParams) -> Preset:
        point = self.points[self.choice.idx]
        law = {**sampling.settings, "max_step_tokens": sampling.steps.max_tokens}
        origin = ("dataset", "problem_seed", "problems", "models", "goal", "reference", "prediction", "check")
        return Preset(
            point.method.name,
            point.setting.options,
            {name: law[name] for name in (*LAW, *FILTERS) if name in law},
            {
                **{name: self.record[name] for name in origin},
                "specs": __version__,
                "date": datetime.now(UTC).date().isoformat(),
            },
        )


def calibrate(
    runs: CalibrationRuns,
    problems: Sequence[Problem],
    further: int,
    widths: Sequence[int],
    goal: Goal,
    origin: Callable[[list[Method]], dict[str, Any]],
) -> Calibration:
    """Solve the design on `problems` and pick a configuration for the goal.

    Args:
        further: number of problems of the later check.
        widths: values of n to choose from; `beam` with the first one is the reference.
        origin: data set and models of the methods, for the record.
    """
    points = design(runs.pilot(problems, widths[0]), widths)
    evidence = Evidence.of(runs.rows("design", problems, points), points)
    found, expected = estimates(evidence), estimates(evidence, further)
    choice = pick(evidence, found, goal, [idx for idx, point in enumerate(points) if isinstance(point.method, Specs)])
    called = list(names(point.setting for point in points).values())
    record = {
        **origin([point.method for point in points]),
        "law": runs.sampling.settings,
        "goal": {**asdict(goal), "text": str(goal)},
        "problems": evidence.right.shape[1],
        "dropped": evidence.dropped,
        "reference": called[0],
        "configurations": _configurations(points, called, found, goal),
        "picked": called[choice.idx] if choice.met else None,
        "why": choice.why,
        "prediction": None,
        "check": None,
        "environment": environment(),
    }
    return Calibration(goal, points, choice, found, expected, record)


def _configurations(
    points: Sequence[GridPoint], called: Sequence[str], found: Estimates, goal: Goal
) -> list[dict[str, Any]]:
    across: Statistic = "p95_s" if goal.statistic == "p95_s" else "latency_ratio"
    on_front = pareto_front([(of[across].value, of["accuracy"].value) for of in found])
    return [
        {
            "name": called[idx],
            "method": point.method.name,
            "options": point.setting.options,
            **{name: estimate._asdict() for name, estimate in found[idx].items()},
            "meets_goal": goal.met_by(goal.worst(found[idx])),
            "on_front": idx in on_front,
        }
        for idx, point in enumerate(points)
    ]


def checked(
    evidence: Evidence, prediction: dict[Statistic, Estimate], goal: Goal, reference: Estimate
) -> dict[str, Any]:
    """The check of a prediction by evidence of two configurations: the reference and the picked one.

    `reference`: the p95 predicted for the reference. Where that fails too, the machine or its load changed, and
    the failure is not the pick's.
    """
    p95 = float(values(evidence)["p95_s"][0])
    found = {name: float(of[1]) for name, of in values(evidence).items()}
    return {
        "problems": evidence.right.shape[1],
        "dropped": evidence.dropped,
        "found": found,
        "held": {name: estimate.low <= found[name] <= estimate.high for name, estimate in prediction.items()},
        "goal_met": goal.met_by(found[goal.statistic]),
        "reference_p95_s": p95,
        "same_load": reference.low <= p95 <= reference.high,
    }
