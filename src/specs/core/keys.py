"""Counter-based randomness: every draw is a pure function of its key.

A draw's key is (seed, purpose, hash of the prefix's token ids, candidate, token), so overlap, batching and
order change no draw. The generator is numpy's Philox (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", 2011).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from specs.types import DRAWS, Role

_BLOCK_CANDIDATES = 16
_BLOCK_TOKENS = 64
_LEAST = 2.0**-54
"""Stands for a uniform of 0, whose Gumbel variable would be -inf."""


@dataclass(frozen=True, slots=True)
class Key:
    """A 128-bit key; `fold` derives independent keys from it.

    Attributes:
        digest: the key's 16 bytes.
        draws: the rule by which a method draws (`specs.types.DRAWS`).
    """

    digest: bytes
    draws: int = DRAWS

    @classmethod
    def from_seed(cls, seed: int, draws: int = DRAWS) -> Key:
        return cls(blake2b(f"seed:{seed}".encode(), digest_size=16).digest(), draws)

    @classmethod
    def for_method(cls, seed: int, prompts: Mapping[Role, Sequence[int]], draws: int = DRAWS) -> Key:
        """The key of a method's own draws for one problem, the same for a solve and its replays.

        Args:
            prompts: prompt ids by role. The target's are used, or the draft's if there is no target.
            draws: number of the rule that the draws follow (`specs.types.DRAWS`).

        Raises:
            ValueError: an unknown rule, or neither a target's nor a draft's prompt.
        """
        if draws not in range(1, DRAWS + 1):
            raise ValueError(f"draws follow rule {draws}, but this version knows 1 to {DRAWS}; use a newer one")
        key = cls.from_seed(seed, draws)
        if draws == 1:
            return key
        writers = [role for role in (Role.TARGET, Role.DRAFT) if role in prompts]
        if not writers:
            raise ValueError("a method's draws need the prompt of a target or a draft; give its token ids")
        return key.fold("method", prompts[writers[0]])

    def fold(self, purpose: str, prefix_ids: Sequence[int] = (), attempt: int = 0) -> Key:
        """The key for one purpose (`draft`, `select`, ...) after the tokens `prefix_ids`.

        Args:
            attempt: distinguishes draws for the same purpose and prefix, such as a rewrite.
        """
        return Key(_folded(self.digest, purpose, tuple(prefix_ids), attempt), self.draws)

    def uniform(self) -> float:
        """One uniform in [0, 1)."""
        return float(self._generator(0, 0).random())

    def gumbels(self, n: int) -> NDArray[np.float64]:
        """[n] independent standard Gumbel variables, all finite; the first ones are the same for every `n`."""
        uniforms = self._generator(0, 0).random(n)
        return -np.log(-np.log(np.maximum(uniforms, _LEAST)))

    def integer(self) -> int:
        """One integer in [0, 2^62), for engines that need a seed for their own draws."""
        return int.from_bytes(self.digest[:8], "little") >> 2

    def uniforms(self, candidates: int, token_block: int) -> NDArray[np.float64]:
        """[candidates, 64] uniforms in [0, 1) for tokens `64 * token_block ...` of each candidate.

        A candidate's row is the same for every number of candidates.
        """
        blocks = [
            self._generator(block, token_block + 1).random((_BLOCK_CANDIDATES, _BLOCK_TOKENS))
            for block in range(-(-candidates // _BLOCK_CANDIDATES))
        ]
        return np.concatenate(blocks)[:candidates]

    def _generator(self, block: int, token_block: int) -> np.random.Generator:
        words = np.frombuffer(self.digest, np.uint64)
        # The low counter words advance with the stream; the high ones name the block.
        counter = np.array([0, 0, token_block, block], np.uint64)
        return np.random.Generator(np.random.Philox(key=words, counter=counter))


@lru_cache(maxsize=16)  # a method asks several times a step, and the prefixes of long traces take long to hash
def _folded(digest: bytes, purpose: str, prefix_ids: tuple[int, ...], attempt: int) -> bytes:
    content = blake2b(digest, digest_size=16)
    content.update(f"{purpose}:{attempt}:{len(prefix_ids)}:".encode())
    content.update(array("q", prefix_ids))
    return content.digest()


class TokenUniforms:
    """The uniforms of `n` candidates for each of several keys, read token by token."""

    def __init__(self, keys: Sequence[Key], n: int) -> None:
        self._keys, self._n = keys, n
        self._blocks: dict[int, list[list[float]]] = {}

    def at(self, token_idx: int) -> list[float]:
        """[n * keys] uniforms for token `token_idx`: the n candidates of the first key, then of the next."""
        block_idx, column = divmod(token_idx, _BLOCK_TOKENS)
        if block_idx not in self._blocks:
            uniforms = [key.uniforms(self._n, block_idx) for key in self._keys]
            self._blocks[block_idx] = np.concatenate(uniforms).T.tolist()
        return self._blocks[block_idx][column]
