"""Names of the methods and how a name and options become a configured method."""

from __future__ import annotations

import math
import sys
from dataclasses import fields
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from specs.errors import InputError
from specs.methods import Method
from specs.methods.beam import Beam, Dvts
from specs.methods.best_of_n import BestOfN, Majority, SoftBestOfN, WeightedMajority
from specs.methods.gsi import Gsi
from specs.methods.hard_reject import HardReject
from specs.methods.oracle_route import OracleRoute
from specs.methods.prm_free import PrmFree
from specs.methods.rsd import Rsd
from specs.methods.single import Single
from specs.methods.specreason import SpecReason
from specs.methods.specs import Specs
from specs.methods.speculation import speculating
from specs.methods.ssr import Ssr
from specs.types import Role

_METHODS: dict[str, tuple[type, dict[str, Any]]] = {
    "specs": (Specs, {}),
    "random-switch": (Specs, {"draft_share": 0.5}),
    "beam": (Beam, {"writer": Role.TARGET}),
    "beam-draft": (Beam, {"writer": Role.DRAFT}),
    "dvts": (Dvts, {}),
    "best-of-n": (BestOfN, {}),
    "soft-best-of-n": (SoftBestOfN, {}),
    "majority": (Majority, {}),
    "weighted-majority": (WeightedMajority, {}),
    "rsd": (Rsd, {}),
    "gsi": (Gsi, {}),
    "hard-reject": (HardReject, {}),
    "prm-free": (PrmFree, {}),
    "specreason": (SpecReason, {}),
    "ssr": (Ssr, {}),
    "oracle-route": (OracleRoute, {}),
    "target": (Single, {"writer": Role.TARGET}),
    "draft": (Single, {"writer": Role.DRAFT}),
}
NAMES = tuple(_METHODS)
SPECULATING = tuple(
    f"{name}+speculation" for name, (_, fixed) in _METHODS.items() if fixed.get("writer") is not Role.DRAFT
)
"""Methods whose target steps are written with token-level speculation."""


def _kind(name: str) -> tuple[type, dict[str, Any]]:
    """The class of the method called `name`, and what the name fixes."""
    kind, fixed = _METHODS[name.removesuffix("+speculation")]
    return speculating(kind) if name in SPECULATING else kind, fixed


def options_of(name: str) -> frozenset[str]:
    """The options that the method called `name` has.

    Raises:
        InputError: an unknown name.
    """
    if name not in NAMES and name not in SPECULATING:
        raise InputError(f"unknown method {name!r}; choose from {', '.join(NAMES)}, or one of them with +speculation")
    return frozenset(field.name for field in fields(_kind(name)[0])) - {"writer"}


def make(name: str, **options: Any) -> Method:
    """The method called `name`; of `options` it takes those that it has, None means its default.

    Raises:
        InputError: an unknown name, an option that no method has, a value out of its range.
    """
    known = options_of(name)
    kind, fixed = _kind(name)
    every = {"speculate", *(field.name for one, _ in _METHODS.values() for field in fields(one))}
    if unknown := options.keys() - every:
        raise InputError(f"unknown option {', '.join(sorted(unknown))}; see 'specs solve --help'")
    given = {key: value for key, value in options.items() if key in known and value is not None}
    for key, value in given.items():
        if not fits(name, key, value):
            raise InputError(f"{key} is {value!r}, which {name} does not take; see 'specs solve --help'")
    try:
        return kind(**{**fixed, **given})
    except ValueError as error:
        raise InputError(str(error)) from None


def fits(name: str, option: str, value: Any) -> bool:
    """Whether a value is of the kind that an option of a method is, and a number if that is one; its range apart."""
    return _of_kind(value, get_type_hints(_kind(name)[0])[option])


def _of_kind(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is UnionType:
        return any(_of_kind(value, one) for one in get_args(kind))
    if kind is Role:
        return value in list(Role)
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        # No NaN, and no whole number that no float can hold.
        size = abs(cast(float, value)) if isinstance(value, Real) else math.nan
        return size <= sys.float_info.max or size == math.inf
    return isinstance(value, Integral if kind is int else kind)
