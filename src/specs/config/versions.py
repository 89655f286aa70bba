"""Converts settings and options that earlier versions wrote, in traces, runs and presets, to current ones.

Removed options (`REMOVED`) stay only where they had an effect: such records can be shown, but not replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, cast

from specs.config.solve_config import SETTINGS_VERSION, Limits
from specs.errors import InputError
from specs.types import SamplingParams
from specs.types.checks import REMOVED, at_least, check_value, shown

_GSI = {"n", "beta", "threshold"}
"""The options of `gsi` before version 4, which no other method had; `switch_back` is one of `specs-released`."""


def current_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a trace of any version, converted to the current one.

    Raises:
        InputError: the version is newer than this code, or none.
    """
    version = check_value("the settings' version", settings.get("version", 1), int, at_least(1))
    if version not in range(1, SETTINGS_VERSION + 1):
        raise InputError(f"its settings have version {shown(version)}, which is newer than this specs; update specs")
    found = _nested(settings) if version == 1 else dict(settings)
    if version < 3 and isinstance(found.get("method"), dict):
        method = current_options(cast(dict[str, Any], found["method"]))
        found["method"] = {**method, **({"length_power": 0.0, "verify": "all"} if "select_weight" in method else {})}
    if version < 4 and isinstance(found.get("method"), dict):
        method = cast(dict[str, Any], found["method"])
        eager = method.keys() - {"speculate"} == _GSI or "switch_back" in method
        found["method"] = {**method, **({"verify": "all"} if eager else {})}
    if version < 5 and isinstance(found.get("method"), dict):
        method = cast(dict[str, Any], found["method"])
        found["method"] = {**method, **({"answer": "best"} if "width" in method else {})}
    for owner in ("method", "steps"):
        if isinstance(found.get(owner), dict):
            found[owner] = effective(found[owner])
    return found | {"version": SETTINGS_VERSION}


def current_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a method; `score` and `switch_on="tilted"` of `specs` become the weights of the log-ratio.

    Options without weights are those of an earlier version if they have `score` or `switch_on`. Its defaults were
    `tilted` for both, and `switch_on` without `tilted` left the log-ratio out of the comparison with tau.

    Raises:
        InputError: `score` is neither `tilted` nor `raw`.
    """
    found = effective(options)
    if not found.keys() & {"score", "switch_on"} or found.keys() & {"select_weight", "accept_weight"}:
        return found
    score = check_value("score", found.pop("score", "tilted"), cast(Any, Literal["tilted", "raw"]))
    tilted = found.get("switch_on", "tilted") == "tilted"
    if tilted:
        found["switch_on"] = "step"
    if score == "raw":
        found.pop("hopeless", None)  # had no effect
    return {**found, "select_weight": float(score == "tilted"), "accept_weight": float(score == "tilted" and tilted)}


def effective(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options without removed ones that had no effect."""
    return {name: value for name, value in options.items() if name not in REMOVED or value != REMOVED[name]}


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of version 1, one flat object, by owner."""
    sampling = {one.name for one in fields(SamplingParams)} - {"steps"}
    limits = {one.name for one in fields(Limits)}
    return {
        "method": {name: value for name, value in settings.items() if name not in sampling | limits | {"steps"}},
        "steps": settings.get("steps", {}),
        "sampling": {name: value for name, value in settings.items() if name in sampling},
        "limits": {name: value for name, value in settings.items() if name in limits},
    }
