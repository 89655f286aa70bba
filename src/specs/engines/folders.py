"""Finds the folder of a model by its name: `bundled`, a folder, a GGUF file, or a hub id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from specs.errors import ModelError

BUNDLED = Path(__file__).parent.parent / "bundled" / "models"


def is_gguf(path: Path) -> bool:
    return path.suffix == ".gguf"


def local_folder(name: str, role: str) -> Path | None:
    """The folder or GGUF file that a name stands for; None if the model may be on the hub.

    Raises:
        ModelError: there is no such folder or file, and the name is not a hub id.
    """
    if name == "bundled":
        return BUNDLED / role
    path = Path(name)
    elsewhere = path.exists() or name.startswith((".", "/", "~"))
    if is_gguf(path):
        if path.is_file():
            return path
        if elsewhere or name.count("/") < 2:
            raise ModelError(f"{role} {name}: no such file; give a GGUF file, or one on the hub (owner/name/file.gguf)")
        return None
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{role} {name} is not a model folder: it has no config.json; give a saved model")
        return path
    if elsewhere or name.count("/") != 1:
        raise ModelError(
            f"{role} {name}: no such model folder; give a folder, a GGUF file, a hub id (owner/name) or 'bundled'"
        )
    return None


def folder_of(name: str, role: str, weights: bool = True) -> Path:
    """The folder or GGUF file of a model, downloaded from the hub if it is not in the cache.

    Without `weights`, only the configuration and the tokenizer of a hub id are downloaded.

    Raises:
        ModelError: there is no such model.
    """
    if (folder := local_folder(name, role)) is not None:
        return folder
    if is_gguf(Path(name)):
        from huggingface_hub import hf_hub_download

        owner, repository, file = name.split("/", 2)
        return _fetched(lambda: hf_hub_download(f"{owner}/{repository}", file), name, role)
    from huggingface_hub import snapshot_download

    files = ["*.json", "*.jinja", "*.model", *(["*.safetensors"] if weights else [])]
    folder = _fetched(lambda: snapshot_download(name, allow_patterns=files), name, role)
    if weights and not any(folder.glob("*.safetensors")):
        # An older, pickled format; torch reads its tensors but runs none of its code.
        files.append("pytorch_model*.bin")
        folder = _fetched(lambda: snapshot_download(name, allow_patterns=files), name, role)
    return folder


def _fetched(fetch: Callable[[], str], name: str, role: str) -> Path:
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(fetch())
    except (OSError, HFValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{role} {name}: not on this machine, and the hub did not send it ({reason})") from None
