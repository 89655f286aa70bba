"""Samples the candidates of one step on a token tree."""

from __future__ import annotations

from collections.abc import Sequence

from specs.core.keys import Key, TokenUniforms
from specs.engines.local.logits import Logits
from specs.engines.local.token_speculation import TokenVerifier
from specs.engines.local.tree import TokenTree
from specs.engines.overlap import TokenProposer
from specs.engines.protocol import CheckStop, Sample, Stopped
from specs.engines.steps import Stepper
from specs.engines.text import Text
from specs.types import End, Finish, SamplingParams


class StepSampler:
    """Draws `n` candidates of each trace. The caller has made the traces the trunk and tails of the tree (`rebase`).

    Candidate indices run over all traces: candidate `i` continues trace `i // n`.
    """

    def __init__(
        self,
        tree: TokenTree,
        text: Text,
        lengths: Sequence[int],
        n: int,
        sampling: SamplingParams,
        keys: Sequence[Key],
        score_law: SamplingParams | None = None,
        close_ids: Sequence[int | None] = (),
    ) -> None:
        """`lengths` holds, for each trace, the number of tokens of prompt and trace; for `close_ids` see `Stepper`.

        Raises:
            Stopped: the context is full.
        """
        caps = [min(sampling.steps.max_tokens, tree.backend.context - length) for length in lengths]
        if min(caps) < 1:
            raise Stopped(Finish.CONTEXT)
        self._tree, self._n, self._law = tree, n, sampling
        self._uniforms = TokenUniforms(keys, n)
        self._drawn: list[list[int]] = [[] for _ in range(n * len(lengths))]
        self._log_probability = [0.0] * len(self._drawn)
        self._score_law = score_law
        self._by_token: list[list[float]] = [[] for _ in self._drawn]
        pairs = list(zip(caps, close_ids or [None] * len(caps), strict=True))
        self._steppers = [Stepper(sampling.steps, text, cap, close_id) for cap, close_id in pairs for _ in range(n)]
        self._samples: dict[int, Sample] = {}

    def run(
        self, tails: Sequence[Sequence[int]], check_stop: CheckStop, proposer: TokenProposer | None
    ) -> list[Sample]:
        """The candidates, trace by trace; `tails` are the traces' tails on the tree."""
        tree, drawn = self._tree, self._drawn
        nodes: Sequence[int]
        rows, nodes, row_of_trace = tree.tip_logits(tails)
        live, row_of = list(range(len(drawn))), [row for row in row_of_trace for _ in range(self._n)]
        waiting: dict[tuple[int, int], list[int]] = {}  # candidates by (node, token), a row of the next pass each
        verifier = None
        if proposer is not None:
            verifier = TokenVerifier(tree, proposer, [nodes[row] for row in row_of], drawn)
        while True:
            known = self._draw(rows, nodes, live, row_of, waiting)
            if known:
                nodes, groups = list(known), list(known.values())
                rows = tree.logits(nodes)
            elif waiting:
                check_stop()
                groups = list(waiting.values())
                rows, nodes = tree.grow(*zip(*waiting, strict=True)) if verifier is None else verifier.grow(waiting)
                waiting = {}
            else:
                break
            live = [candidate_idx for group in groups for candidate_idx in group]
            row_of = [row for row, group in enumerate(groups) for _ in group]
        if verifier is not None:
            verifier.close()
        return [self._samples[candidate_idx] for candidate_idx in range(len(drawn))]

    def _draw(
        self,
        rows: Logits,
        nodes: Sequence[int],
        live: Sequence[int],
        row_of: Sequence[int],
        waiting: dict[tuple[int, int], list[int]],
    ) -> dict[int, list[int]]:
        """Draw one token of each live candidate from its row.

        Candidates that do not end either wait for a pass, in `waiting`, or have known logits.

        Returns:
            The candidates with known logits, by node.
        """
        drawn = self._drawn
        uniforms = [self._uniforms.at(len(drawn[candidate_idx]))[candidate_idx] for candidate_idx in live]
        tokens, gains = self._tree.backend.logits_ops.sample(rows, self._law, row_of, uniforms)
        if self._score_law is not None:
            terms = self._tree.backend.logits_ops.log_probabilities(rows, self._score_law, row_of, tokens)
            for candidate_idx, term in zip(live, terms.tolist(), strict=True):
                self._by_token[candidate_idx].append(term)
        known: dict[int, list[int]] = {}
        for candidate_idx, row, token, gain in zip(live, row_of, tokens, gains, strict=True):
            drawn[candidate_idx].append(token)
            self._log_probability[candidate_idx] += gain
            end = self._steppers[candidate_idx].push(token)
            if end is not None:
                self._end(candidate_idx, end)
            elif (node := self._tree.known_child(nodes[row], token)) is not None:
                known.setdefault(node, []).append(candidate_idx)
            else:
                waiting.setdefault((nodes[row], token), []).append(candidate_idx)
        return known

    def _end(self, candidate_idx: int, end: End) -> None:
        ids, text = tuple(self._drawn[candidate_idx]), self._steppers[candidate_idx].text
        by_token = None if self._score_law is None else tuple(self._by_token[candidate_idx])
        self._samples[candidate_idx] = Sample(ids, text, end, self._log_probability[candidate_idx], by_token)
