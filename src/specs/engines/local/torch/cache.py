"""Memory for the keys and values of a tree of tokens, in the shape that transformers' models read and write.

The memory is allocated once and moves only when it is full: a pass writes after the existing entries and copies
nothing. Models read either the entries so far, or (`Use.slots`) a fixed number of entries, where a mask hides the
unused ones. Then every address and every shape is the same from pass to pass, as recorded passes need
(`specs.engines.local.torch.passes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from specs.engines.local.buffers import enlarged

Shapes = list[tuple[torch.Size, torch.Size] | None]
"""Shapes of each layer's keys and values [1, heads, entries, head]; None for a layer that reads another layer's."""


def entries_of(cache: Any) -> tuple[Shapes, Tensor]:
    """The shapes that a model has written to a `DynamicCache`, and a tensor of their dtype and device."""
    layers = [(layer.keys, layer.values) for layer in cache.layers]
    shapes = [None if keys is None else (keys.shape, values.shape) for keys, values in layers]
    return shapes, next(keys for keys, _ in layers if keys is not None)


@dataclass(slots=True)
class Use:
    """Which entries of a buffer are in use; its layers share this object.

    Attributes:
        used: number of entries in use, from the first on.
        slots: [new] the entries that the current pass writes to, while each token may read the first `span` of
            the memory; None if it writes directly after `used` and reads only the entries in use.
    """

    used: int = 0
    slots: Tensor | None = None
    span: int = 0


class _Layer(DynamicLayer):
    """One layer's part of a buffer.

    Every layer keeps all its entries, even one with a sliding window: a window over a tree is not a window over its
    paths.
    """

    def __init__(self, use: Use) -> None:
        """Takes the buffer's `Use`, not the buffer, because a reference cycle would keep its memory alive."""
        super().__init__()
        self.is_initialized = True
        self._use = use

    def get_seq_length(self) -> int:
        return self._use.used

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        use, keys, values = self._use, self.keys, self.values
        assert keys is not None
        assert values is not None
        if use.slots is not None:
            keys.index_copy_(-2, use.slots, key_states)
            values.index_copy_(-2, use.slots, value_states)
            return keys[..., : use.span, :], values[..., : use.span, :]
        end = use.used + key_states.shape[-2]
        keys[..., use.used : end, :] = key_states
        values[..., use.used : end, :] = value_states
        return keys[..., :end, :], values[..., :end, :]


class KVBuffer:
    """Memory for one tree at a time.

    Attributes:
        use: which entries are in use.
        capacity: entries that fit into the memory.
        cache: the cache object for the model.
        passes: recorded passes by number of new tokens and of entries; they are valid until the memory moves.
    """

    def __init__(self, shapes: Shapes, like: Tensor, capacity: int) -> None:
        """`like` is a tensor of the keys' dtype and device."""
        self._like, self.use = like, Use()
        self._members: dict[tuple[int, int], list[tuple[_Layer, str]]] = {}
        layers: list[Any] = []
        for shape in shapes:
            layers.append(_Layer(self.use) if shape else DynamicLayer())
            for name, (_, heads, _, head) in zip(("keys", "values"), shape or (), strict=False):
                self._members.setdefault((heads, head), []).append((layers[-1], name))
        self._blocks: list[Tensor] = []
        self.cache = Cache(layers=layers)
        self.passes: dict[tuple[int, int], Any] = {}
        self.capacity = 0
        self.reserve(capacity)

    @property
    def used(self) -> int:
        """Number of entries in use, from the first on."""
        return self.use.used

    def reserve(self, entries: int) -> None:
        """Grow to at least `entries` entries if they do not fit."""
        if entries <= self.capacity:
            return
        capacity = enlarged(self.capacity, entries)
        # Zeros, because attention multiplies masked entries by 0, and NaN would remain.
        blocks = [
            self._like.new_zeros(len(members), heads, capacity, head)
            for (heads, head), members in self._members.items()
        ]
        for old, new in zip(self._blocks, blocks, strict=False):
            new[..., : self.used, :] = old[..., : self.used, :]
        for members, block in zip(self._members.values(), blocks, strict=True):
            for (layer, name), part in zip(members, block, strict=True):
                setattr(layer, name, part[None])
        self.capacity, self._blocks = capacity, blocks
        self.passes.clear()

    def keep(self, length: int, moved: Sequence[int]) -> None:
        """See `specs.engines.local.backend.Backend.keep`."""
        end = length + len(moved)
        if len(moved) and moved[-1] != end - 1:  # some are not in place yet
            index = torch.tensor(moved, device=self._like.device)
            for block in self._blocks:
                block[..., length:end, :] = block.index_select(-2, index)
        self.use.used = end

    def clear(self, everything: bool) -> None:
        """Forget all entries; with `everything` also zero the memory, for passes that hide entries by a mask alone."""
        self.use.used = 0
        for block in self._blocks if everything else ():
            block.zero_()
