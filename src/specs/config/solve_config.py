"""The configuration of a solve: method, sampling parameters, limits and seed."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from specs.config.text import early_exit_from_text
from specs.core.keys import Key
from specs.errors import InputError
from specs.methods import Flow, Method, settings_of
from specs.methods.early_exit import EarlyExit, early_exit_settings, with_early_exit
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

T = TypeVar("T")

TEMPERATURE = 0.7
MAX_STEP_TOKENS = 64
THINKING_TEMPERATURE, THINKING_TOP_P, THINKING_TOP_K = 0.6, 0.95, 20
"""Defaults for models that think: those that the families recommend for their models (docs/thinking.md)."""
MAX_THINKING_TOKENS = 16_384
"""Most tokens inside the thinking."""
MAX_THINKING_STEP_TOKENS = 256
"""Most tokens of one step inside the thinking."""
MAX_STEPS, MAX_THINKING_STEPS = 32, 512
"""Most steps of a solve without and with thinking."""
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
        max_tokens: most tokens of the answer, or of the whole trace if the models do not think, >= 1.
        max_thinking_tokens: tokens after which the thinking is closed, >= 1; the text that closes it adds its own.
        deadline_s: most seconds from the start, > 0, plus the overtime of the request under way
            (`Propose.overtime_s`); None for no deadline.
    """

    max_steps: int = MAX_STEPS
    max_tokens: int = 2048
    deadline_s: float | None = None
    max_thinking_tokens: int = MAX_THINKING_TOKENS

    def __post_init__(self) -> None:
        one = at_least(1)
        check_fields(self, max_steps=one, max_tokens=one, max_thinking_tokens=one, deadline_s=POSITIVE)

    def settings(self, thinks: bool) -> dict[str, Any]:
        """The fields as plain values for records; `max_thinking_tokens` only if the models think."""
        return {name: value for name, value in asdict(self).items() if thinks or name != "max_thinking_tokens"}


@dataclass(frozen=True, slots=True)
class SolveConfig:
    """A configured solve.

    Attributes:
        seed: any whole number; the same configuration, models and seed give the same solve.
        early_exit: the rule that may end the thinking early; None for no rule.

    Raises:
        InputError: a value is of a wrong type, or there is a rule for early exits and the models do not think.
    """

    method: Method
    sampling: SamplingParams = field(default_factory=SamplingParams)
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    early_exit: EarlyExit | None = None

    def __post_init__(self) -> None:
        if not hasattr(self.method, "solve"):
            raise InputError(
                f"method is {shown(self.method)}, not a configured method; to name one, use specs.configure"
            )
        check_value("sampling", self.sampling, SamplingParams)
        check_value("limits", self.limits, Limits)
        object.__setattr__(self, "seed", check_value("seed", self.seed, int))
        if check_value("early_exit", self.early_exit, EarlyExit | None) is not None and not self.sampling.thinks:
            raise InputError("early_exit ends the thinking, and thinking is off; add 'think' (--think)")

    def flow(self, question: str, key: Key) -> Flow:
        """The requests that solve `question`: those of the method and of early exits (`Method.solve`)."""
        flow = self.method.solve(question, self.sampling, key)
        return flow if self.early_exit is None else with_early_exit(flow, self.early_exit, self.method, self.sampling)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the seed, as plain values nested by owner, for traces."""
        sampling = self.sampling.settings
        steps, thinking = sampling.pop("steps"), sampling.pop("thinking", None)
        return {
            "version": SETTINGS_VERSION,
            "method": settings_of(self.method),
            "steps": steps,
            **({} if thinking is None else {"thinking": thinking}),
            "sampling": sampling,
            "limits": self.limits.settings(self.sampling.thinks),
            **({} if self.early_exit is None else {"early_exit": early_exit_settings(self.early_exit)}),
        }


def configure(
    method: str | Method = "specs",
    *,
    seed: int = 0,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    min_p: float = 0.0,
    max_steps: int | None = None,
    max_step_tokens: int = MAX_STEP_TOKENS,
    max_tokens: int = 2048,
    deadline_s: float | None = None,
    delimiter: str | None = "\n\n",
    think: bool = False,
    max_thinking_tokens: int = MAX_THINKING_TOKENS,
    max_thinking_step_tokens: int = MAX_THINKING_STEP_TOKENS,
    early_exit: str | EarlyExit | None = None,
    **options: OptionValue,
) -> SolveConfig:
    """Make a configuration from plain options.

    Args:
        method: a name (`specs.methods.registry.NAMES`) or a configured method.
        seed: any whole number; the same configuration, models and seed give the same solve.
        temperature: divides the logits, >= 0; None for 0.7, or 0.6 with `think`.
        top_p: nucleus, in (0, 1]; None for 1, or 0.95 with `think`.
        top_k: only the `top_k` most likely tokens, >= 0, and 0 for all; None for 0, or 20 with `think`.
        min_p: only tokens at least `min_p` times as likely as the most likely one, in [0, 1]; 0 for all.
        max_steps: most steps of the solve, >= 1; None for 32, or 512 with `think`.
        max_step_tokens: most tokens of one step, >= 1.
        max_tokens: most tokens of the solve, >= 1; with `think` of the answer.
        deadline_s: seconds until an answer is needed, > 0 (docs/deadlines.md); None for no deadline.
        delimiter: text that ends a step; None for fixed chunks of `max_step_tokens`.
        think: whether the models think before they answer (docs/thinking.md).
        max_thinking_tokens: tokens after which the thinking is closed, >= 1.
        max_thinking_step_tokens: most tokens of one step inside the thinking, >= 1; such steps end at blank lines.
        early_exit: the rule that may end the thinking early (`specs.methods.early_exit`), as an object or as text such
            as `deer:threshold=0.9`; None for no rule.
        options: the method's own options (`n`, `beta`, `tau`, ...; `specs methods NAME` lists them); only with a name.

    Raises:
        InputError: an unknown method, an option that the method lacks, or a value of a wrong type or out of range.
    """
    check_value("max_step_tokens", max_step_tokens, int, at_least(1))  # StepPolicy calls it max_tokens
    check_value("max_thinking_step_tokens", max_thinking_step_tokens, int, at_least(1))
    check_value("think", think, bool)
    sampling = SamplingParams(
        _given(temperature, THINKING_TEMPERATURE if think else TEMPERATURE),
        _given(top_p, THINKING_TOP_P if think else 1.0),
        StepPolicy(delimiter=delimiter, max_tokens=max_step_tokens),
        thinking=StepPolicy(max_tokens=max_thinking_step_tokens) if think else None,
        top_k=_given(top_k, THINKING_TOP_K if think else 0),
        min_p=min_p,
    )
    steps = _given(max_steps, MAX_THINKING_STEPS if think else MAX_STEPS)
    limits = Limits(steps, max_tokens, deadline_s, max_thinking_tokens)
    rule = early_exit_from_text(early_exit) if isinstance(early_exit, str) else early_exit
    if isinstance(method, str):
        check_names(f"method {method} has no option", options, {*options_of(method), *COMMON})
        return SolveConfig(make(method, **options), sampling, limits, seed, rule)
    check_removed("there is no option", options)
    if options:
        raise InputError(f"{', '.join(options)}: the method is configured already; set its options where you make it")
    return SolveConfig(method, sampling, limits, seed, rule)


def _given(value: T | None, default: T) -> T:
    return default if value is None else value


COMMON = tuple(name for name, one in inspect.signature(configure).parameters.items() if one.kind is one.KEYWORD_ONLY)
"""Options that every method has."""
