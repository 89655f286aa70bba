"""Sets `tau` without a search, from the share of draft steps that the target should rewrite.

    tau = tau_for_share(results, 0.1)        the tau that a tenth of the draft steps fall below

The threshold comes from the rewards of earlier solves, whether these were right or wrong. The function can be called
again as more solves end; each solve still depends only on its own `tau` and seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from specs.errors import InputError
from specs.methods.accept import SwitchOn, evidence, merit
from specs.types import Result, Role
from specs.types.checks import POSITIVE, check_value


def tau_for_share(
    results: Iterable[Result], target_share: float, switch_on: SwitchOn | None = None, beta: float | None = None
) -> float:
    """The threshold that `target_share` of the chosen draft steps, or slightly fewer, fall below.

    Args:
        results: earlier solves; their chosen draft steps count, whether these were accepted or not.
        target_share: share of draft steps that the target should rewrite, in [0, 1).
        switch_on, beta: the options of `specs` that define the quantity compared with tau; None for each solve's own.

    Raises:
        InputError: no draft step has a reward, or `target_share` is out of its range.
    """
    if not 0 <= target_share < 1:
        raise InputError(f"target_share must be in [0, 1), not {target_share}")
    compared_values = sorted(value for result in results for value in _compared_values(result, switch_on, beta))
    if not compared_values:
        raise InputError("no draft step has a reward, so tau cannot be set; give solves with a draft and a PRM")
    return compared_values[math.floor(target_share * len(compared_values))]


def _compared_values(result: Result, switch_on: SwitchOn | None, beta: float | None) -> Iterator[float]:
    """The quantity compared with tau, for each chosen draft step."""
    compared: SwitchOn = switch_on or result.settings["method"].get("switch_on", "trace")
    weight = math.inf  # takes no part
    if compared == "tilted":
        weight = check_value("beta", result.settings["method"]["beta"] if beta is None else beta, float, POSITIVE)
    before: float | None = 1.0
    for record in result.steps:
        reward = None if record.step is None else record.step.reward
        if record.step is not None and record.writer is Role.DRAFT and reward is not None and before is not None:
            yield merit(reward, before, evidence(record.step, compared, weight))
        if compared != "trace" and record.accepted:
            before = reward
