"""`Backend`: what a model of this process must offer, which is one forward pass over a tree of tokens.

An engine makes the same call for everything (prompt, decoding of n candidates, scoring, rewards): new tokens attend to
the cached positions of their ancestors. A mask says which token sees which entry, so a fork copies nothing: candidates
share the prefix and each other's beginnings by reference. `specs.engines.local.tree` keeps the tree, a backend the
numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from specs.engines.local.logits import Logits, LogitsOps
from specs.errors import EngineError, SpecsError

if TYPE_CHECKING:
    from specs.engines.arrays import Bools, Ints


class Backend(Protocol):
    """One loaded decoder-only model.

    Attributes:
        name: the user's name for it (path or hub id).
        parameters: number of weights (a tied matrix counts once).
        context: the most positions that a sequence may have.
        vocabulary: the model reads token ids below this: its tokenizer's ids for which it has rows.
        width: entries of an output row: the tokens that it can write (at most `vocabulary`, since padding rows belong
            to no token) or the labels of a reward head.
        device: where it computes: cpu, or its library's name of the device.
        concurrent_calls: how many calls of other models can run at the same time as one of its calls.
        tolerance: the largest difference, in nats of a step's summed log-probability, between cached and from-scratch
            evaluation that counts as equal (1e-4 in fp32).
        if_not_finite: advice for the error message if its outputs are not finite.
        logits_ops: what sessions do with the rows that `forward` returns, where they are.
    """

    name: str
    parameters: int
    context: int
    vocabulary: int
    width: int
    device: str
    concurrent_calls: int
    tolerance: float
    if_not_finite: str
    logits_ops: LogitsOps

    def cache(self) -> Any:
        """A new, empty KV cache. Caches are independent; one backend serves many."""
        ...

    def forward(self, cache: Any, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Logits:
        """Compute `M` new tokens, append their keys and values to `cache`, and return output rows.

        Args:
            cache: from `cache()`; holds `S` entries, afterwards `S + M`.
            ids: [M] tokens.
            positions: [M] position of each token in its own sequence (the depth in the tree).
            visible: [M, S + M], whether a new token (row) attends to an entry (column); None for plain causal order
                (everything cached, and new tokens up to itself). Every token sees itself and no later token.
            want: [K] the new tokens whose outputs are wanted, counted from 0.

        Returns:
            [K, width]: raw logits before temperature, or the reward head's raw outputs. A device may still be
            computing them; `logits_ops` waits for the device when it copies results to memory.
        """
        ...

    def keep(self, cache: Any, length: int, moved: Ints) -> None:
        """Keep entries `0 .. length-1`, then entries `moved` [J] (each >= length, ascending), and drop the rest."""
        ...


NO_OTHER_DTYPE = "its weights are damaged, or too large for every dtype: take another checkpoint"
"""`Backend.if_not_finite` of models that compute in fp32."""


@contextmanager
def finite(backend: Backend, what: str, error: type[SpecsError] = EngineError) -> Iterator[None]:
    """Turn the FloatingPointError of unusable logits into `error`, which names the model, `what` and the fix."""
    try:
        yield
    except FloatingPointError as fault:
        raise error(f"{backend.name}: {what} are not finite ({fault}); {backend.if_not_finite}") from None


def tree_error(backend: Backend, plain: Backend) -> float:
    """The largest difference between a tree's outputs and those of its path alone, relative to the largest output.

    `backend` computes a tree of five tokens in three passes, and `plain` a path of three of them in one pass. A
    difference shows a model that reads masks, positions or caches in its own way, or a recorded pass that disturbs
    later ones: three tokens do not fill a recorded pass, and another pass follows.

    Raises:
        FloatingPointError: outputs are not finite (`specs.engines.local.logits`).
    """
    root, *ways, last = (backend.vocabulary * sixth // 6 for sixth in range(1, 6))
    tree, path = backend.cache(), plain.cache()
    branches = np.hstack([np.ones((3, 1), bool), np.eye(3, dtype=bool)])
    first = backend.forward(tree, np.array([root]), np.array([0]), None, np.array([0]))
    second = backend.forward(tree, np.array(ways), np.array([1, 1, 1]), branches, np.array([1]))
    after = np.array([[True, False, True, False, True]])
    third = backend.forward(tree, np.array([last]), np.array([2]), after, np.array([0]))
    wanted = plain.logits_ops.to_numpy(
        plain.forward(path, np.array([root, ways[1], last]), np.arange(3), None, np.arange(3))
    )
    both = backend.logits_ops.concatenate(first, second)
    found = backend.logits_ops.to_numpy(backend.logits_ops.concatenate(both, third))
    if np.array_equal(found, wanted):
        return 0.0
    possible = np.isfinite(wanted)
    if (possible != np.isfinite(found)).any():  # a token that only one of the two finds possible
        return np.inf
    return float(np.abs(found[possible] - wanted[possible]).max() / np.abs(wanted[possible]).max())
