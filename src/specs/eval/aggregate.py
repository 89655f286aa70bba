"""Aggregates one or several run folders into one report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from specs.errors import InputError
from specs.eval.environment import machine
from specs.eval.grid import Setting, concurrency_suffix
from specs.eval.report import Report
from specs.eval.rows import Key, Row
from specs.eval.store import RecordedRun, read_run

PROBLEMS = ("dataset", "problem_seed")
"""Entries of the configuration that must be equal in all runs of a report."""


def aggregate(paths: Sequence[Path]) -> tuple[Report, list[RecordedRun]]:
    """The report over some run folders, and their contents.

    If two runs have a method with the same label and n, it counts as one method if its options, models, law and
    limits are the same; otherwise the folder becomes part of each label. If the number of concurrent solves
    differs, that number becomes part of each label too. If two folders hold the same solve, the later folder's row
    counts, unless that solve failed or could not be graded.

    Raises:
        InputError: a path is not a run folder, the runs have different problems, or there are no rows.
    """
    runs = [read_run(path) for path in paths]
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
                (other, other_setting.options == setting.options and other_context == context)
                for other, other_context in zip(runs, contexts, strict=True)
                for other_setting in other.settings
                if other_setting.key == setting.key
            ]
            varied = any(_concurrency(other) != concurrency for other, _ in others)
            label = setting.label if all(alike for _, alike in others) else f"{setting.label} ({run.path})"
            label += concurrency_suffix(concurrency) if varied else ""
            labels[setting.key] = label
            settings[label, setting.n] = replace(
                setting, label=label, context=context, concurrency=concurrency if varied else None
            )
        for row in run.rows.values():
            row = replace(row, method=labels[row.method, row.n])
            if row.key not in rows or row.correct is not None:
                rows[row.key] = row
    if not rows:
        raise InputError(f"{', '.join(map(str, paths))}: no solve has finished yet; there is nothing to report")
    _one_reference(rows.values())
    starts, last = [start for run in runs for start in run.starts], [run.starts[-1] for run in runs]
    report = Report(
        configuration=_common(runs),
        settings=tuple(settings.values()),
        # A later start may ask for fewer problems than an earlier one; all solved ones count.
        limit=max(len({row.problem_id for row in rows.values()}), *(start["limit"] for start in last)),
        repeats=max(len({row.seed for row in rows.values()}), *(start["seeds"] for start in last)),
        # Sorted, so that a resumed run has the same bootstrap.
        rows=tuple(sorted(rows.values(), key=lambda row: (row.seed, row.problem_id))),
        interrupted=any(start["ended"] is None or start["interrupted"] for start in last),
        one_machine=len({machine(start["environment"]) for start in starts}) == 1,
    )
    return report, runs


def _contexts(runs: Sequence[RecordedRun]) -> list[str]:
    """The conditions of each run as comparable text; models are included only if the runs differ in them."""
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


def _concurrency(run: RecordedRun) -> int:
    return run.configuration.get("concurrency", 1)


def _models(runs: Sequence[RecordedRun]) -> dict[str, list[str]]:
    """The names of the models in each role, over all runs."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for role, name in run.configuration["models"].items():
            found.setdefault(role, [])
            if name not in found[role]:
                found[role].append(name)
    return found


def _common(runs: Sequence[RecordedRun]) -> dict[str, Any]:
    """The configuration that all runs share, with None where they differ; the bootstrap uses the first run's seed."""
    first = runs[0].configuration
    shared = {
        name: value if all(run.configuration.get(name) == value for run in runs) else None
        for name, value in first.items()
    }
    models = {role: ", ".join(names) for role, names in _models(runs).items()}
    return {**shared, "models": models, "seed": first["seed"]}


def _one_reference(rows: Iterable[Row]) -> None:
    """Raise `InputError` if a problem has two reference answers, since then the runs had different problems."""
    answers: dict[str, str] = {}
    for row in rows:
        if answers.setdefault(row.problem_id, row.reference) != row.reference:
            raise InputError(f"problem {row.problem_id} has two reference answers; give runs over the same problems")
