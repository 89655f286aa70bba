"""Whether the KV memory of a model follows from its config.json. Where it does not, the plan refuses to guess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
_RECURRENT = (
    "attn_layer_period",
    "attn_type_list",
    "block_types",
    "conv_L_cache",
    "full_attention_interval",
    "hybrid_override_pattern",
    "layers_block_type",
    "linear_attn_config",
    "linear_num_value_heads",
    "mamba_d_state",
    "mamba_n_heads",
    "mamba_num_heads",
    "ssm_state_size",
    "state_size",
)
"""Entries that mark recurrent and hybrid models. Some of these do not list their layers (Qwen3-Next)."""
_UNEVEN = (
    "block_configs",
    "global_head_dim",
    "index_head_dim",
    "num_global_key_value_heads",
    "swa_head_dim",
    "swa_num_key_value_heads",
    "v_head_dim",
)
"""Entries that give some layers, or values beside keys, another size, or add an index to the cache."""
_MEND = "choose another model, or start its server yourself and check it with 'specs doctor'"


def why_unknown(config: Mapping[str, Any]) -> str:
    """Why the KV bytes of a token do not follow from a config, and what to do; empty if they do.

    It also reads the text model's part of a config that describes several models.
    """
    text: dict[str, Any] = {**config, **(config.get("text_config") or {})}
    given = {key for key, value in text.items() if value is not None}
    if set(text.get("layer_types") or ()) - _ATTENTION or given & set(_RECURRENT):
        return f"has recurrent layers, whose memory does not follow from its config.json; {_MEND}"
    if "kv_lora_rank" in given:
        return f"compresses its KV (MLA), which the plan does not support; {_MEND}"
    by_layer = [key for key in ("num_key_value_heads", "head_dim") if isinstance(text.get(key), list)]
    if uneven := [key for key in _UNEVEN if key in given] + by_layer:
        return f"does not keep the same keys and values in all layers ({uneven[0]} in its config.json); {_MEND}"
    return ""


def is_upper_bound(config: Mapping[str, Any]) -> bool:
    """Whether KV takes less than the same bytes in every layer: some attend to a window, or read another layer's."""
    if config.get("num_kv_shared_layers"):
        return True
    if config.get("layer_types"):
        return set(config["layer_types"]) != {"full_attention"}
    return bool(config.get("sliding_window")) and config.get("use_sliding_window", True)
