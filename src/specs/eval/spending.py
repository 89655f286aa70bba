"""`tau` without a search: from how much of the target's work one wants to pay for.

    tau = tau_for_share(results, 0.1)        a tenth of the draft steps fell below it

The rewards of solves at hand, right or wrong, say where that threshold lies. Call it again as solves come
in; each solve stays a function of its own `tau` and seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from specs.errors import InputError
from specs.methods.accept import SwitchOn, evidence, merit
from specs.types import Result, Role


def tau_for_share(
    results: Iterable[Result], target_share: float, switch_on: SwitchOn | None = None, beta: float | None = None
) -> float:
    """The threshold that `target_share` of the chosen draft steps fell below, or the next smaller share.

    Args:
        target_share: in [0, 1); share of draft steps that go to the target.
        switch_on, beta: what tau will be held against; None for what each solve held it against.

    Raises:
        InputError: the draft wrote no step with a reward.
    """
    if not 0 <= target_share < 1:
        raise InputError(f"a share of draft steps lies in [0, 1), not {target_share}")
    met = sorted(value for result in results for value in _met(result, switch_on, beta))
    if not met:
        raise InputError("no draft step with a reward was met; tau cannot be set from nothing")
    return met[math.floor(target_share * len(met))]


def _met(result: Result, switch_on: SwitchOn | None, beta: float | None) -> Iterator[float]:
    """What tau was held against, of each chosen draft step."""
    compared: SwitchOn = switch_on or result.settings["method"].get("switch_on", "trace")
    if compared == "tilted":
        beta = beta or result.settings["method"]["beta"]
    before: float | None = 1.0
    for record in result.steps:
        reward = None if record.step is None else record.step.reward
        if record.step is not None and record.writer is Role.DRAFT and reward is not None and before is not None:
            yield merit(reward, before, evidence(record.step, compared, beta or math.inf))
        if compared != "trace" and record.accepted:
            before = reward
