"""From a name to a model: `bundled`, a folder, or a hub id; on the light or the torch engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from specs.engine import Models
from specs.errors import InputError, ModelError
from specs.models.backend import Backend
from specs.models.local import LocalPolicy, LocalReward
from specs.models.text import HubText
from specs.rewards.families import PRMFormat, family_for

Engine = Literal["auto", "light", "torch"]
BUNDLED = Path(__file__).parent.parent / "bundled" / "models"


@dataclass(frozen=True, slots=True)
class Names:
    """Which model plays which role: `bundled`, a folder or a hub id; None for none.

    `draft_system` and `target_system` are the writers' system prompts, `prm_format` is how the PRM
    reads a trace (`specs.rewards.families`; `auto` where its architecture or name tells).
    """

    draft: str | None = "bundled"
    target: str | None = "bundled"
    prm: str | None = "bundled"
    draft_system: str | None = None
    target_system: str | None = None
    prm_format: PRMFormat = "auto"


def load_models(
    names: Names,
    *,
    engine: Engine = "auto",
    device: str = "auto",
    dtype: str = "auto",
    allow_text_scoring: bool = False,
) -> Models:
    """Load the models of a solve.

    Args:
        engine: `light` (numbers without torch; small Llama and Qwen2 models), `torch`
            (transformers), or `auto`: light for the bundled trio, torch for all else.
        device: of the torch engine: cpu, cuda, auto.
        dtype: of the torch engine: fp32, bf16, fp16, auto.
        allow_text_scoring: let target and draft of different vocabularies meet through text.

    Raises:
        InputError: draft and target have different vocabularies and may not meet through text, or
            there is no such PRM format.
        ModelError: a name is no model, or a model cannot play its role.
    """
    folders = {role: _folder(getattr(names, role), role) for role in ("draft", "target", "prm") if getattr(names, role)}
    texts = {role: HubText(folder) for role, folder in folders.items()}
    if "draft" in texts and "target" in texts and not allow_text_scoring:
        if texts["draft"].fingerprint != texts["target"].fingerprint:
            raise InputError(
                f"draft {names.draft} and target {names.target} have different vocabularies; choose a pair that "
                "shares one, or accept inexact scores with --allow-text-scoring"
            )

    def backend(role: str, labels: tuple[int, int] | None = None) -> Backend:
        name = getattr(names, role)
        writes = role != "prm" or labels is not None
        light = engine == "light" or (engine == "auto" and name == "bundled")
        if light:
            from specs.models.light import HEADS, load_light

            # A PRM that is none was refused by its format before.
            if writes and any(HEADS.get(one, "lm_head") != "lm_head" for one in _architectures(folders[role])):
                raise ModelError(
                    f"{name} is a reward model, not a language model; give --{role} a causal language model"
                )
            loaded: Backend = load_light(folders[role], labels=labels)
        else:
            from specs.models.hf import load_hf

            loaded = load_hf(str(folders[role]), "lm" if writes else "prm", device, dtype, labels)
        loaded.name = f"bundled:{role}" if name == "bundled" else name
        return loaded

    def policy(role: str, system: str | None) -> LocalPolicy | None:
        return LocalPolicy(backend(role), texts[role], system) if role in folders else None

    prm = None
    if names.prm:
        family, why = family_for(_architectures(folders["prm"]), names.prm, names.prm_format)
        form = family(texts["prm"])
        prm = LocalReward(backend("prm", form.labels), form, why)
    return Models(policy("draft", names.draft_system), policy("target", names.target_system), prm)


def _folder(name: str, role: str) -> Path:
    """The local folder of a model; hub ids are looked up in the hub's cache or fetched."""
    if name == "bundled":
        return BUNDLED / role
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{name} is not a model folder: it has no config.json; give --{role} a saved model")
        return path
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelError(f"--{role} {name}: no such model folder; give a folder, a hub id (owner/name) or 'bundled'")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    files = ["*.json", "*.safetensors", "*.jinja", "*.model"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=files))
        if not any(folder.glob("*.safetensors")):  # an older format; torch reads its tensors and runs none of its code
            folder = Path(snapshot_download(name, allow_patterns=[*files, "pytorch_model*.bin"]))
        return folder
    except (OSError, HFValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"--{role} {name}: neither a folder nor reachable on the hub ({reason})") from None


def _architectures(folder: Path) -> list[str]:
    return json.loads((folder / "config.json").read_text()).get("architectures") or []
