"""Prompt log-probabilities from a given token on, with the prefix cache and under the request's sampling law.

vLLM recomputes a whole prompt if a request asks for its log-probabilities. With this plugin, a request to
/v1/completions with `vllm_xargs: {"specs_score_from": P}` reads the tokens before P - 1 of each of its prompts from the
cache, as far as whole blocks allow. The server computes every row from P on, and returns these rows only. With
`--logprobs-mode processed_logprobs` the rows follow the request's temperature, min-p, top-k and top-p, as those of
sampled tokens do; vLLM itself leaves the rows of prompts raw.

All of this holds on both of vLLM's model runners, V1 and V2.

Older clients send one sequence a request to /inference/v1/generate, with `skip_reading_prefix_cache: false`. They get
all rows, of which those before P are zero (V1), or ask for rows themselves (`prompt_logprob_start` of V2).
"""

# pyright: reportMissingImports=false
# vLLM is installed only in servers, where this runs.
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import pairwise
from typing import Any

from specs.vllm_plugins.counting import count_cached_tokens
from specs.vllm_plugins.metrics import announce

METRIC = "specs_scoring_plugin"
LISTS = "specs_scoring_plugin_lists"
FILTERS = "specs_scoring_plugin_filters"
START = "specs_score_from"


def register() -> None:
    """Entry point, which vLLM calls at least once in each of its processes."""
    from vllm.triton_utils import HAS_TRITON
    from vllm.v1.core.kv_cache_manager import KVCacheManager
    from vllm.v1.outputs import LogprobsTensors
    from vllm.v1.request import Request
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    if hasattr(KVCacheManager.get_computed_blocks, "__wrapped__"):
        return
    Request.get_skip_reading_prefix_cache = _unless_started(Request.get_skip_reading_prefix_cache)
    KVCacheManager.get_computed_blocks = _before_start(KVCacheManager.get_computed_blocks)
    LogprobsTensors.empty_cpu = staticmethod(_zeroed(LogprobsTensors.empty_cpu))
    GPUModelRunner._get_prompt_logprobs_dict = _scored(GPUModelRunner._get_prompt_logprobs_dict)
    if HAS_TRITON:  # otherwise there is no model runner V2
        from vllm.v1.worker.gpu.sample.prompt_logprob import PromptLogprobsWorker

        PromptLogprobsWorker.add_request = _remembered(PromptLogprobsWorker.add_request)
        PromptLogprobsWorker.remove_request = _forgotten(PromptLogprobsWorker.remove_request)
        PromptLogprobsWorker.compute_prompt_logprobs = _scored_v2(PromptLogprobsWorker.compute_prompt_logprobs)
        PromptLogprobsWorker.compute_prompt_token_id_logprobs = _under_law_v2(
            PromptLogprobsWorker.compute_prompt_token_id_logprobs
        )
    count_cached_tokens()
    announce(METRIC, "Prompt log-probabilities can be read through the prefix cache")
    announce(LISTS, "One request reads those of several prompts")
    announce(FILTERS, "They follow top-k and min-p, too")


def _start(params: Any) -> int | None:
    """The first token that a request wants scored; None if it is a request of another kind."""
    found = ((params and params.extra_args) or {}).get(START)
    return None if found is None else int(found)


# The cache -----------------------------------------------------------------------------


def _unless_started(original: Any) -> Any:
    @wraps(original)
    def get_skip_reading_prefix_cache(self: Any) -> bool:
        return original(self) and _start(self.sampling_params) is None

    return get_skip_reading_prefix_cache


class _ShortenedRequest:
    """A request that appears to have only `num_tokens` tokens, for the prefix cache."""

    def __init__(self, request: Any, num_tokens: int) -> None:
        self._request, self.num_tokens = request, num_tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


def _before_start(original: Any) -> Any:
    @wraps(original)
    def get_computed_blocks(self: Any, request: Any) -> Any:
        start = _start(request.sampling_params)
        # vLLM reads at most all but the last token from the cache.
        return original(self, request if start is None else _ShortenedRequest(request, start))

    return get_computed_blocks


# Rows ----------------------------------------------------------------------------------


def _zeroed(original: Any) -> Any:
    """Zero the rows of cached tokens, which V1 never writes and which would otherwise hold arbitrary memory."""

    @wraps(original)
    def empty_cpu(*args: Any, **kwargs: Any) -> Any:
        tensors = original(*args, **kwargs)
        for tensor in (tensors.logprob_token_ids, tensors.logprobs, tensors.selected_token_ranks):
            tensor.zero_()
        return tensors

    return empty_cpu


def _scored(original: Any) -> Any:
    """Model runner V1: rows under the law of their request, from its start on."""

    @wraps(original)
    def _get_prompt_logprobs_dict(self: Any, hidden_states: Any, num_scheduled_tokens: Any) -> Any:
        if not self.num_prompt_logprobs:
            return original(self, hidden_states, num_scheduled_tokens)
        plain = self.sampler.compute_logprobs

        def score_request(req_id: str, _: Any) -> Any:
            params = self.requests[req_id].sampling_params
            if self.model_config.logprobs_mode == "processed_logprobs":
                self.sampler.compute_logprobs = lambda logits: plain(_processed(logits, params))
            try:
                found = original(self, hidden_states, num_scheduled_tokens)
            finally:
                vars(self.sampler).pop("compute_logprobs", None)
            tokens = len(self.requests[req_id].prompt_token_ids)
            return {name: _from_start(rows, params, tokens) for name, rows in found.items()}

        return _for_each_request(self, "num_prompt_logprobs", score_request)

    return _get_prompt_logprobs_dict


def _from_start(rows: Any, params: Any, tokens: int) -> Any:
    """The rows from a request's start on; `rows` end with that of the last of the prompt's `tokens`."""
    start = _start(params)
    if start is None or rows is None or not params.skip_reading_prefix_cache:
        return rows
    first = max(len(rows.logprobs) - (tokens - start), 0)
    return type(rows)(*(None if part is None else part[first:] for part in rows))


def _remembered(original: Any) -> Any:
    @wraps(original)
    def add_request(self: Any, req_id: str, req_idx: int, sampling_params: Any) -> None:
        original(self, req_id, req_idx, sampling_params)
        if sampling_params.prompt_logprobs is not None or sampling_params.prompt_logprob_token_ids is not None:
            vars(self).setdefault("specs_params", {})[req_id] = sampling_params

    return add_request


def _forgotten(original: Any) -> Any:
    @wraps(original)
    def remove_request(self: Any, req_id: str) -> None:
        original(self, req_id)
        vars(self).get("specs_params", {}).pop(req_id, None)

    return remove_request


def _scored_v2(original: Any) -> Any:
    """Model runner V2, which computes the rows of all requests together: as `_scored`."""

    @wraps(original)
    def compute_prompt_logprobs(
        self: Any, logits_fn: Any, hidden_states: Any, batch: Any, all_ids: Any, computed: Any, prompt_lens: Any
    ) -> Any:
        params_of = vars(self).get("specs_params", {})
        if params_of and self.logprobs_mode == "processed_logprobs":
            laws = [params_of.get(req_id) for req_id in batch.req_ids]
            logits_fn = _by_request(logits_fn, laws, batch.query_start_loc_np.tolist())
        found = original(self, logits_fn, hidden_states, batch, all_ids, computed, prompt_lens)
        place = {req_id: int(idx) for req_id, idx in zip(batch.req_ids, batch.idx_mapping_np, strict=False)}
        return {
            req_id: _from_start(rows, params_of.get(req_id), int(prompt_lens[place[req_id]]))
            for req_id, rows in found.items()
        }

    return compute_prompt_logprobs


def _under_law_v2(original: Any) -> Any:
    """Rows that requests name themselves, on model runner V2."""

    @wraps(original)
    def compute_prompt_token_id_logprobs(self: Any, logits_fn: Any, *args: Any) -> Any:
        if self.logprobs_mode != "processed_logprobs":
            return original(self, logits_fn, *args)

        def score_request(req_id: str, _: Any) -> Any:
            params = vars(self)["specs_params"][req_id]
            return original(self, lambda states: _processed(logits_fn(states), params), *args)

        return _for_each_request(self, "token_id_scores", score_request)

    return compute_prompt_token_id_logprobs


def _by_request(logits_fn: Any, laws: Sequence[Any], bounds: Sequence[int]) -> Callable[[Any], Any]:
    """`logits_fn` for consecutive parts of a batch, whose rows `bounds[i]` to `bounds[i + 1]` follow law `i`."""
    import torch

    done = 0

    def logits_of(states: Any) -> Any:
        nonlocal done
        first, done = done, done + len(states)
        logits = logits_fn(states).to(torch.float32)
        for law, (begin, end) in zip(laws, pairwise(bounds), strict=False):  # `bounds` may be padded
            rows = slice(max(begin - first, 0), max(min(end, done) - first, 0))
            if law is not None and rows.start < rows.stop:
                logits[rows] = _processed(logits[rows], law)
        return logits

    return logits_of


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
    """Logits [rows, V] under a request's temperature and filters; greedy requests stay raw, as in vLLM's sampler."""
    import torch
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

    if params.temperature < 1e-5:
        return logits
    logits = logits.to(torch.float32) / params.temperature
    if params.min_p > 0:
        least = logits.amax(-1, keepdim=True) + math.log(params.min_p)
        logits = logits.masked_fill(logits < least, -math.inf)
    rows, device, top_k, top_p = len(logits), logits.device, None, None
    if 0 < params.top_k < logits.shape[-1]:
        top_k = torch.full((rows,), params.top_k, dtype=torch.int32, device=device)
    if params.top_p < 1:
        top_p = torch.full((rows,), params.top_p, device=device)
    return apply_top_k_top_p(logits, top_k, top_p)
