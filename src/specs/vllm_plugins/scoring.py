"""Prompt log-probabilities from a given token on, read through the prefix cache, under the request's law.

vLLM computes a whole prompt anew when its log-probabilities are asked for. With this plugin a request
that says `extra_args: {"specs_score_from": P}` and `skip_reading_prefix_cache: false` takes as much of
the tokens before P - 1 from the cache as whole blocks allow, so that every row from P on is computed;
rows before that are zero. On servers with `--logprobs-mode processed_logprobs` the rows follow the
request's temperature and top-p, like those of sampled tokens do; vLLM itself leaves prompts raw.

Model runner V2 scores from a given row on without help (`prompt_logprob_start`), but not where the cache
holds that row too, nor under a law: both come from here.
"""

# pyright: reportMissingImports=false
# vLLM is there where this runs, in a server; nowhere else is it needed.
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from specs.vllm_plugins.metrics import tell

METRIC = "specs_scoring_plugin"
START = "specs_score_from"


def register() -> None:
    """Entry point; vLLM calls it once in each of its processes, or more often."""
    from vllm.triton_utils import HAS_TRITON
    from vllm.v1.core.kv_cache_manager import KVCacheManager
    from vllm.v1.outputs import LogprobsTensors
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    if hasattr(KVCacheManager.get_computed_blocks, "__wrapped__"):
        return
    KVCacheManager.get_computed_blocks = _from_start(KVCacheManager.get_computed_blocks)
    LogprobsTensors.empty_cpu = staticmethod(_zeroed(LogprobsTensors.empty_cpu))
    GPUModelRunner._get_prompt_logprobs_dict = _by_law(GPUModelRunner._get_prompt_logprobs_dict)
    if HAS_TRITON:  # or there is no V2
        from vllm.v1.worker.gpu.sample.prompt_logprob import PromptLogprobsWorker

        PromptLogprobsWorker.add_request = _remembered(PromptLogprobsWorker.add_request)
        PromptLogprobsWorker.compute_prompt_token_id_logprobs = _by_law_v2(
            PromptLogprobsWorker.compute_prompt_token_id_logprobs
        )
    tell(METRIC, "Prompt log-probabilities can be read through the prefix cache")


class _Shorter:
    """A request that looks to the prefix cache as if it had only `num_tokens` tokens."""

    def __init__(self, request: Any, num_tokens: int) -> None:
        self._request, self.num_tokens = request, num_tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


def _from_start(original: Any) -> Any:
    @wraps(original)
    def get_computed_blocks(self: Any, request: Any) -> Any:
        params = request.sampling_params
        start = ((params and params.extra_args) or {}).get(START)
        # The cache is read up to one token less than there are.
        return original(self, request if start is None else _Shorter(request, int(start)))

    return get_computed_blocks


def _zeroed(original: Any) -> Any:
    """Rows of cached tokens are never written: they would be whatever the memory held."""

    @wraps(original)
    def empty_cpu(*args: Any, **kwargs: Any) -> Any:
        tensors = original(*args, **kwargs)
        for tensor in (tensors.logprob_token_ids, tensors.logprobs, tensors.selected_token_ranks):
            tensor.zero_()
        return tensors

    return empty_cpu


def _by_law(original: Any) -> Any:
    @wraps(original)
    def _get_prompt_logprobs_dict(self: Any, hidden_states: Any, num_scheduled_tokens: Any) -> Any:
        if not self.num_prompt_logprobs or self.model_config.logprobs_mode != "processed_logprobs":
            return original(self, hidden_states, num_scheduled_tokens)
        plain = self.sampler.compute_logprobs

        def one(req_id: str, _: Any) -> Any:
            params = self.requests[req_id].sampling_params
            self.sampler.compute_logprobs = lambda logits: plain(_processed(logits, params))
            try:
                return original(self, hidden_states, num_scheduled_tokens)
            finally:
                del self.sampler.compute_logprobs

        return _one_by_one(self, "num_prompt_logprobs", one)

    return _get_prompt_logprobs_dict


def _remembered(original: Any) -> Any:
    @wraps(original)
    def add_request(self: Any, req_id: str, req_idx: int, sampling_params: Any) -> None:
        original(self, req_id, req_idx, sampling_params)
        if req_id in self.token_id_scores:
            self.token_id_scores[req_id].params = sampling_params

    return add_request


def _by_law_v2(original: Any) -> Any:
    @wraps(original)
    def compute_prompt_token_id_logprobs(self: Any, logits_fn: Any, *args: Any) -> Any:
        if self.logprobs_mode != "processed_logprobs":
            return original(self, logits_fn, *args)

        def one(_: str, scores: Any) -> Any:
            return original(self, lambda states: _processed(logits_fn(states), scores.params), *args)

        return _one_by_one(self, "token_id_scores", one)

    return compute_prompt_token_id_logprobs


def _one_by_one(owner: Any, name: str, work: Callable[[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """What `work` finds for each request that waits in a dictionary of `owner`, as if it were the only one.

    A request that `work` takes out of the dictionary no longer waits.
    """
    waiting = getattr(owner, name)
    found: dict[str, Any] = {}
    try:
        for req_id, what in list(waiting.items()):
            setattr(owner, name, {req_id: what})
            found |= work(req_id, what)
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
