"""Rewards of prefixes, read at their last token.

A PRM's reward at a separator depends only on the text before it, so each prefix can be a request of its own.
vLLM's class of Qwen2.5-Math-PRM pools at every separator of a prompt, and therefore always recomputes the whole
prompt. The class of this plugin, `Qwen2ForLastStepReward`, pools at the last token, so that vLLM can use its prefix
cache. (`...ForTokenClassification` models do not need a plugin for that.)

    vllm serve Qwen/Qwen2.5-Math-PRM-7B --runner pooling --pooler-config '{"task": "classify"}' \
        --hf-overrides '{"architectures": ["Qwen2ForLastStepReward"]}'
"""

from __future__ import annotations


def register() -> None:
    """Register the architecture; vLLM imports the class when a model needs it."""
    from vllm import ModelRegistry  # pyright: ignore[reportMissingImports]

    ModelRegistry.register_model("Qwen2ForLastStepReward", "specs.vllm_plugins.qwen:Qwen2ForLastStepReward")
