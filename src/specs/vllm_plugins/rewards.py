"""Rewards of prefixes, read at their last token.

A PRM's reward at a separator depends on what stands before it only, so it can be asked for one
prefix at a time. vLLM's own class of Qwen2.5-Math-PRM pools at every separator of a prompt and for
that runs the whole prompt anew, always; this one pools at the last token, and vLLM then reads
what it can from its prefix cache. (`...ForTokenClassification` models can do so without a plugin.)

    vllm serve Qwen/Qwen2.5-Math-PRM-7B --runner pooling --pooler-config '{"task": "classify"}' \
        --hf-overrides '{"architectures": ["Qwen2ForLastStepReward"]}'
"""

from __future__ import annotations


def register() -> None:
    """Make the architecture known to vLLM, which imports the class when a model asks for it."""
    from vllm import ModelRegistry  # pyright: ignore[reportMissingImports]

    ModelRegistry.register_model("Qwen2ForLastStepReward", "specs.vllm_plugins.qwen:Qwen2ForLastStepReward")
