"""What an in-process model must offer: one forward pass over a tree of tokens.

Everything that an in-process engine does (prompt, decoding of n candidates, scoring,
rewards) is the same call: new tokens attend to the cached positions that are their
ancestors. Because a mask says who sees whom, a fork copies nothing: candidates share the
prefix, and one another's beginnings, by reference. `specs.engines.local.tree` keeps the tree;
a backend keeps the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from specs.errors import EngineError, SpecsError

if TYPE_CHECKING:
    from specs.engines.arrays import Bools, Ints
from specs.engines.local.logits import Outputs, Rows


class Backend(Protocol):
    """One loaded decoder-only model.

    Attributes:
        name: what the user called it (path or hub id).
        parameters: number of weights (a tied matrix counts once).
        context: most positions that a sequence may have.
        vocabulary: the token ids that it reads are below this: its tokenizer's ids for which it has rows.
        width: entries of an output row: tokens that it can write (logits; at most `vocabulary`, since padding
            rows belong to no token) or the labels (a reward head).
        device: where it computes: cpu, or what its library calls the device.
        beside: how many calls of other models a call leaves room for at the same time.
        tolerance: largest difference, in nats on the summed log-probability of a step, between
            cached and from-scratch evaluation that counts as equal (1e-4 in fp32).
        if_not_finite: what to do if its outputs are not finite, for an error message.
        outputs: what is done with the rows that `forward` returns, where they are.
    """

    name: str
    parameters: int
    context: int
    vocabulary: int
    width: int
    device: str
    beside: int
    tolerance: float
    if_not_finite: str
    outputs: Outputs

    def cache(self) -> Any:
        """A new, empty KV cache. Caches are independent; one backend serves many."""
        ...

    def forward(self, cache: Any, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Rows:
        """Compute `M` new tokens, append their keys and values to `cache`, return output rows.

        Args:
            cache: from `cache()`; holds `S` entries, afterwards `S + M`.
            ids: [M] tokens.
            positions: [M] position of each token in its own sequence (the depth in the tree).
            visible: [M, S + M], whether new token (row) attends to entry (column); None for
                plain causal order (everything cached, and new tokens up to itself). Every token
                sees itself and none that comes after it.
            want: [K] rows of the new tokens whose output is wanted.

        Returns:
            [K, width]: raw logits before temperature, or the reward head's raw outputs. A device may
            still be computing them; whoever brings something of them to memory (`outputs`) waits for it.
        """
        ...

    def keep(self, cache: Any, length: int, moved: Ints) -> None:
        """Keep entries `0 .. length-1`, then entries `moved` [J] (each >= length, ascending), drop the rest."""
        ...


NO_OTHER_DTYPE = "its weights are damaged, or too large for every dtype: take another checkpoint"
"""`Backend.if_not_finite` of models that compute in fp32."""


@contextmanager
def finite(backend: Backend, what: str, error: type[SpecsError] = EngineError) -> Iterator[None]:
    """Turn the error of unusable logits into `error`, with the model, `what` and the fix."""
    try:
        yield
    except FloatingPointError as fault:
        raise error(f"{backend.name}: {what} are not finite ({fault}); {backend.if_not_finite}") from None


def tree_error(backend: Backend, plain: Backend) -> float:
    """How far a tree of five tokens is from its paths, relative to the largest output.

    Finds models that read masks, positions or caches in a way of their own, and passes that leave something
    behind: three tokens leave room in a recorded pass, and one comes after them. `plain` computes the paths.

    Raises:
        FloatingPointError: outputs are not finite (`specs.engines.local.logits`).
    """
    root, *ways, last = (backend.vocabulary * k // 6 for k in range(1, 6))
    tree, path = backend.cache(), plain.cache()
    branches = np.hstack([np.ones((3, 1), bool), np.eye(3, dtype=bool)])
    first = backend.forward(tree, np.array([root]), np.array([0]), None, np.array([0]))
    second = backend.forward(tree, np.array(ways), np.array([1, 1, 1]), branches, np.array([1]))
    after = np.array([[True, False, True, False, True]])
    third = backend.forward(tree, np.array([last]), np.array([2]), after, np.array([0]))
    wanted = plain.outputs.numbers(
        plain.forward(path, np.array([root, ways[1], last]), np.arange(3), None, np.arange(3))
    )
    both = backend.outputs.concatenate(first, second)
    found = backend.outputs.numbers(backend.outputs.concatenate(both, third))
    if np.array_equal(found, wanted):
        return 0.0
    possible = np.isfinite(wanted)
    if (possible != np.isfinite(found)).any():  # a token that only one of the two finds possible
        return np.inf
    return float(np.abs(found[possible] - wanted[possible]).max() / np.abs(wanted[possible]).max())
