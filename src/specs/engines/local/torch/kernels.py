"""Matrix products and attention that are fast for few rows over a long prefix, where torch's own kernels are not.

The numbers are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "specs_grouped"

MOST_ROWS = 32
"""The most rows of a product that `FewRows` computes in its own way."""


def suited(model: Any) -> Any:
    """The model with these kernels in place of transformers' and torch's usual ones; it copies no weights."""
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(NAME)
    if model.device.type == "cpu" and model.dtype == torch.float32:
        for module in model.modules():
            if type(module) is nn.Linear:
                module.__class__ = FewRows
    return model


class FewRows(nn.Linear):
    """`x W'` as `(W x')'` for 2 to `MOST_ROWS` rows.

    On two cores this takes 0.3 to 0.8 of the time, and saves most with few rows: torch uses a kernel for many rows,
    which reads the matrix more slowly.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (its name in torch)
        rows = input.numel() // self.in_features
        if not 2 <= rows <= MOST_ROWS:
            return super().forward(input)
        turned = input.reshape(rows, self.in_features).T
        found = self.weight @ turned if self.bias is None else torch.addmm(self.bias[:, None], self.weight, turned)
        return found.T.contiguous().view(*input.shape[:-1], self.out_features)


_SETTING = Lock()
_inside = 0
_before = True


@contextmanager
def without_cudnn() -> Iterator[None]:
    """Switch cuDNN's attention off in torch, in all threads, until the last context is left.

    On recent GPUs torch prefers cuDNN, but cuDNN makes a plan for every new shape and thread. That takes tens of
    milliseconds, and every pass that scores candidates has a new shape.
    """
    global _inside, _before
    with _SETTING:
        if not _inside:
            _before = torch.backends.cuda.cudnn_sdp_enabled()
            torch.backends.cuda.enable_cudnn_sdp(False)
        _inside += 1
    try:
        yield
    finally:
        with _SETTING:
            _inside -= 1
            if not _inside:
                torch.backends.cuda.enable_cudnn_sdp(_before)


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """`sdpa_attention_forward` for query heads that share keys and values, over a mask.

    torch's kernels accept shared heads only without a mask, so transformers copies keys and values for every query
    head, in every pass, for the whole prefix. Here the queries that share a head become further rows of the same
    product, and nothing is copied.

    Args:
        query: [1, heads, new, head]; key, value: [1, fewer heads, entries, head].
        attention_mask: [1, 1, new, entries] or None.

    Returns:
        [1, new, heads, head], and no attention weights.
    """
    kv_heads, heads = key.shape[1], query.shape[1]
    special = any(others.get(name) is not None for name in ("position_bias", "softcap"))
    if attention_mask is None or attention_mask.shape[1] > 1 or heads == kv_heads or special:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    groups, new = heads // kv_heads, query.shape[2]
    rows = query.reshape(1, kv_heads, groups * new, -1)
    mask = attention_mask.repeat(1, 1, groups, 1)
    found = scaled_dot_product_attention(rows, key, value, attn_mask=mask, scale=scaling)
    return found.reshape(1, heads, new, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
