"""Gives padding rows of a model's vocabulary probability 0.

Models round up the number of rows of their output matrix (Qwen2.5 has 151,936 or 152,064 for a tokenizer of
151,665 tokens). vLLM samples from all rows and includes all of them in log-probabilities. This plugin sets the logits
of ids that the tokenizer does not have to minus infinity. (A model that uses such ids for something else, such as
sound, needs a server without this plugin: VLLM_PLUGINS names the plugins to load.)
"""

# pyright: reportMissingImports=false
# vLLM is installed only in servers, where this runs.
from __future__ import annotations

import math
from functools import wraps
from typing import Any

from specs.vllm_plugins.metrics import announce

CUTS = "specs_padding_plugin"


def register() -> None:
    """Entry point, which vLLM calls at least once in each of its processes."""
    from vllm.model_executor.layers.logits_processor import LogitsProcessor

    if hasattr(LogitsProcessor.forward, "__wrapped__"):
        return
    LogitsProcessor.__init__ = _sized(LogitsProcessor.__init__)
    LogitsProcessor.forward = _cut(LogitsProcessor.forward)
    announce(CUTS, "Rows that pad the vocabulary have no probability")


def _sized(original: Any) -> Any:
    @wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.specs_tokens = _tokens()

    return init


def _tokens() -> int | None:
    """Number of token ids of the tokenizer; None if the server has no tokenizer."""
    from vllm.config import get_current_vllm_config
    from vllm.tokenizers import cached_tokenizer_from_config

    tokenizer = cached_tokenizer_from_config(get_current_vllm_config().model_config)
    return None if tokenizer is None else tokenizer.max_token_id + 1


def _cut(original: Any) -> Any:
    @wraps(original)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        logits = original(self, *args, **kwargs)
        if logits is not None and not kwargs.get("skip_gather"):
            # With LoRA, another processor wraps this one.
            tokens = getattr(self, "base_layer", self).specs_tokens
            if tokens is not None:
                logits[..., tokens:] = -math.inf
        return logits

    return forward
