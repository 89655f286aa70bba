"""The names of the methods; makes a configured method from a name and options."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from specs.errors import InputError
from specs.methods import Method
from specs.methods.beam import Beam, Dvts, SoftBeam
from specs.methods.best_of_n import AdaptiveMajority, BestOfN, Majority, SoftBestOfN, WeightedMajority
from specs.methods.cascade import Cascade
from specs.methods.gsi import Gsi
from specs.methods.hard_reject import HardReject
from specs.methods.one_first import OneFirst
from specs.methods.oracle_route import OracleRoute
from specs.methods.prm_free import PrmFree
from specs.methods.random_rewrite import RandomRewrite
from specs.methods.rsd import Rsd
from specs.methods.single import Single
from specs.methods.specreason import SpecReason
from specs.methods.specs import Specs
from specs.methods.specs_released import SpecsReleased
from specs.methods.ssr import Ssr
from specs.methods.token_speculation import SUFFIX, WithSpeculation
from specs.types import Role
from specs.types.checks import OptionValue, check_names, shown, suggestion

_METHODS: dict[str, tuple[type, dict[str, Any]]] = {
    "specs": (Specs, {}),
    "specs-released": (SpecsReleased, {}),
    "random-switch": (Specs, {"draft_share": 0.5}),
    "random-rewrite": (RandomRewrite, {}),
    "beam": (Beam, {"writer": Role.TARGET}),
    "beam-draft": (Beam, {"writer": Role.DRAFT}),
    "soft-beam": (SoftBeam, {}),
    "one-first": (OneFirst, {}),
    "dvts": (Dvts, {}),
    "best-of-n": (BestOfN, {}),
    "soft-best-of-n": (SoftBestOfN, {}),
    "majority": (Majority, {}),
    "adaptive-majority": (AdaptiveMajority, {}),
    "weighted-majority": (WeightedMajority, {}),
    "cascade": (Cascade, {}),
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
SPECULATING = tuple(f"{name}{SUFFIX}" for name, (_, fixed) in _METHODS.items() if fixed.get("writer") is not Role.DRAFT)
"""Names of the methods with token-level speculation: all whose target writes."""


def _kind(name: str) -> tuple[type, dict[str, Any]]:
    """The class of the method called `name`, ignoring the suffix, and the options that the name fixes.

    Raises:
        InputError: an unknown name.
    """
    if name not in NAMES and name not in SPECULATING:
        raise InputError(f"there is no method {shown(name)}; {suggestion(name, (*NAMES, *SPECULATING))}")
    return _METHODS[name.removesuffix(SUFFIX)]


def options_of(name: str) -> frozenset[str]:
    """The names of the options of the method called `name`.

    Raises:
        InputError: an unknown name.
    """
    own = frozenset(field.name for field in fields(_kind(name)[0])) - {"writer"}
    return own | {"speculate"} if name in SPECULATING else own


def make(name: str, **options: OptionValue) -> Method:
    """The method called `name` with these options.

    Raises:
        InputError: an unknown name, an option that the method lacks, or a value that it does not take.
    """
    check_names(f"method {name} has no option", options, options_of(name))
    kind, fixed = _kind(name)
    if name not in SPECULATING:
        return kind(**{**fixed, **options})
    tokens: dict[str, Any] = {"speculate": options.pop("speculate")} if "speculate" in options else {}
    return WithSpeculation(kind(**{**fixed, **options}), **tokens)
