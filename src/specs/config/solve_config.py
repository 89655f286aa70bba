"""The configuration of a solve: method, sampling parameters, limits and seed."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass, field
from typing import Any

from specs.errors import InputError
from specs.methods import Method, settings_of
from specs.methods.registry import make, options_of
from specs.types import SamplingParams, StepPolicy
from specs.types.checks import (
    POSITIVE,
    OptionValue,
    at_least,
    check_fields,
    check_names,
    check_removed,
    check_value,
    shown,
)

TEMPERATURE = 0.7
MAX_STEP_TOKENS = 64
SETTINGS_VERSION = 5
"""Version of the settings in traces. 1 was one flat object; 2 is nested by owner (`SolveConfig.settings`); since 3
`specs` has weights of the log-ratio, since 4 `gsi` and `specs-released` have `verify`, since 5 `beam` and `dvts` have
`answer`. `specs.config.versions` converts earlier ones.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a solve.

    Attributes:
        max_steps: most accepted steps, >= 1.
        max_tokens: most tokens of the accepted trace, >= 1.
        deadline_s: most seconds from the start, > 0, plus the overtime of the request under way
            (`Propose.overtime_s`); None for no deadline.
    """

    max_steps: int = 32
    max_tokens: int = 2048
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        check_fields(self, max_steps=at_least(1), max_tokens=at_least(1), deadline_s=POSITIVE)


@dataclass(frozen=True, slots=True)
class SolveConfig:
    """A configured solve.

    Attributes:
        seed: any whole number; the same configuration, models and seed give the same solve.
    """

    method: Method
    sampling: SamplingParams = field(default_factory=SamplingParams)
    limits: Limits = field(default_factory=Limits)
    seed: int = 0

    def __post_init__(self) -> None:
        if not hasattr(self.method, "solve"):
            raise InputError(
                f"method is {shown(self.method)}, not a configured method; to name one, use specs.configure"
            )
        check_value("sampling", self.sampling, SamplingParams)
        check_value("limits", self.limits, Limits)
        object.__setattr__(self, "seed", check_value("seed", self.seed, int))

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the seed, as plain values nested by owner, for traces."""
        sampling = self.sampling.settings
        return {
            "version": SETTINGS_VERSION,
            "method": settings_of(self.method),
            "steps": sampling.pop("steps"),
            "sampling": sampling,
            "limits": asdict(self.limits),
        }


def configure(
    method: str | Method = "specs",
    *,
    seed: int = 0,
    temperature: float = TEMPERATURE,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    max_steps: int = 32,
    max_step_tokens: int = MAX_STEP_TOKENS,
    max_tokens: int = 2048,
    deadline_s: float | None = None,
    delimiter: str | None = "\n\n",
    **options: OptionValue,
) -> SolveConfig:
    """Make a configuration from plain options.

    Args:
        method: a name (`specs.methods.registry.NAMES`) or a configured method.
        seed: any whole number; the same configuration, models and seed give the same solve.
        temperature: divides the logits, >= 0.
        top_p: nucleus, in (0, 1].
        top_k: only the `top_k` most likely tokens, >= 0; 0 for all.
        min_p: only tokens at least `min_p` times as likely as the most likely one, in [0, 1]; 0 for all.
        max_steps: most steps of the solve, >= 1.
        max_step_tokens: most tokens of one step, >= 1.
        max_tokens: most tokens of the solve, >= 1.
        deadline_s: seconds until an answer is needed, > 0 (docs/deadlines.md); None for no deadline.
        delimiter: text that ends a step; None for fixed chunks of `max_step_tokens`.
        options: the method's own options (`n`, `beta`, `tau`, ...; `specs methods NAME` lists them); only with a name.

    Raises:
        InputError: an unknown method, an option that the method lacks, or a value of a wrong type or out of range.
    """
    check_value("max_step_tokens", max_step_tokens, int, at_least(1))  # StepPolicy calls it max_tokens
    steps = StepPolicy(delimiter=delimiter, max_tokens=max_step_tokens)
    sampling = SamplingParams(temperature, top_p, steps, top_k=top_k, min_p=min_p)
    limits = Limits(max_steps, max_tokens, deadline_s)
    if isinstance(method, str):
        check_names(f"method {method} has no option", options, {*options_of(method), *COMMON})
        return SolveConfig(make(method, **options), sampling, limits, seed)
    check_removed("there is no option", options)
    if options:
        raise InputError(f"{', '.join(options)}: the method is configured already; set its options where you make it")
    return SolveConfig(method, sampling, limits, seed)


COMMON = tuple(name for name, one in inspect.signature(configure).parameters.items() if one.kind is one.KEYWORD_ONLY)
"""Options that every method has."""
