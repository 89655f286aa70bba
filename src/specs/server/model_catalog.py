"""The model names that clients can request: each stands for a method, its options and a sampling law.

The catalog holds `specs` in three widths, every method that the loaded models allow, and the server's presets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from specs.config.presets import Preset
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.methods.registry import NAMES, make
from specs.types import Role


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model name and what it stands for.

    Attributes:
        description: one line for people.
        options: options of the method.
        law: sampling options, as `specs.api.configure` takes them.
    """

    name: str
    method: str
    description: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    law: dict[str, Any] = field(default_factory=dict[str, Any])


_SPECS_MODELS = (
    ServedModel("specs", "specs", "SPECS with its defaults"),
    ServedModel("specs-fast", "specs", "SPECS with 4 candidates a step", {"n": 4}),
    ServedModel("specs-wide", "specs", "SPECS with 16 candidates a step", {"n": 16}),
)
_DESCRIPTIONS = {
    "beam": "PRM beam search with the target",
    "beam-draft": "PRM beam search with the draft",
    "best-of-n": "n whole samples of the target; the PRM chooses the best",
    "majority": "n whole samples of the target; the most frequent answer wins",
    "gsi": "guided speculative inference (arXiv 2506.04118)",
    "rsd": "reward-guided speculative decoding (arXiv 2501.19324)",
    "target": "one sample of the target",
    "draft": "one sample of the draft",
}


def build_catalog(models: Models, presets: Mapping[str, Preset] = MappingProxyType({})) -> dict[str, ServedModel]:
    """The served models by name, presets included.

    Raises:
        InputError: a preset needs a model that is not loaded or has a removed option, its name is in use, or no
            method can be served.
    """
    others = (
        ServedModel(name, name, _DESCRIPTIONS.get(name, f"the method {name}")) for name in NAMES if name != "specs"
    )
    loaded_roles = {role for role in Role if getattr(models, role) is not None}
    candidates = (*_SPECS_MODELS, *others)
    catalog = {served.name: served for served in candidates if make(served.method).roles <= loaded_roles}
    for name, preset in presets.items():
        if name in catalog:
            raise InputError(f"the preset's name conflicts with model {name!r}; rename its file")
        if missing := sorted(make(preset.method, **preset.options).roles - loaded_roles):
            raise InputError(f"preset {name} is for {preset.method}, which needs a {missing[0]} model; give one")
        catalog[name] = ServedModel(name, preset.method, f"{preset.method}, from a preset", preset.options, preset.law)
    if not catalog:
        raise InputError("no method can be served with these models; give at least a target or a draft")
    return catalog
