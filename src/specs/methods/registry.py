"""The names of the methods; makes a configured method from a name and options."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from specs.errors import InputError
from specs.methods import Method
from specs.methods.beam import Beam, Dvts, SoftBeam
from specs.methods.best_of_n import AdaptiveMajority, BestOfN, Majority, SoftBestOfN, WeightedMajority
from specs.methods.cascade import Cascade
from specs.methods.glimp import Glimp
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

_SPECS, _SEARCHES, _BASELINES = "SPECS", "Searches", "Baselines"
_METHODS: dict[str, tuple[str, type, dict[str, Any]]] = {
    "specs": (_SPECS, Specs, {}),
    "specs-released": (_SPECS, SpecsReleased, {}),
    "random-switch": (_SPECS, Specs, {"draft_share": 0.5}),
    "random-rewrite": (_SPECS, RandomRewrite, {}),
    "beam": (_SEARCHES, Beam, {"writer": Role.TARGET}),
    "beam-draft": (_SEARCHES, Beam, {"writer": Role.DRAFT}),
    "soft-beam": (_SEARCHES, SoftBeam, {}),
    "one-first": (_SEARCHES, OneFirst, {}),
    "dvts": (_SEARCHES, Dvts, {}),
    "best-of-n": (_SEARCHES, BestOfN, {}),
    "soft-best-of-n": (_SEARCHES, SoftBestOfN, {}),
    "majority": (_SEARCHES, Majority, {}),
    "adaptive-majority": (_SEARCHES, AdaptiveMajority, {}),
    "weighted-majority": (_SEARCHES, WeightedMajority, {}),
    "cascade": (_SEARCHES, Cascade, {}),
    "rsd": (_BASELINES, Rsd, {}),
    "gsi": (_BASELINES, Gsi, {}),
    "hard-reject": (_BASELINES, HardReject, {}),
    "prm-free": (_SPECS, PrmFree, {}),
    "specreason": (_BASELINES, SpecReason, {}),
    "glimp": (_BASELINES, Glimp, {}),
    "ssr": (_BASELINES, Ssr, {}),
    "oracle-route": (_BASELINES, OracleRoute, {}),
    "target": (_BASELINES, Single, {"writer": Role.TARGET}),
    "draft": (_BASELINES, Single, {"writer": Role.DRAFT}),
}
"""For each name the group in lists of methods, the class, and the options that the name fixes."""
NAMES = tuple(_METHODS)
GROUPS = {
    group: tuple(name for name in NAMES if _METHODS[name][0] == group) for group in (_SPECS, _SEARCHES, _BASELINES)
}
"""The names by group; each is in one group."""
SPECULATING = tuple(
    f"{name}{SUFFIX}" for name, (_, _, fixed) in _METHODS.items() if fixed.get("writer") is not Role.DRAFT
)
"""Names of the methods with token-level speculation: all whose target writes."""


def _kind(name: str) -> tuple[type, dict[str, Any]]:
    """The class of the method called `name`, ignoring the suffix, and the options that the name fixes.

    Raises:
        InputError: an unknown name.
    """
    if name not in NAMES and name not in SPECULATING:
        raise InputError(f"there is no method {shown(name)}; {suggestion(name, (*NAMES, *SPECULATING))}")
    return _METHODS[name.removesuffix(SUFFIX)][1:]


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
