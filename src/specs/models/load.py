"""From a name to a model: `bundled`, a folder, or a hub id; on the light or the torch engine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from specs.engine import Models, Policy, unwatched
from specs.errors import InputError, ModelError
from specs.models.backend import Backend
from specs.models.local import LocalPolicy, LocalReward
from specs.models.remote.client import together, wait
from specs.models.remote.replicas import Replicas
from specs.models.remote.sessions import RemotePolicy
from specs.models.remote.vllm import connect
from specs.models.text import HubText
from specs.rewards.formats import format_for

Engine = Literal["auto", "light", "torch"]
BUNDLED = Path(__file__).parent.parent / "bundled" / "models"


@dataclass(frozen=True, slots=True)
class Names:
    """Which model plays which role: `bundled`, a folder, a hub id, or the URL of a vLLM server (several
    of the same model with commas between); None for none.

    Attributes:
        draft_system, target_system: the writers' system prompts.
        tokenizer: folder or hub id that has the tokenizer of draft and target where they are on
            servers; None for where the servers have read them from.
    """

    draft: str | None = "bundled"
    target: str | None = "bundled"
    prm: str | None = "bundled"
    draft_system: str | None = None
    target_system: str | None = None
    tokenizer: str | None = None


def load_models(
    names: Names,
    *,
    engine: Engine = "auto",
    device: str = "auto",
    dtype: str = "auto",
    allow_text_scoring: bool = False,
    timeout_s: float = 120.0,
) -> Models:
    """Load the models of a solve.

    Args:
        engine: `light` (numbers without torch; small Llama and Qwen2 models), `torch`
            (transformers), or `auto`: light for the bundled trio, torch for all else.
        device: of the torch engine: cpu, cuda, auto.
        dtype: of the torch engine: fp32, bf16, fp16, auto.
        allow_text_scoring: let target and draft of different vocabularies meet through text.
        timeout_s: longest that one request to a server may take.

    Raises:
        InputError: draft and target have different vocabularies and may not meet through text.
        ModelError: a name is no model, or a model cannot play its role.
    """
    given = {role: name for role in ("draft", "target", "prm") if (name := getattr(names, role))}
    servers = _connected({role: name for role, name in given.items() if _is_url(name)}, timeout_s)
    folders = {
        role: _tokenizer(names, role, servers[role]) if role in servers else _folder(name, role)
        for role, name in given.items()
    }
    texts = {role: HubText(folder) for role, folder in folders.items()}
    if "draft" in texts and "target" in texts and not allow_text_scoring:
        if texts["draft"].fingerprint != texts["target"].fingerprint:
            raise InputError(
                f"draft {names.draft} and target {names.target} have different vocabularies; choose a pair that "
                "shares one, or accept inexact scores with --allow-text-scoring"
            )

    def backend(role: str) -> Backend:
        name = getattr(names, role)
        light = engine == "light" or (engine == "auto" and name == "bundled")
        kind: Literal["lm", "prm"] = "prm" if role == "prm" else "lm"
        if light:
            from specs.models.light import load_light

            # A model that is none of the PRMs was refused by its format before.
            if kind == "lm" and any("TokenClassification" in one for one in _architectures(folders[role])):
                raise ModelError(
                    f"{name} is a reward model, not a language model; give --{role} a causal language model"
                )
            loaded: Backend = load_light(folders[role])
        else:
            from specs.models.hf import load_hf

            loaded = load_hf(str(folders[role]), kind, device, dtype)
        loaded.name = f"bundled:{role}" if name == "bundled" else name
        return loaded

    def policy(role: str, system: str | None) -> Policy | None:
        if role in servers:
            facts = servers[role].facts
            raw = not facts.processed if role == "draft" else facts.raw_scores
            return RemotePolicy(servers[role], texts[role], raw, system)
        return LocalPolicy(backend(role), texts[role], system) if role in folders else None

    prm = None
    if "prm" in folders:
        form = format_for(_architectures(folders["prm"]), texts["prm"])
        prm = LocalReward(backend("prm"), form)
    return Models(policy("draft", names.draft_system), policy("target", names.target_system), prm)


def local_folder(name: str, role: str) -> Path | None:
    """The folder that a name stands for; None if it may be a hub id."""
    if name == "bundled":
        return BUNDLED / role
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{name} is not a model folder: it has no config.json; give --{role} a saved model")
        return path
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelError(f"--{role} {name}: no such model folder; give a folder, a hub id (owner/name) or 'bundled'")
    return None


def _folder(name: str, role: str) -> Path:
    """The folder of a model; hub ids are looked up in the hub's cache or fetched."""
    if (folder := local_folder(name, role)) is not None:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model"]))
    except (OSError, HFValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"--{role} {name}: neither a folder nor reachable on the hub ({reason})") from None


def _is_url(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _connected(urls: dict[str, str], timeout_s: float) -> dict[str, Replicas]:
    """The servers of each role, all asked at the same time what they are."""
    key = os.environ.get("SPECS_API_KEY")
    each = {role: [url.strip() for url in text.split(",")] for role, text in urls.items()}
    work = [connect(url, key, timeout_s) for several in each.values() for url in several]
    servers = iter(wait(together(work), unwatched) if work else ())
    return {role: Replicas([next(servers) for _ in several]) for role, several in each.items()}


def _tokenizer(names: Names, role: str, server: Replicas) -> Path:
    """The folder of a tokenizer whose model is on a server."""
    name = server.facts.root if names.tokenizer is None else names.tokenizer
    try:
        return _folder(name, role)
    except ModelError:
        raise ModelError(
            f"--{role} {server.name} has its tokenizer at {name}, which is not here; "
            "give --tokenizer a folder or a hub id that has it"
        ) from None


def _architectures(folder: Path) -> list[str]:
    return json.loads((folder / "config.json").read_text()).get("architectures") or []
