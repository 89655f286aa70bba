"""Calls the methods of a user's object: asynchronous ones too, with errors that name the class and the method."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from specs.engines.event_loop import gather, wait
from specs.engines.protocol import CheckStop, Stopped
from specs.errors import EngineError, InputError, described
from specs.types.checks import Range, check_value, shown


class Calls:
    """The calls of one method of an object in one solve.

    Attributes:
        name: class and method.
    """

    def __init__(self, model: object, method: str, check_stop: CheckStop) -> None:
        """`check_stop` is called before each call, and while an asynchronous one is under way."""
        self.name = f"{type(model).__name__}.{method}"
        self._method, self._check_stop = getattr(model, method), check_stop

    def answers(self, each: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The answer to a call with each of some arguments; asynchronous calls run at the same time.

        Raises:
            EngineError: a call raises an exception.
        """
        begun = [self._call(arguments) for arguments in each]
        try:
            if any(map(inspect.isawaitable, begun)):
                return wait(gather(map(_awaited, begun)), self._check_stop)
        except Stopped:
            raise
        except Exception as error:
            raise self._failed(error) from error
        return begun

    def _call(self, arguments: tuple[Any, ...]) -> Any:
        self._check_stop()
        try:
            return self._method(*arguments)
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> EngineError:
        return EngineError(f"{self.name} failed with {described(error)}{self._place(error)}")

    def _place(self, error: Exception) -> str:
        """The last line of the method's own file that the exception passed."""
        code = getattr(inspect.unwrap(self._method), "__code__", None)
        place, entry = "", error.__traceback__
        while code is not None and entry is not None:
            if entry.tb_frame.f_code.co_filename == code.co_filename:
                place = f" ({code.co_filename}, line {entry.tb_lineno})"
            entry = entry.tb_next
        return place

    def items(self, answer: Any, wanted: int, what: str) -> list[Any]:
        """The items of an answer.

        Raises:
            EngineError: it is no list, or not of `wanted` items.
        """
        if isinstance(answer, (str, bytes, Mapping)) or not isinstance(answer, Iterable):
            raise EngineError(f"{self.name} returned {shown(cast(object, answer))}; return a list of {wanted} {what}")
        found = list(cast(Iterable[Any], answer))
        if len(found) != wanted:
            raise EngineError(f"{self.name} returned {len(found)} {what}; return {wanted}")
        return found

    def numbers(self, answer: Any, wanted: int, what: str, allowed: Range) -> Sequence[float]:
        """The numbers of an answer.

        Raises:
            EngineError: as in `items`, or one of them is no number that is allowed.
        """
        try:
            return [
                check_value(f"{self.name}: item {idx}", value, float, allowed)
                for idx, value in enumerate(self.items(answer, wanted, what))
            ]
        except InputError as error:
            raise EngineError(str(error)) from None


async def _awaited(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer
