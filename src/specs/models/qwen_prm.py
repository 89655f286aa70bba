"""Qwen2.5-Math-PRM: a Qwen2 trunk and a two-layer reward head.

The published checkpoints bring their own Python file, made for an older transformers. Running
code out of a checkpoint is not needed for three layers, so they are written here, under the
checkpoint's tensor names: `model.*`, `score.0.*`, `score.2.*`.

Source: the model card (https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B) and arXiv 2501.07301.
"""

from __future__ import annotations

from torch import nn
from transformers import Qwen2Config, Qwen2Model, Qwen2PreTrainedModel


class Qwen2ForProcessRewardModel(Qwen2PreTrainedModel):
    """Trunk `model` and head `score`: hidden states [..., hidden] to raw outputs [..., 2], class 1 = good."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__(config)
        # The checkpoints still carry the language model's output matrix.
        self._keys_to_ignore_on_load_unexpected = [r"^lm_head\."]
        hidden = config.hidden_size
        self.model = Qwen2Model(config)
        self.score = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))
        self.post_init()
