"""The model names that clients can request: each stands for a method, its options and a sampling law.

The catalog holds `specs` in three widths, every method that the loaded models allow, and the server's presets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from specs.config.describe import describe
from specs.config.presets import Preset
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.methods.registry import NAMES, make
from specs.types import Role


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model name and what it stands for.

    Attributes:
        group: the heading under which lists show it.
        description: one line for people.
        options: options of the method.
        law: sampling options, as `specs.api.configure` takes them.
    """

    name: str
    method: str
    group: str
    description: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    law: dict[str, Any] = field(default_factory=dict[str, Any])


_WIDTHS = {"specs-fast": 4, "specs-wide": 16}
"""Candidates a step of the models that are `specs` in another width."""
PRESETS = "Presets"
"""The group of presets."""
_IN_THINKING = ("specreason", "target", "draft")
"""Methods for requests that name none, the best first, if the models think."""


def build_catalog(models: Models, presets: Mapping[str, Preset] = MappingProxyType({})) -> dict[str, ServedModel]:
    """The served models by name, presets included.

    Raises:
        InputError: a preset needs a model that is not loaded or has a removed option, its name is in use, or no
            method can be served.
    """
    loaded_roles = {role for role in Role if getattr(models, role) is not None}
    catalog = {served.name: served for served in _all_methods() if make(served.method).roles <= loaded_roles}
    for name, preset in presets.items():
        if name in catalog:
            raise InputError(f"the preset's name conflicts with model {name!r}; rename its file")
        if missing := sorted(make(preset.method, **preset.options).roles - loaded_roles):
            raise InputError(f"preset {name} is for {preset.method}, which needs a {missing[0]} model; give one")
        description = f"{preset.method}, from a preset"
        catalog[name] = ServedModel(name, preset.method, PRESETS, description, preset.options, preset.law)
    if not catalog:
        raise InputError("no method can be served with these models; give at least a target or a draft")
    return catalog


def default_model(catalog: Mapping[str, ServedModel], thinks: bool) -> str:
    """The model of a request that names none; in thinking, one that needs no PRM."""
    usual = next(iter(catalog))
    return next((name for name in _IN_THINKING if name in catalog), usual) if thinks else usual


def _all_methods() -> Iterator[ServedModel]:
    for name in NAMES:
        found = describe(name)
        yield ServedModel(name, name, found.group, found.summary.rstrip("."))
        if name == "specs":
            for model, n in _WIDTHS.items():
                yield ServedModel(model, name, found.group, f"SPECS with {n} candidates a step", {"n": n})
