"""Qwen2.5-Math-PRM, pooled at the last token."""

from __future__ import annotations

from typing import Any

from vllm.model_executor.layers.pooler import DispatchPooler  # pyright: ignore[reportMissingImports]
from vllm.model_executor.models.interfaces_base import default_pooling_type  # pyright: ignore[reportMissingImports]
from vllm.model_executor.models.qwen2_rm import Qwen2ForProcessRewardModel  # pyright: ignore[reportMissingImports]


@default_pooling_type(seq_pooling_type="LAST", tok_pooling_type="ALL")
class Qwen2ForLastStepReward(Qwen2ForProcessRewardModel):
    """The same weights; `classify` gives softmax over the two labels at the last token, label 1 = good."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.pooler = DispatchPooler.for_seq_cls(vllm_config.model_config.pooler_config)
