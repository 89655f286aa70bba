"""A preset: a method's options and the sampling parameters it was calibrated for, as a small JSON file.

    solve(question, load(), **presets.read("preset.json"))

    {"method": "specs", "options": {"n": 8, "tau": 0.95, ...},
     "law": {"temperature": 0.7, "top_p": 1.0, "max_step_tokens": 64}, "provenance": {...}}

`specs calibrate` writes presets. `provenance` tells people where the values come from; specs reads only its
`models`, to warn if other models are loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from specs.config.solve_config import configure
from specs.config.versions import current_options
from specs.errors import InputError
from specs.methods.registry import options_of
from specs.traces.schema import write_json
from specs.types.checks import REMOVED, check_names

LAW = ("temperature", "top_p", "max_step_tokens")
FILTERS = ("top_k", "min_p")
"""Fields that a law may also have; without them they are off."""


@dataclass(frozen=True, slots=True)
class Preset:
    """The contents of a preset file; `law` holds keyword arguments of `specs.configure`."""

    method: str
    options: dict[str, Any]
    law: dict[str, Any]
    provenance: dict[str, Any]

    @classmethod
    def of(cls, path: str | Path) -> Preset:
        """Read a preset.

        Raises:
            InputError: there is no such file, or a field is unknown, missing or out of its range.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"preset {path} cannot be read ({error.strerror})") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"preset {path} is not JSON ({error})") from None
        try:
            return _checked(value)
        except InputError as error:
            raise InputError(f"preset {path}: {error}") from None

    def write(self, path: Path) -> None:
        write_json(path, asdict(self), indent=1)

    def foreign(self, models: dict[str, str]) -> list[str]:
        """The models by role that differ from those of the calibration, each as "target is x, not y"."""
        made = self.provenance.get("models", {})
        return [f"{role} is {name}, not {made[role]}" for role, name in models.items() if made.get(role, name) != name]


def read(path: str | Path) -> dict[str, Any]:
    """The preset as keyword arguments of `specs.solve(question, models, ...)`; raises what `Preset.of` raises."""
    preset = Preset.of(path)
    return {"method": preset.method, **preset.options, **preset.law}


def _checked(value: object) -> Preset:
    if not isinstance(value, dict):
        raise InputError("not an object; give what 'specs calibrate' writes")
    found = cast(dict[str, Any], value)
    _same_names("it", found, tuple(field.name for field in fields(Preset)))
    parts = {name: found[name] for name in ("options", "law", "provenance")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise InputError(f"{name!r} is not an object")
    options, law, provenance = cast(Iterable[dict[str, Any]], parts.values())
    options = current_options(options)
    if not isinstance(models := provenance.get("models", {}), dict):
        raise InputError(f"the models of 'provenance' are {models!r}, not names by role")
    method = found["method"]
    if not isinstance(method, str):
        raise InputError(f"'method' is {method!r}; give a name")
    kept = {name: value for name, value in options.items() if name not in REMOVED}  # a solve refuses the others
    check_names(f"method {method} has no option", kept, options_of(method))
    _same_names("'law'", law, LAW, FILTERS)
    configure(method, **kept, **law)
    return Preset(method, options, law, provenance)


def _same_names(where: str, value: dict[str, Any], names: tuple[str, ...], further: tuple[str, ...] = ()) -> None:
    if unknown := sorted(value.keys() - {*names, *further}):
        raise InputError(f"{where} has an unknown field {unknown[0]!r}; there are {', '.join((*names, *further))}")
    if missing := [name for name in names if name not in value]:
        raise InputError(f"{where} has no field {missing[0]!r}")
