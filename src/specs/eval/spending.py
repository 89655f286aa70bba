"""Sets `tau` without a search, from the share of draft steps that the target should rewrite.

    tau = tau_for_share(results, 0.1)        the tau that a tenth of the draft steps fall below

The threshold comes from the rewards of earlier solves, whether these were right or wrong. The function can be called
again as more solves end; each solve still depends only on its own `tau` and seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from specs.errors import InputError
from specs.methods.accept import AcceptRule, SwitchOn
from specs.types import Result, Role
from specs.types.checks import ANY, POSITIVE, UNIT, OptionValue, at_least, check_names, check_value


def tau_for_share(results: Iterable[Result], target_share: float, **options: OptionValue) -> float:
    """The threshold that `target_share` of the chosen draft steps, or slightly fewer, fall below.

    Args:
        results: earlier solves; their chosen draft steps count, whether these were accepted or not.
        target_share: share of draft steps that the target should rewrite, in [0, 1).
        options: options of `specs` that define the merit of a step (`switch_on`, `accept_weight`, `beta`,
            `length_power`), in place of each solve's own.

    Raises:
        InputError: no draft step has a reward, or a value is out of its range.
    """
    check_names("tau_for_share has no option", options, MERIT_OPTIONS)
    if not 0 <= target_share < 1:
        raise InputError(f"target_share must be in [0, 1), not {target_share}")
    merits = sorted(merit for result in results for merit in _merits(result, options))
    if not merits:
        raise InputError("no draft step has a reward, so tau cannot be set; give solves with a draft and a PRM")
    return merits[math.floor(target_share * len(merits))]


def _merits(result: Result, options: dict[str, Any]) -> Iterator[float]:
    """The merit of each chosen draft step."""
    rule = _rule_of({**result.settings["method"], **options})
    before: float | None = 1.0
    for record in result.steps:
        step = record.step
        reward = None if step is None else step.reward
        if step is not None and record.writer is Role.DRAFT and reward is not None and before is not None:
            if rule.weight and step.log_p is None:
                raise InputError("a solve has no log-probability of the target; give accept_weight 0, or other solves")
            yield rule.merit(step, before)
        if rule.switch_on == "step" and record.accepted:
            before = reward


def _rule_of(options: dict[str, Any]) -> AcceptRule:
    """The rule of a method with these options; methods other than `specs` go by the reward alone."""
    given = {name: options[name] for name in MERIT_OPTIONS if name in options}
    found: dict[str, Any] = {"accept_weight": 0.0, **given}
    weighs = found["accept_weight"] != 0
    ranges = {"accept_weight": at_least(0), "beta": POSITIVE if weighs else ANY, "length_power": UNIT}
    for name, value in found.items():
        found[name] = check_value(name, value, SwitchOn if name == "switch_on" else float, ranges.get(name, ANY))
    return AcceptRule(weight=found.pop("accept_weight"), **found)


MERIT_OPTIONS = ("switch_on", "accept_weight", "beta", "length_power")
