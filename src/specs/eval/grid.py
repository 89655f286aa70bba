"""What is compared: configured methods under labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, cast

from specs.methods import Method


@dataclass(frozen=True, slots=True)
class Setting:
    """A configured method as plain values, for rows, records and reports.

    Attributes:
        label: names the method and what sets it apart, `specs` or `specs tau=0.7`; n goes beside it.
        method: its name.
        n: candidates; None for a method without.
        options: all its options by name, n among them.
        context: what else it ran under, where several runs are put together.
        concurrency: solves at the same time, where those runs differ in it; `label` then says so too.
    """

    label: str
    method: str
    n: int | None
    options: dict[str, Any]
    context: str = ""
    concurrency: int | None = None

    @property
    def alone(self) -> str:
        """The label without its concurrency."""
        return self.label if self.concurrency is None else self.label.removesuffix(at_a_time(self.concurrency))

    @property
    def key(self) -> tuple[str, int | None]:
        return self.label, self.n


def at_a_time(concurrency: int) -> str:
    """What a label ends with where runs of other concurrencies stand beside."""
    return f", {concurrency} at a time"


@dataclass(frozen=True, slots=True)
class Cell:
    """A configured method under a label; no two cells of a run share label and n."""

    label: str
    method: Method

    @property
    def setting(self) -> Setting:
        # Methods are dataclasses: their fields are their options.
        options = asdict(cast(Any, self.method))
        return Setting(self.label, self.method.name, options.get("n"), options)


def names(settings: Iterable[Setting]) -> dict[tuple[str, int | None], str]:
    """What each setting is called in a report, by key: its label, with n where there are several n."""
    settings = list(settings)
    several = len({setting.n for setting in settings if setting.n is not None}) > 1
    return {one.key: f"{one.label} n={one.n}" if several and one.n is not None else one.label for one in settings}
