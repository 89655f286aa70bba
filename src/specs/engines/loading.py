"""Loads models by name: `bundled`, a folder, a hub id, a GGUF file or a server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from specs.engines.chat.prompts import Templated
from specs.engines.event_loop import gather, wait
from specs.engines.files import architectures_of
from specs.engines.folders import folder_of, is_gguf
from specs.engines.local.backend import Backend
from specs.engines.local.models import LocalPolicy, LocalReward
from specs.engines.protocol import LanguageModel, Models, never_stop
from specs.engines.text import HubText
from specs.engines.vllm.replicas import Replicas, connect_replicas
from specs.engines.vllm.reward import RemoteReward
from specs.engines.vllm.session import RemotePolicy
from specs.errors import InputError, ModelError
from specs.rewards.families import family_for
from specs.types.checks import check_fields

Engine = Literal["auto", "light", "torch"]
Dtype = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the models by role.

    A name is `bundled`, a folder, a hub id, a GGUF file (`model.gguf`, on the hub `owner/name/model.gguf`), or the URL
    of a vLLM server (commas separate several servers of the same model); None for no model.

    Attributes:
        draft_system, target_system: the writers' system prompts.
        tokenizer: folder or hub id with the tokenizer of draft and target if they run on servers; None for the names
            from which the servers loaded their models.
        prm_format: how the PRM reads a trace (`specs.rewards.families`); `auto` to choose by architecture and name.
    """

    draft: str | None = "bundled"
    target: str | None = "bundled"
    prm: str | None = "bundled"
    draft_system: str | None = None
    target_system: str | None = None
    tokenizer: str | None = None
    prm_format: str = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        for role in ("draft", "target", "prm"):
            if getattr(self, role) == "":
                raise InputError(f"{role} is empty; give a folder, a hub id, a URL or 'bundled', or None for no model")


def load_models(
    names: Names,
    *,
    engine: Engine = "auto",
    device: str = "auto",
    dtype: Dtype = "auto",
    allow_text_scoring: bool = False,
    timeout_s: float = 120.0,
) -> Models:
    """Load the models of a solve.

    Args:
        engine: the engine for folders and hub ids: `light` (no torch; small Llama and Qwen2 models), `torch`
            (transformers), or `auto`: light for the bundled trio, torch for other models. GGUF files run on llama.cpp.
        device: the device of the torch and llama.cpp engines: cpu, cuda, auto.
        dtype: the dtype of the torch engine: fp32, bf16, fp16, auto.
        allow_text_scoring: whether a target may score a draft with another vocabulary through its text.
        timeout_s: the most seconds that one request to a server may take.

    Raises:
        InputError: draft and target have different vocabularies without `allow_text_scoring`, or there is no such PRM
            format.
        ModelError: there is no such model, or a model cannot play its role.
    """
    given = {role: name for role in ("draft", "target", "prm") if (name := getattr(names, role))}
    servers = _connected({role: name for role, name in given.items() if _is_url(name)}, timeout_s)
    folders = {
        role: _tokenizer(names, role, servers[role]) if role in servers else folder_of(name, role)
        for role, name in given.items()
    }
    texts = {role: _text(role, given[role], folder) for role, folder in folders.items()}
    if "draft" in texts and "target" in texts and not allow_text_scoring:
        if texts["draft"].fingerprint != texts["target"].fingerprint:
            raise different_vocabularies(given["draft"], given["target"])

    def backend(role: str, labels: tuple[int, int] | None = None) -> Backend:
        name = getattr(names, role)
        writes = role != "prm" or labels is not None
        light = engine == "light" or (engine == "auto" and name == "bundled")
        if is_gguf(folders[role]):
            from specs.engines.local.llama_cpp.backend import load_llama

            loaded: Backend = load_llama(folders[role], name, device, labels, texts[role].size)
        elif light:
            from specs.engines.local.onnx.backend import load_light
            from specs.engines.local.onnx.weights import HEADS

            # The format has refused other models in the role of the PRM already.
            if writes and any(
                HEADS.get(architecture, "lm_head") != "lm_head" for architecture in _architectures(folders[role])
            ):
                raise ModelError(f"{role} {name} is a reward model, not a language model; give a causal language model")
            loaded = load_light(folders[role], labels=labels, vocabulary=texts[role].size)
        else:
            from specs.engines.local.torch.loading import load_hf

            kind = "lm" if writes else "prm"
            loaded = load_hf(str(folders[role]), kind, device, dtype, labels, texts[role].size)
        loaded.name = f"bundled:{role}" if name == "bundled" else name
        return loaded

    def policy(role: str, system: str | None) -> LanguageModel | None:
        if role in servers:
            _check_kind(role, servers[role], True)
            return RemotePolicy(servers[role], texts[role], servers[role].facts.raw(role), system)
        return LocalPolicy(backend(role), texts[role], system) if role in folders else None

    prm = None
    if names.prm:
        published = servers["prm"].facts.root if "prm" in servers else names.prm
        family, why = family_for(_architectures(folders["prm"]), published, names.prm_format)
        prm_format = family(texts["prm"])
        if "prm" in servers:
            _check_kind("prm", servers["prm"], prm_format.labels is not None)
            prm = RemoteReward(servers["prm"], prm_format, why)
        else:
            prm = LocalReward(backend("prm", prm_format.labels), prm_format, why)
    return Models(policy("draft", names.draft_system), policy("target", names.target_system), prm)


def different_vocabularies(draft: str, target: str) -> InputError:
    return InputError(
        f"draft {draft} and target {target} have different vocabularies; choose a pair that "
        "shares one, or accept inexact scores with allow_text_scoring"
    )


def _is_url(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _connected(urls: dict[str, str], timeout_s: float) -> dict[str, Replicas]:
    """Connect to the servers of each role, to all at the same time."""
    key = os.environ.get("SPECS_API_KEY")
    each = [[url.strip() for url in text.split(",")] for text in urls.values()]
    found = wait(gather(connect_replicas(several, key, timeout_s) for several in each), never_stop) if each else []
    return dict(zip(urls, found, strict=True))


def _check_kind(role: str, server: Replicas, generates: bool) -> None:
    if server.facts.generates is not generates:
        kind, needed = ("pools", "generate") if generates else ("generates", "pool")
        fix = f"serve it {'without' if generates else 'with'} --runner pooling"
        raise ModelError(f"{role} {server.name} {kind}, but a model in this role must {needed}; {fix}")


def _tokenizer(names: Names, role: str, server: Replicas) -> Path:
    """The folder with the tokenizer of a model on a server."""
    name = server.facts.root if names.tokenizer is None or role == "prm" else names.tokenizer
    try:
        return folder_of(name, role, weights=False)
    except ModelError:
        raise ModelError(
            f"{role} {server.name}: its tokenizer {name} is not on this machine; "
            "set tokenizer to a folder or a hub id that has it"
        ) from None


def _text(role: str, name: str, path: Path) -> Templated:
    """The vocabulary and chat template of a model; its errors name the model."""
    try:
        if is_gguf(path):
            from specs.engines.local.llama_cpp.gguf import GgufText

            text: Templated = GgufText(path)
        else:
            text = HubText(path)
    except ModelError as error:
        raise ModelError(f"{role} {name}: {error}" if str(path) not in str(error) else f"{role}: {error}") from None
    text.name = f"{role} {name}"
    return text


def _architectures(path: Path) -> list[str]:
    """The architectures that config.json names; a GGUF file contains a language model."""
    if is_gguf(path):
        return ["GGUFForCausalLM"]
    return architectures_of(path)
