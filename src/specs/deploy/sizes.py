"""Reads the sizes of models (from a folder or the hub) and GPUs (from nvidia-smi), without loading a model."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from specs.deploy.kv_layout import is_upper_bound, why_unknown
from specs.deploy.memory_plan import GB, Gpu, Model
from specs.engines.folders import is_gguf, local_folder
from specs.errors import InputError, ModelError
from specs.types import Role

Tensor = tuple[str, str, int]
"""Name, type in safetensors' notation, and bytes."""
_MAX_HEADER_BYTES = 100_000_000
"""The largest header that safetensors allows."""


def read_model(name: str, role: Role) -> Model:
    """Read the sizes of a model, given as `bundled`, a folder or a hub id.

    For a hub id, only the headers of its weight files are downloaded.

    Raises:
        ModelError: there is no such model, or its memory cannot be planned.
    """
    if is_gguf(Path(name)):
        raise ModelError(
            f"{role} {name}: a GGUF file runs in process with llama.cpp; to serve a model, give a folder or a hub id"
        )
    folder = local_folder(name, role) or _cached_folder(name)
    config, tensors = _from_hub(name, role) if folder is None else (_config(folder), _tensors_of_folder(folder, name))
    return model_from_config(name, role, config, tensors)


def model_from_config(name: str, role: Role, config: dict[str, Any], tensors: Iterable[Tensor]) -> Model:
    """The sizes of a model, from its config.json and its stored tensors."""
    kind = config.get("model_type", "unknown type")
    if why := why_unknown(config):
        raise ModelError(f"{role} {name} ({kind}) {why}")
    architecture = (config.get("architectures") or ["no architecture"])[0]
    writes = architecture.endswith("ForCausalLM")
    if role is not Role.PRM and not writes:
        raise ModelError(f"{role} {name} is {architecture}; give a causal language model (...ForCausalLM)")
    try:
        heads = config["num_attention_heads"]
        return Model(
            name=name,
            architecture=architecture,
            weights=_bytes_on_gpu(config, tensors, writes and not config.get("tie_word_embeddings")),
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or config["hidden_size"] // heads,
            vocabulary=config["vocab_size"],
            context=config["max_position_embeddings"],
            windowed=is_upper_bound(config),
        )
    except KeyError as error:
        raise ModelError(
            f"{role} {name} ({kind}): its config.json does not say {error.args[0]}; choose a text-only model"
        ) from None


def _bytes_on_gpu(config: dict[str, Any], tensors: Iterable[Tensor], head: bool) -> int:
    """Bytes of the stored tensors on a GPU; `head` tells whether the output matrix is loaded.

    vLLM converts float32 weights to 16 bits, except in quantised checkpoints.
    """
    wide: set[str] = set() if "quantization_config" in config else {"F32"}
    return sum(
        size // 2 if kind in wide else size for name, kind, size in tensors if head or not name.startswith("lm_head.")
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "config.json").read_text())
    except ValueError as error:
        raise ModelError(f"{folder / 'config.json'} is not JSON ({error}); save the model again") from None


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return [folder / "model.safetensors"]
    return [folder / file for file in sorted(set(json.loads(index.read_text())["weight_map"].values()))]


def _tensors_of_folder(folder: Path, name: str) -> Iterator[Tensor]:
    """The tensors in a folder, read from the headers of its files."""
    for path in _files(folder):
        try:
            with path.open("rb") as file:
                (size,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(size, _MAX_HEADER_BYTES)))
        except OSError:
            raise ModelError(f"{name} has no {path.name}; give a model whose weights are safetensors") from None
        except (struct.error, ValueError):
            raise ModelError(f"{path} is not a safetensors file; save or fetch the model again") from None
        header.pop("__metadata__", None)
        for tensor, entry in header.items():
            start, end = entry["data_offsets"]
            yield tensor, entry["dtype"], end - start


def _cached_folder(name: str) -> Path | None:
    """The folder of a hub model whose weights are all on this machine; None if they are not."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if all(path.is_file() for path in _files(folder)) else None


def _from_hub(name: str, role: Role) -> tuple[dict[str, Any], list[Tensor]]:
    from huggingface_hub import get_safetensors_metadata, hf_hub_download  # pyright: ignore[reportUnknownVariableType]
    from huggingface_hub.errors import HFValidationError, NotASafetensorsRepoError, SafetensorsParsingError

    try:
        config = json.loads(Path(hf_hub_download(name, "config.json")).read_text())
        found = get_safetensors_metadata(name)
    except (NotASafetensorsRepoError, SafetensorsParsingError):
        raise ModelError(f"{role} {name} has no safetensors weights on the hub; choose a model that has") from None
    except (OSError, HFValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{role} {name}: neither a folder nor reachable on the hub ({reason})") from None
    return config, [
        (tensor, info.dtype, info.data_offsets[1] - info.data_offsets[0])
        for file in found.files_metadata.values()
        for tensor, info in file.tensors.items()
    ]


def parse_gpus(text: str) -> list[Gpu]:
    """The GPUs that a text describes: the gigabytes (10^9 bytes) of each, separated by commas; `auto` asks nvidia-smi.

    Raises:
        InputError: there is no GPU, or a size is not from 1 to 10,000.
    """
    return (
        _detected_gpus()
        if text == "auto"
        else [Gpu(str(gpu_idx), int(float(size) * GB)) for gpu_idx, size in _sizes(text)]
    )


def _sizes(text: str) -> Iterator[tuple[int, str]]:
    for gpu_idx, size in enumerate(text.split(",")):
        try:
            fits = 1 <= float(size) <= 10_000
        except ValueError:
            fits = False
        if not fits:
            raise InputError(
                f"gpus {text}: {size!r} is not the size of a GPU; give the gigabytes of each, such as 80,80, or auto"
            )
        yield gpu_idx, size


def _detected_gpus() -> list[Gpu]:
    """The GPUs that nvidia-smi reports and CUDA_VISIBLE_DEVICES does not hide."""
    query = ["nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        printed = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        raise InputError("nvidia-smi reports no GPU; give the gigabytes of each GPU as gpus, such as 80,80") from None
    rows = [[field.strip() for field in line.split(",")] for line in printed.splitlines()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [
        Gpu(index, int(mebibytes) << 20)
        for index, uuid, mebibytes in rows
        if visible is None or {index, uuid} & set(visible.split(","))
    ]
    if not gpus:
        raise InputError("CUDA_VISIBLE_DEVICES hides all GPUs; unset it, or give the gigabytes of each GPU as gpus")
    return gpus
