"""Reward heads that transformers lacks, and the rows of a language model's output matrix.

The published checkpoints contain a Python file for an older transformers. This module defines their few
layers itself, under the checkpoints' tensor names, so code out of a checkpoint need not run. Each class has
the trunk as `model` and the head as `score`.

Sources: the model cards (https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B, arXiv 2501.07301;
https://huggingface.co/Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B) and, for Skywork's tensors,
https://github.com/SkyworkAI/skywork-o1-prm-inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import Qwen2Config, Qwen2Model, Qwen2PreTrainedModel


class _Qwen2Rewards(Qwen2PreTrainedModel):
    def __init__(self, config: Qwen2Config) -> None:
        super().__init__(config)
        # The checkpoints still carry the language model's output matrix.
        self._keys_to_ignore_on_load_unexpected = [r"^lm_head\."]
        self.model = Qwen2Model(config)


class Qwen2ForProcessRewardModel(_Qwen2Rewards):
    """Qwen2.5-Math-PRM: hidden states [..., hidden] to raw outputs [..., 2], class 1 = good."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__(config)
        hidden = config.hidden_size
        self.score = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))
        self.post_init()


class Qwen2ForPrmModel(_Qwen2Rewards):
    """Skywork-o1-Open-PRM: hidden states [..., hidden] to raw outputs [..., 1], the logit of good."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__(config)
        self.v_head = nn.ModuleDict({"summary": nn.Linear(config.hidden_size, 1)})
        self.post_init()

    @property
    def score(self) -> nn.Module:
        return self.v_head["summary"]


class LabelRows(nn.Linear):
    """Rows of an output matrix, in fp32: hidden states [..., hidden] to logits [..., labels]."""

    def __init__(self, matrix: Any, labels: Sequence[int]) -> None:
        super().__init__(matrix.in_features, len(labels), bias=matrix.bias is not None, device=matrix.weight.device)
        rows = list(labels)
        with torch.no_grad():
            self.weight.copy_(matrix.weight[rows])
            if matrix.bias is not None:
                self.bias.copy_(matrix.bias[rows])

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (its name in torch)
        return super().forward(input.float())
