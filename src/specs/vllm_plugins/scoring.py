"""Log-probabilities of a suffix behind a cached prefix."""

from __future__ import annotations


def zero_cached_rows() -> None:
    """Zero the rows of prompt tokens that vLLM reads from its prefix cache.

    Model runner V1 (what CPUs use) returns prompt log-probabilities in a buffer for the whole
    prompt and fills in the tokens that it computes. Asked to read the cache all the same
    (`skip_reading_prefix_cache: false`), it leaves the rest as the allocator found it, and a
    token id of that kind ends the server or the request. Zeros are valid, and nobody reads them.
    """
    from vllm.v1.outputs import LogprobsTensors  # pyright: ignore[reportMissingImports]

    allocate = LogprobsTensors.empty_cpu

    def zeros(num_positions: int, num_tokens_per_position: int) -> LogprobsTensors:
        tensors = allocate(num_positions, num_tokens_per_position)
        tensors.logprob_token_ids.zero_()
        tensors.logprobs.zero_()
        tensors.selected_token_ranks.zero_()
        return tensors

    LogprobsTensors.empty_cpu = staticmethod(zeros)
