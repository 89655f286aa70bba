"""What a Python class has to have to be a language model or a reward model (docs/howto/own-models.md)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from specs.errors import InputError
from specs.types import SamplingParams
from specs.types.checks import check_fields, shown

T = TypeVar("T")
Answer = T | Awaitable[T]
"""What a method returns; that of an `async def` method is awaited."""


EndName = Literal["delimiter", "end_of_text", "cap", "context"]
"""How a step ended, as in `specs.types.End`."""


@dataclass(frozen=True, slots=True)
class StepText:
    """A step as text.

    Attributes:
        text: with the delimiter that ended it.
        end: how the step ended: `delimiter`, `end_of_text` (the solution is complete), `cap` (it has
            `sampling.steps.max_tokens` tokens and goes on) or `context` (the model's context is full).

    Raises:
        InputError: a field is of a wrong type, or there is no such end.
    """

    text: str
    end: EndName = "delimiter"

    def __post_init__(self) -> None:
        check_fields(self)


@runtime_checkable
class TextModel(Protocol):
    """A language model that writes and reads text.

    It may have an attribute `name` for results and messages, and the method `score` of `ScoringModel`.
    """

    def sample(
        self, question: str, solution: str, n: int, sampling: SamplingParams, seed: int, /
    ) -> Answer[Sequence[str | StepText]]:
        """Draw `n` independent candidates for the next step.

        Args:
            question: what is to be solved; earlier turns of a conversation are part of it.
            solution: the steps so far; empty at the beginning.
            sampling: `temperature`, the filters `top_p`, `top_k` and `min_p` (`specs.SamplingParams` defines them), and
                where to stop: at `steps.delimiter` and after `steps.max_tokens` tokens. Without a delimiter the whole
                solution is wanted.
            seed: in [0, 2^31), different for every call of a solve and the same when the solve is repeated.

        Returns:
            `n` texts. A text is a step that ended at the delimiter, with or without it. An empty text says that the
            solution is complete; without a delimiter each text is a complete solution. A `StepText` can say more.
        """
        ...


@runtime_checkable
class ScoringModel(TextModel, Protocol):
    """A language model that also gives log-probabilities."""

    def score(
        self, question: str, solution: str, steps: Sequence[StepText], sampling: SamplingParams, /
    ) -> Answer[Sequence[float]]:
        """The log-probability of each of `steps` as the next step, in nats, at most 0.

        It is that of the whole step under the temperature and filters of `sampling`, including end-of-text if the step
        ended with it. With `top_k` or `min_p` a target is asked for those of the temperature alone.
        """
        ...


@runtime_checkable
class TextRewards(Protocol):
    """A process reward model that reads text; it may have an attribute `name`."""

    def rewards(self, question: str, solutions: Sequence[Sequence[str]], /) -> Answer[Sequence[float]]:
        """The reward in [0, 1] of each of `solutions`, read at its last step.

        Args:
            solutions: each a list of its steps so far, without delimiters.
        """
        ...


def check_object(role: str, given: Any, method: str, arguments: str) -> None:
    """Raise `InputError` unless an object has a method that takes these arguments.

    Args:
        role: the parameter that the object was given as.
        arguments: their names, separated by commas.
    """
    if isinstance(given, str):
        raise InputError(f"{role} is {shown(given)}; adapt takes an object with a method {method}, load takes names")
    name = type(given).__name__
    if isinstance(given, type):
        raise InputError(f"{role} is the class {given.__name__}; give an instance, such as {given.__name__}()")
    if not callable(own := getattr(given, method, None)):
        raise InputError(f"{role}: {name} has no method {method}; define {method}(self, {arguments})")
    try:
        inspect.signature(own).bind(*arguments.split(", "))
    except TypeError as error:
        raise InputError(f"{role}: {name}.{method} {error}; define {method}(self, {arguments})") from None
    except ValueError:  # written in C: it has no signature to look at
        pass
