"""A process that compares formulas: `python -m specs.eval.formula_worker`.

It first prints `{"ready": true}`. Then it reads JSON lines `{"prediction": ..., "answer": ...}`, each with two LaTeX
formulas, and answers each line with `{"correct": ...}`, null if the comparison fails. sympy can run forever on some
formulas, and only a separate process can always be stopped, so `specs.eval.grading` runs this one.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# sympy and math-verify are untyped.
from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Expr, MatrixBase, N, Rational

_DIGITS = 200
"""Decimal digits of math-verify's comparison; values that agree to this precision count as equal."""
_CLOSE = Rational(1, 10**40)


def same(prediction: str, answer: str) -> bool:
    """Whether two formulas are mathematically the same."""
    config = LatexExtractionConfig()
    # By default it drops units (and with them variables such as m) and guesses at formulas that are not LaTeX.
    plain = replace(config.normalization_config, units=False, malformed_operators=False, nits=False, boxed="none")
    config = [replace(config, normalization_config=plain)]
    gold, guess = (parse(f"${text}$", config, parsing_timeout=0) for text in (answer, prediction))
    if not gold or not guess or _differ(gold[0], guess[0]):
        return False
    if _agree(gold[0], guess[0]):
        return True
    return verify(gold, guess, numeric_precision=_DIGITS, allow_set_relation_comp=True, timeout_seconds=0)


def _agree(one: Any, other: Any) -> bool:
    """Whether two expressions are the same once expanded: verify compares single symbols as text."""
    try:
        return isinstance(one, Expr) and isinstance(other, Expr) and (one - other).doit().expand() == 0
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return False


def _differ(one: Any, other: Any) -> bool:
    """Whether two expressions certainly differ, however little: verify treats 1/2004! as 0.

    Expressions with symbols are evaluated at one point. If different ones agree there by chance, or if a value cannot
    be computed, the result is False.
    """
    if isinstance(one, MatrixBase) and isinstance(other, MatrixBase):
        return one.shape == other.shape and any(map(_differ, one.flat(), other.flat()))
    if not isinstance(one, Expr) or not isinstance(other, Expr):
        return False
    try:
        symbols = sorted(one.free_symbols | other.free_symbols, key=str)
        point: Any = {symbol: Rational(7 + 2 * symbol_idx, 5 + symbol_idx) for symbol_idx, symbol in enumerate(symbols)}
        difference = (one - other).subs(point).doit()
        if difference.is_Rational:
            return bool(difference != 0)
        apart, size = abs(N(difference, 60)), abs(N(one.subs(point), 60))
        if not (apart.is_Float and size.is_Float):
            return False
        if apart > _CLOSE * size:
            return True
        difference = difference.expand()
        return bool(difference.is_Mul and difference.is_zero is False)  # pi / 10^250
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return False


def main() -> None:
    same(r"2 \sin x \cos x", r"\sin 2 x")  # the first comparison loads much of sympy: do it before the clock runs
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            verdict: bool | None = same(request["prediction"], request["answer"])
        except Exception:  # parser and sympy raise many kinds of errors on odd formulas; the next line may be fine
            verdict = None
        print(json.dumps({"correct": verdict}), flush=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # for the whole process, which does nothing else
    main()
