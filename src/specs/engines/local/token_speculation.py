"""Tokens that a draft proposes for another model's candidates, and the passes that check them
(`specs.methods.speculation`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from specs.core.keys import Key, TokenUniforms
from specs.core.ledger import Ids
from specs.engines.local.backend import finite
from specs.engines.local.logits import Rows
from specs.engines.local.tree import Tree
from specs.engines.protocol import Guesses, Watch
from specs.engines.steps import Stepper
from specs.engines.text import Text
from specs.types import Law

IN_VAIN = 64
"""Nodes that no candidate will come to, from which on they are dropped while a step is being written."""


class Drafted:
    """What the draft would write in the place of candidates that another model is writing.

    It draws with the candidates' own uniforms, from its law. What it computes for this is forgotten when
    the step is done, and counted as speculated.
    """

    def __init__(
        self,
        tree: Tree,
        text: Text,
        sequences: Sequence[Ids],
        n: int,
        law: Law,
        keys: Sequence[Key],
        tokens: int,
        watch: Watch,
    ) -> None:
        """`n` candidates of each sequence (prompt and trace), each sequence with its key; `tokens` at a time."""
        self._tree, self._text, self._sequences, self._n = tree, text, sequences, n
        self._law, self._watch = law, watch
        readable = all(max(sequence, default=0) < tree.backend.vocabulary for sequence in sequences)
        self._tokens = tokens if readable else 0
        self._uniforms = TokenUniforms(keys, n)
        self._roots: list[int] = []
        self.begun = False

    def after(self, drawn: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
        """Guesses for the tokens after those that each candidate has drawn, up to the last but one of its step.

        Candidates that the draft has no room for get nothing; neither do those with a token that it does not have.
        """
        tree, law = self._tree, self._law
        guesses: dict[int, list[int]] = {k: [] for k in drawn}
        drawn = {k: path for k, path in drawn.items() if max(path, default=0) < tree.backend.vocabulary}
        if not drawn:
            return guesses
        room = tree.backend.context - max(map(len, self._sequences)) - max(map(len, drawn.values()))
        tokens = min(self._tokens, room)
        if tokens < 1:
            return guesses
        if not self.begun:
            self._begin()
        live = list(drawn)
        steppers = {k: Stepper(law.steps, self._text, law.steps.max_tokens) for k in live}
        for k, path in drawn.items():
            for token in path:
                steppers[k].push(token)
        roots = [self._roots[k // self._n] for k in live]
        if tree.size - self._first > IN_VAIN:
            tree.prune(_reached(tree, self._first, roots, list(drawn.values())))
        nodes = tree.run(roots, list(drawn.values()))
        with finite(tree.backend, "logits"):
            for token_idx in range(tokens):
                distinct = list(dict.fromkeys(nodes))
                row = {node: row for row, node in enumerate(distinct)}
                uniforms = [self._uniforms.at(len(drawn[k]) + token_idx)[k] for k in live]
                rows, row_of = tree.outputs(distinct), [row[node] for node in nodes]
                found, _ = tree.backend.outputs.sample(rows, law.temperature, law.top_p, row_of, uniforms)
                ends = [steppers[k].push(token) for k, token in zip(live, found, strict=True)]
                still = [i for i, end in enumerate(ends) if end is None]
                for i in still:
                    guesses[live[i]].append(found[i])
                if not still or token_idx + 1 == tokens:
                    break
                self._watch()
                nodes = tree.run([nodes[i] for i in still], [(found[i],) for i in still])
                live = [live[i] for i in still]
        return guesses

    def close(self) -> None:
        """Forget all but the sequences."""
        if self.begun:
            self._tree.counts.speculated += self._tree.counts.processed - self._before
            self._tree.settle(*self._sequences, behind=False)

    def _begin(self) -> None:
        """Compute the sequences: each one's last node, its output known."""
        self.begun = True
        tails = self._tree.settle(*self._sequences, outputs=True, behind=False)
        _, nodes, row_of = self._tree.tips(tails)
        self._roots = [nodes[row] for row in row_of]
        self._before, self._first = self._tree.counts.processed, self._tree.size


class Checked:
    """Passes of the writer over the tokens that its candidates have drawn and the guesses after them."""

    def __init__(self, tree: Tree, guesses: Guesses, roots: Sequence[int], drawn: Sequence[Sequence[int]]) -> None:
        """`drawn`: the tokens that each candidate has drawn after its node in `roots`; the lists grow meanwhile."""
        self._tree, self._guesses, self._roots, self._drawn = tree, guesses, roots, drawn
        self._first = tree.size

    def grow(self, waiting: Mapping[tuple[int, int], Sequence[int]]) -> tuple[Rows, list[int]]:
        """Outputs after each (node, token) that candidates wait at, and its node, in one pass with all guesses."""
        tree = self._tree
        branches = list(waiting)
        if tree.size - self._first > IN_VAIN:
            number = self._prune()
            branches = [(number[node], token) for node, token in branches]
        guesses = self._guesses.after({k: self._drawn[k] for group in waiting.values() for k in group})
        together = zip(branches, waiting.values(), strict=True)
        ways = [
            (node, (token, *self._readable(guesses[k]))[: tree.room(node)])
            for (node, token), group in together
            for k in group
        ]
        tree.run([node for node, _ in ways], [path for _, path in ways])
        nodes = [node for branch in branches if (node := tree.known(*branch)) is not None]
        return tree.outputs(nodes), nodes

    def close(self) -> None:
        """The step is written: what no candidate has come to was speculated."""
        self._guesses.close()
        self._prune()

    def _readable(self, guesses: Sequence[int]) -> Iterable[int]:
        """The guesses before the first token that the writer does not have."""
        return takewhile(self._tree.backend.vocabulary.__gt__, guesses)

    def _prune(self) -> dict[int, int]:
        reached = _reached(self._tree, self._first, self._roots, self._drawn)
        self._tree.counts.speculated += self._tree.size - len(reached)
        return self._tree.prune(reached)


def _reached(tree: Tree, first: int, roots: Sequence[int], paths: Sequence[Sequence[int]]) -> list[int]:
    """The nodes along the paths behind `roots`, last tokens apart, and the `first` ones."""
    walks = (tree.walk(root, path[:-1]) for root, path in zip(roots, paths, strict=True))
    return sorted({*range(first), *(node for walk in walks for node in walk)})
