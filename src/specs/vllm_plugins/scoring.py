"""Prompt log-probabilities from a given token on, with the prefix cache and under the request's sampling law.

vLLM recomputes a whole prompt if a request asks for its log-probabilities. With this plugin, a request with
`extra_args: {"specs_score_from": P}` and `skip_reading_prefix_cache: false` reads the tokens before P - 1 from the
cache, as far as whole blocks allow. The server then computes every row from P on; earlier rows are zero. With
`--logprobs-mode processed_logprobs` the rows follow the request's temperature and top-p, as those of sampled tokens
do; vLLM itself leaves the rows of prompts raw.

Model runner V2 can score from a given row on (`prompt_logprob_start`), but neither if the cache holds that row as well
nor under a sampling law. This plugin makes both possible.
"""

# pyright: reportMissingImports=false
# vLLM is installed only in servers, where this runs.
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from specs.vllm_plugins.metrics import announce

METRIC = "specs_scoring_plugin"
START = "specs_score_from"


def register() -> None:
    """Entry point, which vLLM calls at least once in each of its processes."""
    from vllm.triton_utils import HAS_TRITON
    from vllm.v1.core.kv_cache_manager import KVCacheManager
    from vllm.v1.outputs import LogprobsTensors
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    if hasattr(KVCacheManager.get_computed_blocks, "__wrapped__"):
        return
    KVCacheManager.get_computed_blocks = _from_start(KVCacheManager.get_computed_blocks)
    LogprobsTensors.empty_cpu = staticmethod(_zeroed(LogprobsTensors.empty_cpu))
    GPUModelRunner._get_prompt_logprobs_dict = _under_law(GPUModelRunner._get_prompt_logprobs_dict)
    if HAS_TRITON:  # otherwise there is no model runner V2
        from vllm.v1.worker.gpu.sample.prompt_logprob import PromptLogprobsWorker

        PromptLogprobsWorker.add_request = _remembered(PromptLogprobsWorker.add_request)
        PromptLogprobsWorker.compute_prompt_token_id_logprobs = _under_law_v2(
            PromptLogprobsWorker.compute_prompt_token_id_logprobs
        )
    announce(METRIC, "Prompt log-probabilities can be read through the prefix cache")


class _ShortenedRequest:
    """A request that appears to have only `num_tokens` tokens, for the prefix cache."""

    def __init__(self, request: Any, num_tokens: int) -> None:
        self._request, self.num_tokens = request, num_tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


def _from_start(original: Any) -> Any:
    @wraps(original)
    def get_computed_blocks(self: Any, request: Any) -> Any:
        params = request.sampling_params
        start = ((params and params.extra_args) or {}).get(START)
        # vLLM reads at most all but the last token from the cache.
        return original(self, request if start is None else _ShortenedRequest(request, int(start)))

    return get_computed_blocks


def _zeroed(original: Any) -> Any:
    """Zero the rows of cached tokens, which vLLM never writes and which would otherwise hold arbitrary memory."""

    @wraps(original)
    def empty_cpu(*args: Any, **kwargs: Any) -> Any:
        tensors = original(*args, **kwargs)
        for tensor in (tensors.logprob_token_ids, tensors.logprobs, tensors.selected_token_ranks):
            tensor.zero_()
        return tensors

    return empty_cpu


def _under_law(original: Any) -> Any:
    @wraps(original)
    def _get_prompt_logprobs_dict(self: Any, hidden_states: Any, num_scheduled_tokens: Any) -> Any:
        if not self.num_prompt_logprobs or self.model_config.logprobs_mode != "processed_logprobs":
            return original(self, hidden_states, num_scheduled_tokens)
        plain = self.sampler.compute_logprobs

        def score_request(req_id: str, _: Any) -> Any:
            params = self.requests[req_id].sampling_params
            self.sampler.compute_logprobs = lambda logits: plain(_processed(logits, params))
            try:
                return original(self, hidden_states, num_scheduled_tokens)
            finally:
                del self.sampler.compute_logprobs

        return _for_each_request(self, "num_prompt_logprobs", score_request)

    return _get_prompt_logprobs_dict


def _remembered(original: Any) -> Any:
    @wraps(original)
    def add_request(self: Any, req_id: str, req_idx: int, sampling_params: Any) -> None:
        original(self, req_id, req_idx, sampling_params)
        if req_id in self.token_id_scores:
            self.token_id_scores[req_id].params = sampling_params

    return add_request


def _under_law_v2(original: Any) -> Any:
    @wraps(original)
    def compute_prompt_token_id_logprobs(self: Any, logits_fn: Any, *args: Any) -> Any:
        if self.logprobs_mode != "processed_logprobs":
            return original(self, logits_fn, *args)

        def score_request(_: str, scores: Any) -> Any:
            return original(self, lambda states: _processed(logits_fn(states), scores.params), *args)

        return _for_each_request(self, "token_id_scores", score_request)

    return compute_prompt_token_id_logprobs


def _for_each_request(owner: Any, name: str, work: Callable[[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """Call `work` for each request in the dictionary `owner.name`, with only that request in it; merge the results.

    A request that `work` removes from the dictionary stays removed.
    """
    waiting = getattr(owner, name)
    found: dict[str, Any] = {}
    try:
        for req_id, entry in list(waiting.items()):
            setattr(owner, name, {req_id: entry})
            found |= work(req_id, entry)
            if not getattr(owner, name):
                del waiting[req_id]
    finally:
        setattr(owner, name, waiting)
    return found


def _processed(logits: Any, params: Any) -> Any:
    """Logits [rows, V] under a request's temperature and top-p; greedy requests stay raw, as in vLLM's sampler."""
    import torch
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

    if params.temperature < 1e-5:
        return logits
    logits = logits.to(torch.float32) / params.temperature
    if params.top_p < 1:
        top_p = torch.full((len(logits),), params.top_p, device=logits.device)
        logits = apply_top_k_top_p(logits, None, top_p)
    return logits
