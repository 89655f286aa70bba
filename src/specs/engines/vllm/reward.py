"""Process reward models on servers, and their sessions in one solve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from specs.core.ledger import Ids, Query
from specs.engines.arrays import Floats
from specs.engines.inputs import RewardInputs, check_size, checked_prompt
from specs.engines.protocol import CheckStop, TokenCounts
from specs.engines.vllm.in_flight import InFlightRequests
from specs.engines.vllm.replicas import Replicas
from specs.engines.vllm.server import Server
from specs.engines.vllm.tally import Tally
from specs.errors import EngineError
from specs.rewards.format import PRMFamily


@dataclass(frozen=True)
class RemoteReward:
    """A process reward model on a server.

    Attributes:
        prm_format: how the model reads a trace.
        why: how the format was chosen.
        parameters: None, because a server does not say.
    """

    replicas: Replicas
    prm_format: PRMFamily
    why: str
    parameters: int | None = None

    @property
    def name(self) -> str:
        return self.replicas.name

    def prompt(self, question: str) -> tuple[int, ...]:
        facts = self.replicas.facts
        check_size(self.name, facts.context, question)
        return checked_prompt(self.prm_format.prompt(question), self.name, facts.context, facts.vocabulary)

    def open(self, prompt_ids: tuple[int, ...], check_stop: CheckStop) -> RemoteRewardSession:
        return RemoteRewardSession(self.replicas, self.prm_format, prompt_ids, check_stop)


class RemoteRewardSession(RewardInputs):
    """A process reward model on a server in one solve: `specs.engines.protocol.RewardSession`."""

    def __init__(
        self, replicas: Replicas, prm_format: PRMFamily, prompt_ids: tuple[int, ...], check_stop: CheckStop
    ) -> None:
        super().__init__(replicas.name, prm_format, prompt_ids)
        self._server, self._labels = replicas.next(), prm_format.labels
        self.counts = TokenCounts(prompt=len(prompt_ids))
        self._requests = InFlightRequests(self.counts, check_stop)

    @property
    def overlap(self) -> None:
        """None: a server rewards steps, not prompts."""
        return None

    def head_outputs(self, query: Query) -> Floats:
        """Log-probabilities in place of logits: a format turns both into the same rewards."""
        whole = [(*self.prompt, *prefix, *path) for prefix, paths in query for path in paths]
        rows = self._requests.answers(whole, self._rows)
        if len(labels := {len(row) for row in rows}) > 1:
            raise EngineError(f"{self._name} gives rewards of {min(labels)} and of {max(labels)} labels; see its log")
        return np.array(rows, np.float32)

    async def _rows(self, sequences: Sequence[Ids]) -> tuple[list[list[float]], Tally]:
        if self._labels is not None:
            return await self._server.send(partial(Server.labelled, prompts=sequences, labels=self._labels))
        found, tally = await self._server.send(partial(Server.pooled, sequences=sequences))
        return [_log_odds(shares) if len(shares) == 1 else _logs(shares) for shares in found], tally


def _logs(shares: Sequence[float]) -> list[float]:
    with np.errstate(divide="ignore"):
        return np.log(shares).tolist()


def _log_odds(shares: Sequence[float]) -> list[float]:
    """The logit of one label, of which a server gives the probability."""
    with np.errstate(divide="ignore"):
        return (np.log(shares) - np.log1p(np.negative(shares))).tolist()
