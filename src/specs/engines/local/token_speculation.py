"""Token-level speculation: the draft proposes tokens of the target's candidates, and the target verifies several of
them in one pass (`specs.methods.token_speculation`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile

from specs.core.keys import Key, TokenUniforms
from specs.core.ledger import Ids
from specs.engines.local.backend import finite
from specs.engines.local.logits import Logits
from specs.engines.local.tree import TokenTree
from specs.engines.overlap import TokenProposer
from specs.engines.protocol import CheckStop
from specs.engines.steps import Stepper
from specs.types import SamplingParams

MOST_UNREACHED = 64
"""Once a step has added more nodes than this, the tree drops those that no candidate can reach any more."""


class DraftTokenProposer:
    """Proposes, for another model's candidates, the tokens that the draft would write.

    The draft samples from its own distribution, but with the uniform random numbers of the candidates, so that the two
    often agree. At the end of a step, the draft drops the positions that it computed and counts them as speculated.

    Attributes:
        used: whether it has computed anything.
    """

    def __init__(
        self,
        tree: TokenTree,
        steppers: Sequence[Callable[[], Stepper]],
        sequences: Sequence[Ids],
        keep: Sequence[Ids],
        n: int,
        sampling: SamplingParams,
        keys: Sequence[Key],
        tokens: int,
        check_stop: CheckStop,
    ) -> None:
        """Propose `tokens` tokens at a time for `n` candidates of each sequence (prompt and trace) and its key.

        `steppers` make, for each sequence, what says where its candidates end. `keep` holds sequences that nobody
        extends now: the tree keeps what it has of them.
        """
        self._tree, self._steppers, self._sequences, self._n = tree, steppers, sequences, n
        self._keep = keep
        self._law, self._check_stop = sampling, check_stop
        readable = all(max(sequence, default=0) < tree.backend.vocabulary for sequence in sequences)
        self._tokens = tokens if readable else 0
        self._uniforms = TokenUniforms(keys, n)
        self._roots: list[int] = []
        self._processed_before = self._first = 0
        self.used = False

    def propose(self, drawn: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
        """Tokens that may follow those that each candidate has drawn, without the last token of a step.

        A candidate gets none if the draft has no room for it or lacks one of its tokens.
        """
        tree, sampling = self._tree, self._law
        proposed: dict[int, list[int]] = {candidate_idx: [] for candidate_idx in drawn}
        drawn = {
            candidate_idx: path
            for candidate_idx, path in drawn.items()
            if max(path, default=0) < tree.backend.vocabulary
        }
        if not drawn:
            return proposed
        room = tree.backend.context - max(map(len, self._sequences)) - max(map(len, drawn.values()))
        tokens = min(self._tokens, room)
        if tokens < 1:
            return proposed
        if not self.used:
            self._begin()
        live = list(drawn)
        steppers = {candidate_idx: self._steppers[candidate_idx // self._n]() for candidate_idx in live}
        for candidate_idx, path in drawn.items():
            for token in path:
                steppers[candidate_idx].push(token)
        roots = [self._roots[candidate_idx // self._n] for candidate_idx in live]
        if tree.size - self._first > MOST_UNREACHED:
            tree.prune(_reached(tree, self._first, roots, list(drawn.values())))
        nodes = tree.compute_paths(roots, list(drawn.values()))
        with finite(tree.backend, "logits"):
            for token_idx in range(tokens):
                distinct = list(dict.fromkeys(nodes))
                row = {node: row for row, node in enumerate(distinct)}
                uniforms = [
                    self._uniforms.at(len(drawn[candidate_idx]) + token_idx)[candidate_idx] for candidate_idx in live
                ]
                rows, row_of = tree.logits(distinct), [row[node] for node in nodes]
                found, _ = tree.backend.logits_ops.sample(rows, sampling, row_of, uniforms)
                ends = [steppers[candidate_idx].push(token) for candidate_idx, token in zip(live, found, strict=True)]
                still = [live_idx for live_idx, end in enumerate(ends) if end is None]
                for live_idx in still:
                    proposed[live[live_idx]].append(found[live_idx])
                if not still or token_idx + 1 == tokens:
                    break
                self._check_stop()
                nodes = tree.compute_paths(
                    [nodes[live_idx] for live_idx in still], [(found[live_idx],) for live_idx in still]
                )
                live = [live[live_idx] for live_idx in still]
        return proposed

    def close(self) -> None:
        """Drop everything but the sequences and what is to be kept."""
        if self.used:
            self._tree.counts.speculated += self._tree.counts.processed - self._processed_before
            # First the proposed tokens: some of them may stand in front of equal tokens of a kept sequence.
            self._tree.prune(range(self._first))
            self._tree.rebase(*self._sequences, *self._keep, descendants=False)

    def _begin(self) -> None:
        """Compute the sequences, and keep the last node of each with its logits."""
        self.used = True
        every = self._tree.rebase(*self._sequences, *self._keep, logits=True, descendants=False)
        tails = every[: len(self._sequences)]
        _, nodes, row_of = self._tree.tip_logits(tails)
        self._roots = [nodes[row] for row in row_of]
        self._processed_before, self._first = self._tree.counts.processed, self._tree.size


class TokenVerifier:
    """Passes of the writer over the tokens that its candidates have drawn and the proposed tokens after them."""

    def __init__(
        self, tree: TokenTree, proposer: TokenProposer, roots: Sequence[int], drawn: Sequence[Sequence[int]]
    ) -> None:
        """`drawn` holds the tokens of each candidate after its node in `roots`; the caller appends to these lists."""
        self._tree, self._proposer, self._roots, self._drawn = tree, proposer, roots, drawn
        self._first = tree.size

    def grow(self, waiting: Mapping[tuple[int, int], Sequence[int]]) -> tuple[Logits, list[int]]:
        """Compute each (node, token) at which candidates wait and all proposed tokens, in one pass.

        Returns:
            The logits after each (node, token), and its node.
        """
        tree = self._tree
        branches = list(waiting)
        if tree.size - self._first > MOST_UNREACHED:
            number = self._prune()
            branches = [(number[node], token) for node, token in branches]
        candidates = (candidate_idx for group in waiting.values() for candidate_idx in group)
        proposed = self._proposer.propose({candidate_idx: self._drawn[candidate_idx] for candidate_idx in candidates})
        ways = [
            (node, (token, *self._readable(proposed[candidate_idx]))[: tree.free_context(node)])
            for (node, token), group in zip(branches, waiting.values(), strict=True)
            for candidate_idx in group
        ]
        tree.compute_paths([node for node, _ in ways], [path for _, path in ways])
        nodes = [node for branch in branches if (node := tree.known_child(*branch)) is not None]
        return tree.logits(nodes), nodes

    def close(self) -> None:
        """End the step and count the nodes that no candidate has reached as speculated."""
        self._proposer.close()
        self._prune()

    def _readable(self, proposed: Sequence[int]) -> Iterable[int]:
        """The proposed tokens before the first one that the writer lacks."""
        return takewhile(self._tree.backend.vocabulary.__gt__, proposed)

    def _prune(self) -> dict[int, int]:
        reached = _reached(self._tree, self._first, self._roots, self._drawn)
        self._tree.counts.speculated += self._tree.size - len(reached)
        return self._tree.prune(reached)


def _reached(tree: TokenTree, first: int, roots: Sequence[int], paths: Sequence[Sequence[int]]) -> list[int]:
    """The first `first` nodes, and the nodes along the paths below `roots` without the last token of each path."""
    walks = (tree.walk(root, path[:-1]) for root, path in zip(roots, paths, strict=True))
    return sorted({*range(first), *(node for walk in walks for node in walk)})
