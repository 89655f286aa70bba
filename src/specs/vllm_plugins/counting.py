"""Cached prompt tokens of a request with several sequences.

vLLM reports those of one sequence. With this, `usage` of /v1/completions also has `specs_cached_tokens`, the sum over
all sequences of the request, if the server reports cached tokens at all (`--enable-prompt-tokens-details`).
"""

# pyright: reportMissingImports=false
# vLLM is installed only in servers, where this runs.
from __future__ import annotations

from functools import wraps
from typing import Any

CACHED = "specs_cached_tokens"


def count_cached_tokens() -> None:
    """Change vLLM so that its answers have the sum; `specs.vllm_plugins.scoring` calls this in each process once."""
    from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion
    from vllm.v1.engine.output_processor import RequestState

    RequestState._new_completion_output = _noted(RequestState._new_completion_output)
    OpenAIServingCompletion.request_output_to_completion_response = _reported(
        OpenAIServingCompletion.request_output_to_completion_response
    )


def _noted(original: Any) -> Any:
    @wraps(original)
    def _new_completion_output(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = original(self, *args, **kwargs)
        setattr(output, CACHED, self.num_cached_tokens)
        return output

    return _new_completion_output


def _reported(original: Any) -> Any:
    @wraps(original)
    def request_output_to_completion_response(self: Any, final_res_batch: Any, *args: Any, **kwargs: Any) -> Any:
        response = original(self, final_res_batch, *args, **kwargs)
        if self.enable_prompt_tokens_details:
            counts = [getattr(output, CACHED) for result in final_res_batch for output in result.outputs]
            setattr(response.usage, CACHED, sum(counts))
        return response

    return request_output_to_completion_response
