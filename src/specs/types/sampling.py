"""Sampling parameters: the distribution of tokens, and where a step ends."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from specs.errors import InputError
from specs.types.checks import SHARE, UNIT, at_least, check_fields, shown


@dataclass(frozen=True, slots=True)
class StepPolicy:
    """Where a step ends: at the first delimiter after non-blank text, at end-of-text, or at the cap.

    Attributes:
        delimiter: text that ends a step; None for fixed chunks of `max_tokens` tokens.
        pattern: regular expression that ends a step instead of `delimiter`; it is searched in
            the step's text after each token.
        max_tokens: cap on the tokens of one step, >= 1.

    Raises:
        InputError: a value is out of its range, a delimiter or pattern is empty, or a pattern is no regular expression.
    """

    delimiter: str | None = "\n\n"
    pattern: str | None = None
    max_tokens: int = 64

    def __post_init__(self) -> None:
        check_fields(self, max_tokens=at_least(1))
        for name, value in (("delimiter", self.delimiter), ("pattern", self.pattern)):
            if value == "":
                raise InputError(f"{name} is empty and would close every step at once; give text, or None for none")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise InputError(f"pattern {shown(self.pattern)} is no regular expression: {error}") from None

    @classmethod
    def chunks(cls, tokens: int) -> StepPolicy:
        """Fixed chunks of `tokens` tokens."""
        return cls(delimiter=None, max_tokens=tokens)


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """The law that tokens are drawn from.

    The order is that of vLLM: temperature, `min_p`, `top_k`, `top_p`. Each filter sees the probabilities that the
    ones before it left, scaled to 1. At temperature 0 filters change nothing.

    Attributes:
        temperature: divides the logits, >= 0; 0 always takes the most likely token.
        top_p: nucleus in (0, 1]: tokens are drawn from the smallest set of most likely tokens whose mass reaches it.
        steps: where a step ends.
        thinking: where a step ends inside the thinking; None if the models do not think.
        top_k: tokens are drawn from the `top_k` most likely ones and all that are as likely as the last of them;
            >= 0, and 0 for no limit.
        min_p: tokens are drawn from those at least `min_p` times as likely as the most likely one, in [0, 1]; 0 for
            all tokens.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = field(default=0, kw_only=True)
    min_p: float = field(default=0.0, kw_only=True)
    steps: StepPolicy = field(default_factory=StepPolicy)
    thinking: StepPolicy | None = None

    def __post_init__(self) -> None:
        check_fields(self, temperature=at_least(0), top_p=SHARE, top_k=at_least(0), min_p=UNIT)

    @property
    def thinks(self) -> bool:
        """Whether a solve begins inside the thinking."""
        return self.thinking is not None

    @property
    def neutral(self) -> bool:
        """Whether this is the model's own distribution: temperature 1, no filter."""
        return self.temperature == 1 and self.top_p == 1 and not self.cuts

    @property
    def cuts(self) -> bool:
        """Whether `top_k` or `min_p` is on."""
        return self.top_k > 0 or self.min_p > 0

    @property
    def scored(self) -> SamplingParams:
        """The law under which the target scores steps that were sampled from this one.

        With `top_k` or `min_p` it has the temperature but no filter: a filter of the target's own would give
        probability 0 to nearly every long step of the draft. Otherwise it is this law, `top_p` included.
        """
        return replace(self, top_p=1.0, top_k=0, min_p=0.0) if self.cuts else self

    @property
    def settings(self) -> dict[str, Any]:
        """The fields as plain values for records, without `top_k`, `min_p` and `thinking` where they are off."""
        off = {"top_k": 0, "min_p": 0.0, "thinking": None}
        return {name: value for name, value in asdict(self).items() if name not in off or value != off[name]}
