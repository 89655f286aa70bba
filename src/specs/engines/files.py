"""Reads the files in a model's folder; errors name the file and the fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from specs.errors import ModelError

_POINTER = "version https://git-lfs"


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ModelError: the file is not UTF-8, is a Git LFS pointer, or cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"cannot read {path} ({error.strerror}); fetch the model again") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    if text.startswith(_POINTER):
        raise ModelError(f"{path} is a Git LFS pointer, not the file itself; run 'git lfs pull' in its folder")
    return text


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is no file.

    Raises:
        ModelError: the file is damaged or contains something other than an object.
    """
    if not path.is_file():
        return {}
    try:
        found = json.loads(read_text(path).removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: not JSON ({error}); save or fetch it again") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds {_kind(found)}, not an object; save or fetch it again")
    return found


def architectures_of(folder: Path) -> list[str]:
    """The architectures that a folder's config.json names.

    Raises:
        ModelError: `architectures` is not a list of names.
    """
    path = folder / "config.json"
    found = read_object(path).get("architectures") or []
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ModelError(f"{path}: architectures is {_short(found)}, not a list of names; save the model again")
    return found


def end_tokens_of(folder: Path) -> set[int]:
    """The end-of-text tokens that a model's configuration or its `text_config` names.

    Raises:
        ModelError: `eos_token_id` is not a token id or a list of them.
    """
    ends: set[int] = set()
    for path in (folder / "generation_config.json", folder / "config.json"):
        config = read_object(path)
        inner = config.get("text_config")
        for file in (config, inner if isinstance(inner, dict) else {}):
            value = file.get("eos_token_id")
            ids = value if isinstance(value, list) else [] if value is None else [value]
            if not all(type(token) is int and token >= 0 for token in ids):
                raise ModelError(
                    f"{path}: eos_token_id is {_short(value)}, not a token id or a list of them; give it the id "
                    "of the end-of-text token"
                )
            ends.update(ids)
    return ends


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", type(None): "null"}
    return names.get(type(value), "a number")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
