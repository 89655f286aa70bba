"""Sampling parameters: the distribution of tokens, and where a step ends."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from specs.errors import InputError
from specs.types.checks import SHARE, at_least, check_fields, shown


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
    """The law that tokens are drawn from, the same for `p`, `q` and the sampler.

    Attributes:
        temperature: divides the logits, >= 0; 0 always takes the most likely token.
        top_p: nucleus in (0, 1]: tokens are drawn from the smallest set of most likely tokens whose mass reaches it.
        steps: where a step ends.
        thinking: where a step ends inside the thinking; None if the models do not think.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    steps: StepPolicy = field(default_factory=StepPolicy)
    thinking: StepPolicy | None = None

    def __post_init__(self) -> None:
        check_fields(self, temperature=at_least(0), top_p=SHARE)

    @property
    def thinks(self) -> bool:
        """Whether a solve begins inside the thinking."""
        return self.thinking is not None

    @property
    def neutral(self) -> bool:
        """Whether this is the model's own distribution: temperature 1, no nucleus."""
        return self.temperature == 1 and self.top_p == 1
