"""Models of given sizes with random weights: they take as long as real ones, but their outputs mean nothing."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from specs.engines.local.backend import Backend
from specs.engines.local.onnx.backend import LightBackend
from specs.engines.local.onnx.graph import Shape
from specs.engines.local.onnx.weights import Weights
from specs.engines.local.torch.loading import DTYPES, device_of, require_torch, usual_dtype
from specs.errors import EngineError
from specs.types import Role

if TYPE_CHECKING:
    from specs.engines.local.torch.backend import HFBackend

Engine = Literal["light", "torch"]

LABELS = 2
"""Labels of a reward head."""


def layer_weights(shape: Shape) -> tuple[int, int]:
    """Number of weights of a layer before attention (q, k, v) and after it (output, MLP)."""
    before = shape.hidden * shape.head * (shape.heads + 2 * shape.kv_heads)
    return before, shape.hidden * (shape.head * shape.heads + 3 * shape.mlp)


@dataclass(frozen=True, slots=True)
class Size:
    """A decoder's shape and its output matrix.

    Attributes:
        outputs: rows of the output matrix: the vocabulary, or the labels of a reward head.
        tied: whether embedding and output matrix are the same.
    """

    shape: Shape
    outputs: int
    tied: bool

    @property
    def parameters(self) -> int:
        """Number of weights in all matrices."""
        one = self.shape
        tables = one.vocab * one.hidden + (0 if self.tied else self.outputs * one.hidden)
        return one.layers * sum(layer_weights(one)) + tables


Trio = dict[Role, Size]


def _llama(layers: int, hidden: int, head: int, prm: bool = False) -> Size:
    """A small Llama with the vocabulary of the bundled models."""
    heads = hidden // head
    mlp = round(hidden * 8 / 3 / 32) * 32
    shape = Shape(layers, hidden, mlp, heads, heads, head, 799, 8192, 1e-6, 10_000.0)
    return Size(shape, LABELS if prm else shape.vocab, tied=not prm)


def _qwen(layers: int, hidden: int, mlp: int, heads: int, kv_heads: int, tied: bool, prm: bool = False) -> Size:
    """A size of https://huggingface.co/Qwen/Qwen2.5-*; here all sizes have the same vocabulary."""
    shape = Shape(layers, hidden, mlp, heads, kv_heads, hidden // heads, 152_064, 32_768, 1e-6, 1e6)
    return Size(shape, LABELS if prm else shape.vocab, tied=tied and not prm)


def _trio(draft: Size, target: Size, prm: Size) -> Trio:
    return {Role.DRAFT: draft, Role.TARGET: target, Role.PRM: prm}


_HALF = (24, 896, 4864, 14, 2, True)
_ONE_AND_A_HALF = (28, 1536, 8960, 12, 2, True)
_SEVEN = (28, 3584, 18_944, 28, 4, False)

TRIOS: dict[str, Trio] = {
    "bundled": _trio(_llama(4, 128, 32), _llama(6, 320, 64), _llama(6, 192, 64, prm=True)),
    "1M, 5M, 5M": _trio(_llama(4, 128, 32), _llama(6, 256, 64), _llama(6, 256, 64, prm=True)),
    "8M, 40M, 40M": _trio(_llama(6, 320, 64), _llama(8, 640, 64), _llama(8, 640, 64, prm=True)),
    "40M, 190M, 190M": _trio(_llama(8, 640, 64), _llama(12, 1152, 64), _llama(12, 1152, 64, prm=True)),
    "Qwen2.5 0.5B, 1.5B, 1.5B": _trio(_qwen(*_HALF), _qwen(*_ONE_AND_A_HALF), _qwen(*_ONE_AND_A_HALF, prm=True)),
    "Qwen2.5 0.5B, 7B, 7B": _trio(_qwen(*_HALF), _qwen(*_SEVEN), _qwen(*_SEVEN, prm=True)),
    "Qwen2.5 1.5B, 7B, 7B": _trio(_qwen(*_ONE_AND_A_HALF), _qwen(*_SEVEN), _qwen(*_SEVEN, prm=True)),
}
"""Sizes of draft, target and PRM, by the trio's name. The last trio has the sizes of the paper's models."""


def check_engine(engine: Engine, device: str) -> None:
    """Raise `ModelError` if the engine is not installed, `InputError` if there is no such device."""
    if engine == "torch":
        require_torch("this scale")
        device_of(device)


def random_model(size: Size, engine: Engine, device: str, name: str) -> Backend:
    """A model with random weights, the same every time; `device` is used by the torch engine only."""
    return _light(size, name) if engine == "light" else _torch(size, device, name)


def _light(size: Size, name: str) -> LightBackend:
    shape, rng = size.shape, np.random.default_rng(0)

    def matrix(*dims: int) -> np.ndarray:
        return rng.standard_normal(dims, np.float32) * np.float32(dims[-1] ** -0.5)

    wide = shape.heads * shape.head
    ones = np.ones(shape.hidden, np.float32)
    arrays = {"embed": matrix(shape.vocab, shape.hidden), "norm": ones}
    for layer in range(shape.layers):
        arrays |= {
            f"{layer}.qkv": matrix(wide + 2 * shape.kv_heads * shape.head, shape.hidden),
            f"{layer}.o": matrix(shape.hidden, wide),
            f"{layer}.gate": matrix(shape.mlp, shape.hidden),
            f"{layer}.up": matrix(shape.mlp, shape.hidden),
            f"{layer}.down": matrix(shape.hidden, shape.mlp),
            f"{layer}.norm1": ones,
            f"{layer}.norm2": ones,
        }
    arrays["head"] = arrays["embed"] if size.tied else matrix(size.outputs, shape.hidden)
    return LightBackend(name, shape, Weights(arrays, size.parameters))


def _torch(size: Size, device: str, name: str) -> Backend:
    from specs.engines.local.torch.backend import HFBackend

    place = device_of(device)
    dtype = usual_dtype(place)
    kind = "prm" if size.outputs == LABELS else "lm"
    return recorded(HFBackend(name, kind, random_transformer(size, place, dtype), size.shape.context, dtype))


def recorded(backend: HFBackend) -> HFBackend:
    """The backend itself; EngineError if it runs on a GPU without recorded passes, whose times would mislead."""
    if backend.device.startswith("cuda") and backend.record is None:
        raise EngineError(f"{backend.name}: passes are not recorded on {backend.device}, so nothing is measured")
    return backend


def free(engine: Engine) -> None:
    """Free the memory of models without references."""
    gc.collect()
    if engine == "torch":
        import torch

        torch.cuda.empty_cache()


def random_transformer(size: Size, place: Any, dtype: str) -> Any:
    """A transformers model with random weights, the same every time, on the torch device `place`.

    Args:
        dtype: a key of `DTYPES`, such as "bf16".
    """
    import torch
    import transformers

    shape = size.shape
    config = transformers.Qwen2Config(
        vocab_size=shape.vocab,
        hidden_size=shape.hidden,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        rms_norm_eps=shape.epsilon,
        tie_word_embeddings=size.tied,
    )
    config.num_labels = LABELS
    reward = size.outputs == LABELS
    kind = transformers.Qwen2ForTokenClassification if reward else transformers.Qwen2ForCausalLM
    torch.manual_seed(0)
    with place:
        return kind._from_config(config, dtype=getattr(torch, DTYPES[dtype])).eval()
