"""The grid of a run: labelled points, each with a configured method."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, cast

from specs.methods import Method


@dataclass(frozen=True, slots=True)
class Setting:
    """A configured method as plain values, for rows, records and reports.

    Attributes:
        label: the method and what distinguishes it, such as `specs` or `specs tau=0.7`, without n.
        method: the method's name.
        n: the method's option `n`; None if it has none.
        options: all options of the method by name, including n.
        context: models, law, limits, ... of its run as text, if several runs are aggregated.
        concurrency: number of concurrent solves, if aggregated runs differ in it; `label` then includes it.
    """

    label: str
    method: str
    n: int | None
    options: dict[str, Any]
    context: str = ""
    concurrency: int | None = None

    @property
    def label_without_concurrency(self) -> str:
        """The label without the concurrency."""
        return self.label if self.concurrency is None else self.label.removesuffix(concurrency_suffix(self.concurrency))

    @property
    def key(self) -> tuple[str, int | None]:
        return self.label, self.n


def concurrency_suffix(concurrency: int) -> str:
    """The suffix of a label that names the number of concurrent solves."""
    return f", {concurrency} at a time"


@dataclass(frozen=True, slots=True)
class GridPoint:
    """A configured method under a label; label and n together are unique in a run."""

    label: str
    method: Method

    @property
    def setting(self) -> Setting:
        # Methods are dataclasses: their fields are their options.
        options = asdict(cast(Any, self.method))
        return Setting(self.label, self.method.name, options.get("n"), options)


def names(settings: Iterable[Setting]) -> dict[tuple[str, int | None], str]:
    """The name of each setting in a report, by key: its label, plus n if several n occur."""
    settings = list(settings)
    several = len({setting.n for setting in settings if setting.n is not None}) > 1
    return {
        setting.key: f"{setting.label} n={setting.n}" if several and setting.n is not None else setting.label
        for setting in settings
    }
