"""Names of models that clients may ask for: each a method, its options and a law.

`specs`, narrower and wider ones, every method that the loaded models allow, and the presets that the
server was started with.
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
class Offer:
    """What a name stands for.

    Attributes:
        options: of the method; `law` as `specs.api.configure` takes it.
        description: one line for people.
    """

    name: str
    method: str
    description: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    law: dict[str, Any] = field(default_factory=dict[str, Any])


_OURS = (
    Offer("specs", "specs", "SPECS with its defaults"),
    Offer("specs-fast", "specs", "SPECS with 4 candidates a step", {"n": 4}),
    Offer("specs-wide", "specs", "SPECS with 16 candidates a step", {"n": 16}),
)
_DESCRIPTIONS = {
    "beam": "PRM beam search with the target",
    "beam-draft": "PRM beam search with the draft",
    "best-of-n": "n whole samples of the target, the best by the PRM",
    "majority": "n whole samples of the target, the most frequent answer",
    "gsi": "guided speculative inference (arXiv 2506.04118)",
    "rsd": "reward-guided speculative decoding (arXiv 2501.19324)",
    "target": "one sample of the target",
    "draft": "one sample of the draft",
}


def offers(models: Models, presets: Mapping[str, Preset] = MappingProxyType({})) -> dict[str, Offer]:
    """By name, what these models can be asked for, `presets` among it.

    Raises:
        InputError: a preset lacks a model or has the name of something else, or nothing can be served.
    """
    others = (Offer(name, name, _DESCRIPTIONS.get(name, f"the method {name}")) for name in NAMES if name != "specs")
    have = {role for role in Role if getattr(models, role) is not None}
    found = {offer.name: offer for offer in (*_OURS, *others) if make(offer.method).roles <= have}
    for name, preset in presets.items():
        if name in found:
            raise InputError(f"a preset would be called {name!r}, as something else is; rename its file")
        if missing := sorted(make(preset.method).roles - have):
            raise InputError(f"preset {name} is for {preset.method}, which needs a {missing[0]} model; give one")
        found[name] = Offer(name, preset.method, f"{preset.method}, from a preset", preset.options, preset.law)
    if not found:
        raise InputError("no method can be served with these models; give at least --target or --draft")
    return found
