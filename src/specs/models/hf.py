"""Hugging Face models in process: the `Backend` protocol over transformers and torch.

Needs the extra `specs-llm[torch]`; nothing here imports torch before a model is loaded.

The cache is a list of plain key and value tensors, one pair a layer, that grows along the
sequence axis; a tree of tokens lives in it side by side, and the attention mask says who sees
whom. That works for models whose whole state is such a cache. Recurrent and hybrid models fold
the past into one state, which cannot hold two branches, and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from specs.errors import EngineError, InputError, ModelError, SpecsError
from specs.models.backend import Bools, Floats, Ints, tree_error

if TYPE_CHECKING:
    import torch

Kind = Literal["lm", "prm"]

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

# Nats on the summed log-probability of a step. Kernels for one row and for many round differently.
# Over 40 tokens of random models (CPU) the sums differ by 1e-6 to 2e-5 in fp32 where logits reach 7.
# In half precision each hidden state keeps 8 (bf16) or 11 (fp16) bits, and where logits reach 20
# the sums differ by up to 0.63 and 0.13.
_TOLERANCE = {"fp32": 1e-4, "bf16": 1.0, "fp16": 0.25}

# Relative to the largest output: rounding of one short pass stays below, a wrong mask above.
_PROBE = {"fp32": 1e-4, "bf16": 0.1, "fp16": 0.02}


class HFBackend:
    """One loaded model; see `specs.models.backend.Backend` for the members.

    `forward` raises EngineError when memory runs out; the cache is then of no further use.
    """

    def __init__(self, name: str, kind: Kind, model: Any, context: int, dtype: str) -> None:
        self.name = name
        self.parameters: int = sum(weight.numel() for weight in model.parameters())
        self.context = context
        self.device = str(model.device)
        self.beside = 0  # a call takes all cores, or the device
        self.tolerance = _TOLERANCE[dtype]
        self._model = model
        self._vocabulary: int = model.get_input_embeddings().weight.shape[0]
        # A reward head costs nothing beside the trunk: let it not round.
        self._head: Any = model.score.float() if kind == "prm" else None
        *_, last = (model.get_output_embeddings() if self._head is None else self._head).parameters()
        self.width: int = last.shape[0]

    def cache(self) -> Any:
        from transformers import DynamicCache

        # Without a config every layer keeps all its entries, sliding-window layers too: a window
        # over a tree is no window over its paths. `context` keeps paths inside the window.
        return DynamicCache()

    def forward(self, cache: Any, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Floats:
        import torch

        if not 0 <= ids.min() <= ids.max() < self._vocabulary:
            raise ModelError(
                f"{self.name}: token {int(ids.max())} is outside the model's vocabulary of {self._vocabulary}: "
                "use the tokenizer that belongs to the model"
            )
        device = self._model.device
        with torch.inference_mode(), _memory(self.name, EngineError, "use fewer candidates or a shorter context"):
            rows = torch.tensor(want, device=device)
            inputs = {
                "input_ids": torch.tensor(ids, device=device)[None],
                "position_ids": torch.tensor(positions, device=device)[None],
                # A mask of four dimensions is taken as it is; None lets a fused causal kernel run.
                "attention_mask": None if visible is None else torch.tensor(visible, device=device)[None, None],
                "past_key_values": cache,
                "use_cache": True,
            }
            if self._head is None:
                # The model's own forward, because some scale or cap their logits after the head.
                output = self._model(**inputs, logits_to_keep=rows).logits[0]
            else:
                output = self._head(self._model.base_model(**inputs).last_hidden_state[0, rows].float())
            return output.float().cpu().numpy()

    def keep(self, cache: Any, length: int, moved: Ints) -> None:
        import torch

        end = length + len(moved)
        kept = None  # all of them in place already: a view will do
        if not np.array_equal(moved, np.arange(length, end)):
            kept = torch.tensor(np.concatenate([np.arange(length), moved]), device=self._model.device)
        with torch.inference_mode():
            for layer in cache.layers:
                if layer.keys is None:  # shares another layer's
                    continue
                for part in ("keys", "values"):
                    full = getattr(layer, part)
                    setattr(layer, part, full[..., :end, :] if kept is None else full.index_select(-2, kept))


def load_hf(
    name: str, kind: Kind, device: str = "auto", dtype: str = "auto", labels: Sequence[int] | None = None
) -> HFBackend:
    """Load a model and check that it can evaluate a tree.

    Args:
        name: local folder or hub id. Code that a checkpoint brings is never run.
        kind: "lm" for a causal language model; "prm" for one with a reward head, a
            `...ForTokenClassification` of one or two labels, Qwen2.5-Math-PRM or Skywork-o1-Open-PRM.
        device: cpu, cuda, cuda:N, or auto (cuda where there is one).
        dtype: fp32, bf16, fp16, or auto (bf16 on cuda, fp32 on cpu).
        labels: of a language model, the tokens whose logits are computed; None for all.

    Raises:
        InputError: no such device or dtype.
        ModelError: the extra is missing, there is no such model, it is of the wrong kind, its
            weights are incomplete, its cache cannot be forked, or memory runs out.
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
    from specs.models import heads

    model_class: Any = getattr(heads, architecture, None) or getattr(transformers, architecture, None)
    if model_class is None:
        raise ModelError(f"{name}: transformers {transformers.__version__} does not know {architecture}: upgrade it")

    memory = _memory(name, ModelError, "choose a smaller model, another device or dtype bf16")
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
        # transformers would fill them with random numbers.
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(f"{name}: the checkpoint lacks {missing}: it is no complete {architecture}")
    if kind == "prm" and not hasattr(model, "score"):
        raise ModelError(f"{name}: the head of {architecture} is not called `score`: use a model with a generic head")

    backend = HFBackend(name, kind, model, context, dtype)
    if kind == "prm" and backend.width > 2:
        raise ModelError(f"{name} tells {backend.width} labels apart: a reward head has one or two")
    _check_tree(backend, _PROBE[dtype])
    if labels is None:
        return backend
    # The model's own forward runs over the few rows, because some scale or cap their logits after the head.
    model.set_output_embeddings(heads.LabelRows(model.get_output_embeddings(), labels))
    return HFBackend(name, kind, model, context, dtype)


def require_torch(name: str) -> None:
    """Raise `ModelError` if what is called `name` cannot be had for want of the extra."""
    try:
        import_module("torch")
        import_module("transformers")
    except ImportError as error:
        raise ModelError(f"{name} needs the extra: pip install 'specs-llm[torch]' ({error.name} is missing)") from None


def usual_dtype(place: torch.device) -> str:
    """bf16 on cuda, fp32 on cpu."""
    return "bf16" if place.type == "cuda" else "fp32"


def device_of(device: str) -> torch.device:
    """What cpu, cuda, cuda:N or auto (cuda where there is one) stands for; `InputError` where it is not there."""
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
        raise ModelError(f"{name} ({architecture}) is no causal language model: {hint}")
    return architecture


def _context(name: str, config: Any, model_class: Any) -> int:
    """Most positions of a sequence for which the cached tree is exact."""
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
    # Inside its window a sliding layer is an ordinary one.
    limits += [layer.sliding_window for layer in layers if isinstance(layer, DynamicSlidingWindowLayer)]
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        # Beyond it all rotations change, those of cached keys too.
        limits.append(rope["original_max_position_embeddings"])
    known = [limit for limit in limits if limit is not None]
    if not known:
        raise ModelError(f"{name}: config.json states no max_position_embeddings: add the model's context length")
    return min(known)


def _check_tree(backend: HFBackend, tolerance: float) -> None:
    """Refuse models that read the mask, the positions or the cache in a way of their own (ALiBi, encoders)."""
    try:
        difference = tree_error(backend, backend._vocabulary)
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        raise ModelError(f"{backend.name} cannot run over a forked cache: {_line(error)}") from None
    if not difference <= tolerance:
        raise ModelError(f"{backend.name} does not follow a tree of candidates: serve it over HTTP instead")


@contextmanager
def _memory(name: str, kind: type[SpecsError], mend: str) -> Iterator[None]:
    import torch

    try:
        yield
    except RuntimeError as error:
        # The CPU's allocator has no exception class of its own.
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise kind(f"{name} does not fit into memory: {mend}") from None
        raise


@contextmanager
def _loading(name: str, mend: str) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        raise ModelError(f"{name} cannot be loaded: {mend} ({_line(error)})") from None


def _line(error: Exception) -> str:
    """First sentence of a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
