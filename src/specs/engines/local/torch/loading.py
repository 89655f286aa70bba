"""Loads Hugging Face models, and refuses those that cannot evaluate a tree of tokens.

Nothing here imports torch before it loads a model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from threading import Lock
from typing import TYPE_CHECKING, Any

from specs.engines.local.backend import finite, tree_error
from specs.engines.text import checked_ids
from specs.errors import InputError, ModelError, install_command

if TYPE_CHECKING:
    import torch

    from specs.engines.local.torch.backend import HFBackend, Kind

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

_SMALLER = "choose a smaller model, another device or dtype bf16"

# The largest accepted `tree_error` by dtype: the rounding of one short pass stays below it, a wrong mask above it.
_PROBE = {"fp32": 1e-4, "bf16": 0.1, "fp16": 0.02}

# Held while transformers' settings, which all threads share, differ from the user's.
_SETTINGS = Lock()


def load_hf(
    name: str,
    kind: Kind,
    device: str = "auto",
    dtype: str = "auto",
    labels: Sequence[int] | None = None,
    vocabulary: int | None = None,
) -> HFBackend:
    """Load a model and check that it can evaluate a tree.

    Args:
        name: local folder or hub id. Code in a checkpoint never runs.
        kind: "lm" for a causal language model; "prm" for one with a reward head, a
            `...ForTokenClassification` of one or two labels, Qwen2.5-Math-PRM or Skywork-o1-Open-PRM.
        device: cpu, cuda, cuda:N, or auto (cuda if there is one).
        dtype: fp32, bf16, fp16, or auto (bf16 on cuda, fp32 on cpu).
        labels: the tokens of a language model whose logits to compute; None for all.
        vocabulary: size of the tokenizer's vocabulary; the backend cuts rows beyond it as padding. None for no cut.

    Raises:
        InputError: no such device or dtype.
        ModelError: the extra is missing, there is no such model, it is of the wrong kind, its weights are incomplete,
            its cache cannot be forked, its outputs are not finite, or memory runs out.
    """
    require_torch(name)
    import torch
    import transformers

    place = device_of(device)
    if dtype == "auto":
        dtype = usual_dtype(place)
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is none of {', '.join(DTYPES)}, auto")

    architecture = _architecture(name, kind)
    from specs.engines.local.torch import heads
    from specs.engines.local.torch.backend import within_memory

    model_class: Any = getattr(heads, architecture, None) or getattr(transformers, architecture, None)
    if model_class is None:
        raise ModelError(f"{name}: transformers {transformers.__version__} does not know {architecture}: upgrade it")

    memory = within_memory(name, ModelError, _SMALLER)
    with _loading(name, "its checkpoint is damaged or transformers cannot run it this way"), memory:
        config = model_class.config_class.from_pretrained(name)
        context = _context(name, config, model_class)
        model, report = model_class.from_pretrained(
            name,
            config=config,
            dtype=getattr(torch, DTYPES[dtype]),
            attn_implementation="sdpa",
            output_loading_info=True,
        )
        model = model.to(place).eval()
    if report["missing_keys"]:
        # transformers fills them with random numbers.
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(f"{name}: the checkpoint lacks {missing}: it is not a complete {architecture}")
    if kind == "prm" and not hasattr(model, "score"):
        raise ModelError(f"{name}: the head of {architecture} is not called `score`: use a model with a generic head")

    if labels is not None:
        checked_ids(labels, name, model.get_output_embeddings().weight.shape[0])
        # The model's own forward runs over the few rows, because some models scale or cap their logits after the head.
        model.set_output_embeddings(heads.LabelRows(model.get_output_embeddings(), labels))
    backend = _opened(name, kind, model, context, dtype, vocabulary)
    if kind == "prm" and backend.width > 2:
        raise ModelError(f"{name} has {backend.width} labels: a reward head has one or two")
    return backend


def require_torch(name: str) -> None:
    """Raise `ModelError` if the model `name` cannot run because the extra is missing."""
    try:
        import_module("torch")
        import_module("transformers")
    except ImportError as error:
        raise ModelError(f"{name} needs torch and transformers ({_line(error)}): {install_command('torch')}") from None


def usual_dtype(place: torch.device) -> str:
    """bf16 on cuda, fp32 on cpu."""
    return "bf16" if place.type == "cuda" else "fp32"


def device_of(device: str) -> torch.device:
    """The device that cpu, cuda, cuda:N or auto (cuda if there is one) names; raises `InputError` if it is missing."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise InputError(f"device {device!r} is none of cpu, cuda, cuda:N, auto")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {device!r}: torch sees {torch.cuda.device_count()} such devices; use cpu or auto")
    return torch.device(device)


def _architecture(name: str, kind: Kind) -> str:
    """The class that config.json names, checked against the role."""
    from transformers import PreTrainedConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise ModelError(f"{name} is not a model folder: it has no config.json")
    with _loading(name, "give a model folder, or a hub id that is reachable or cached"):
        raw, _ = PreTrainedConfig.get_config_dict(name)
    named = raw.get("architectures") or []
    if len(named) != 1:
        raise ModelError(
            f"{name}: config.json names {named or 'no architecture'}: it must name the one it was saved from"
        )
    architecture: str = named[0]
    rewards = architecture.endswith(("ForTokenClassification", "ForProcessRewardModel", "ForPrmModel"))
    if kind == "prm" and not rewards:
        raise ModelError(
            f"{name} ({architecture}) has no reward head: use a ...ForTokenClassification model, "
            "Qwen2.5-Math-PRM or Skywork-o1-Open-PRM as PRM"
        )
    if kind == "lm" and architecture not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values():
        hint = "it can only be the PRM" if rewards else "use a ...ForCausalLM model"
        raise ModelError(f"{name} ({architecture}) is not a causal language model: {hint}")
    return architecture


def _context(name: str, config: Any, model_class: Any) -> int:
    """The most positions of a sequence for which the cached tree is exact."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    config = config.get_text_config(decoder=True)
    layers = DynamicCache(config=config).layers
    forkable = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    if model_class._is_stateful or not forkable:
        raise ModelError(
            f"{name} ({model_class.__name__}) keeps no cache that can be forked: serve it over HTTP instead"
        )
    limits = [getattr(config, "max_position_embeddings", None)]
    # Within its window a sliding layer is an ordinary one.
    limits += [layer.sliding_window for layer in layers if isinstance(layer, DynamicSlidingWindowLayer)]
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        # Beyond this length all rotations change, even those of cached keys.
        limits.append(rope["original_max_position_embeddings"])
    known = [limit for limit in limits if limit is not None]
    if not known:
        raise ModelError(f"{name}: config.json states no max_position_embeddings: add the model's context length")
    return min(known)


def _opened(name: str, kind: Kind, model: Any, context: int, dtype: str, vocabulary: int | None) -> HFBackend:
    """The backend of a loaded model.

    Raises:
        ModelError: the model reads the mask, the positions or the cache in its own way (ALiBi, encoders), its outputs
            are not finite, or memory runs out.
    """
    from specs.engines.local.torch.backend import HFBackend, within_memory

    try:
        with within_memory(name, ModelError, _SMALLER):
            backend = HFBackend(name, kind, model, context, dtype, vocabulary)
            with finite(backend, "outputs", ModelError):
                difference = tree_error(backend, backend.unrecorded())
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        raise ModelError(f"{name} cannot run over a forked cache: {_line(error)}") from None
    if not difference <= _PROBE[dtype]:
        raise ModelError(f"{name} does not follow a tree of candidates: serve it over HTTP instead")
    return backend


@contextmanager
def _quiet() -> Iterator[None]:
    """Turn off transformers' progress bars and advice, then restore the user's settings.

    Errors are still logged, and Python's warnings, which announce changes, and download progress are still shown.
    """
    from transformers.utils.logging import set_tqdm_hook

    def hidden(bar: Any, args: Any, options: Any) -> Any:
        return bar(*args, **{**options, "disable": True})

    log = logging.getLogger("transformers")
    with _SETTINGS:
        level, hook = log.level, set_tqdm_hook(hidden)
        log.setLevel(max(level, logging.ERROR))
        try:
            yield
        finally:
            log.setLevel(level)
            set_tqdm_hook(hook)


@contextmanager
def _loading(name: str, mend: str) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        with _quiet():
            yield
    except (OSError, ValueError, ImportError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        raise ModelError(f"{name} cannot be loaded: {mend} ({_line(error)})") from None


def _line(error: Exception) -> str:
    """First sentence of a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
