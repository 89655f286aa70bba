"""One report from what one or several folders hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from specs.errors import InputError
from specs.eval.environment import machine
from specs.eval.grid import Setting, at_a_time
from specs.eval.report import Report
from specs.eval.rows import Key, Row
from specs.eval.store import Recorded, read

PROBLEMS = ("dataset", "problem_seed")
"""What runs must share to be put into one report."""


def gather(paths: Sequence[Path]) -> tuple[Report, list[Recorded]]:
    """The report over the folders of runs, and what they hold.

    A method that has the same label and n in two runs is one if its options and all that it ran
    under (models, law, limits) are the same; if only the number of solves at the same time differs,
    each is named after that, otherwise after its folder too. Of two rows for the same solve the
    one of the later folder counts, unless it failed or could not be graded.

    Raises:
        InputError: no folders of runs, runs over different problems, or nothing in them.
    """
    runs = [read(path) for path in paths]
    for run in runs[1:]:
        for name in PROBLEMS:
            if (ours := run.configuration[name]) != (first := runs[0].configuration[name]):
                raise InputError(f"{run.path} has {name} {ours}, {runs[0].path} has {first}; give runs that share it")
    contexts = _contexts(runs)
    settings: dict[tuple[str, int | None], Setting] = {}
    rows: dict[Key, Row] = {}
    for run, context in zip(runs, contexts, strict=True):
        labels: dict[tuple[str, int | None], str] = {}
        concurrency = _concurrency(run)
        for setting in run.settings:
            others = [
                (other, one.options == setting.options and other_context == context)
                for other, other_context in zip(runs, contexts, strict=True)
                for one in other.settings
                if one.key == setting.key
            ]
            varied = any(_concurrency(other) != concurrency for other, _ in others)
            label = setting.label if all(alike for _, alike in others) else f"{setting.label} ({run.path})"
            label += at_a_time(concurrency) if varied else ""
            labels[setting.key] = label
            settings[label, setting.n] = replace(
                setting, label=label, context=context, concurrency=concurrency if varied else None
            )
        for row in run.rows.values():
            row = replace(row, method=labels[row.method, row.n])
            if row.key not in rows or row.correct is not None:
                rows[row.key] = row
    if not rows:
        raise InputError(f"{', '.join(map(str, paths))}: no solve has been finished yet; there is nothing to report")
    _one_reference(rows.values())
    starts, last = [start for run in runs for start in run.starts], [run.starts[-1] for run in runs]
    report = Report(
        configuration=_common(runs),
        settings=tuple(settings.values()),
        # A start may want less than one before it; what was solved counts all the same.
        limit=max(len({row.problem_id for row in rows.values()}), *(start["limit"] for start in last)),
        repeats=max(len({row.seed for row in rows.values()}), *(start["seeds"] for start in last)),
        # In an order of their own, so that a run that was resumed has the same bootstrap.
        rows=tuple(sorted(rows.values(), key=lambda row: (row.seed, row.problem_id))),
        interrupted=any(start["ended"] is None or start["interrupted"] for start in last),
        one_machine=len({machine(start["environment"]) for start in starts}) == 1,
    )
    return report, runs


def _contexts(runs: Sequence[Recorded]) -> list[str]:
    """What the methods of each run ran under, as text to compare; models only where runs have different ones."""
    names = _models(runs)
    return [
        json.dumps(
            {
                **{k: v for k, v in run.configuration.items() if k not in (*PROBLEMS, "seed", "models", "concurrency")},
                "models": {role: run.configuration["models"].get(role) for role in names if len(names[role]) > 1},
            },
            sort_keys=True,
        )
        for run in runs
    ]


def _concurrency(run: Recorded) -> int:
    return run.configuration.get("concurrency", 1)


def _models(runs: Sequence[Recorded]) -> dict[str, list[str]]:
    """The models that the runs have in each role."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for role, name in run.configuration["models"].items():
            found.setdefault(role, [])
            if name not in found[role]:
                found[role].append(name)
    return found


def _common(runs: Sequence[Recorded]) -> dict[str, Any]:
    """What all runs share, with None for what differs; the bootstrap has the first run's seed."""
    first = runs[0].configuration
    shared = {
        name: value if all(run.configuration.get(name) == value for run in runs) else None
        for name, value in first.items()
    }
    models = {role: ", ".join(names) for role, names in _models(runs).items()}
    return {**shared, "models": models, "seed": first["seed"]}


def _one_reference(rows: Iterable[Row]) -> None:
    """Raise `InputError` if a problem has two reference answers: then the runs had different problems."""
    answers: dict[str, str] = {}
    for row in rows:
        if answers.setdefault(row.problem_id, row.reference) != row.reference:
            raise InputError(f"problem {row.problem_id} has two reference answers; give runs over the same problems")
