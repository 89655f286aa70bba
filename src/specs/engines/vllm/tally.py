"""Token positions that a server has computed for a request, and those that it has read from its cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from specs.engines.vllm.answers import Field
from specs.errors import EngineError
from specs.vllm_plugins.counting import CACHED


@dataclass(frozen=True, slots=True)
class Tally:
    """Token positions of requests: those that the server computed, and those that it read from its cache."""

    processed: int
    cached: int

    @staticmethod
    def total(tallies: Iterable[Tally]) -> Tally:
        some = list(tallies)
        return Tally(sum(one.processed for one in some), sum(one.cached for one in some))


def tally_of(answer: Field, block_size: int, prompts: Sequence[Sequence[int]], n: int = 1) -> Tally:
    """The computed and the cached tokens of the prompts, each of which the server has read `n` times.

    The plugin reports all cached tokens. Without it, vLLM reports those of one sequence only, not of which one
    (--enable-prompt-tokens-details; otherwise all tokens count as computed). Of the other sequences, one may have
    computed everything. The rest then read what all of them share from the cache, in whole blocks.
    """
    usage, sequences = answer["usage"], n * len(prompts)
    details = usage.find("prompt_tokens_details")
    found = None if details is None else details.find("cached_tokens")
    tokens, cached = n * usage["prompt_tokens"].count(), 0 if found is None else found.count()
    if (exact := usage.find(CACHED)) is not None:
        cached = exact.count()
    elif sequences > 1 and block_size:
        shared = _shared(prompts)
        cached += (sequences - 2) * min(cached, shared - shared % block_size)
    if cached > tokens:
        raise EngineError(f"{answer.url} says that {cached} of {tokens} tokens were cached; see its log")
    return Tally(tokens - cached, cached)


def _shared(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts have in common, without the last token of a prompt, which is computed in any case."""
    one, other = min(map(tuple, prompts)), max(map(tuple, prompts))
    most = min(map(len, prompts)) - 1
    return next((idx for idx in range(most) if one[idx] != other[idx]), most)
