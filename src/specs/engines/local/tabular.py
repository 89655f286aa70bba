"""Exact small models: for the laws of the tests, for theory, and for trying a method by hand.

A tabular model is any function from the tokens so far to a row of logits (for a reward model, to a reward), so one can
compute every probability by hand. It runs on the same tree and sessions as neural models; only its forward pass is a
look-up.

    a, b, stop, end = 0, 1, 2, 3
    text = TabularText(["a", "b", "\\n\\n", ""], end_id=end)
    q = TabularPolicy("q", text, lambda ids: np.log([0.4, 0.3, 0.2, 0.1]))
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specs.engines.arrays import Bools, Floats, Ints
from specs.engines.local.logits import NUMPY_LOGITS_OPS, LogitsOps
from specs.engines.local.session import LocalPolicySession, LocalRewardSession
from specs.engines.protocol import CheckStop
from specs.types import NO_CONTEXT, Capability, Chat, Judge, Phase, Thinking

Table = Callable[[tuple[int, ...]], ArrayLike]
"""Tokens after the prompt -> [V] logits (-inf allowed), or a single reward."""


@dataclass
class TabularText:
    """A vocabulary that is a list of pieces; each token adds its piece to the text.

    Encoding takes the longest piece that fits. The prompt is always empty, so tables see only the tokens of the answer,
    and before it those of the thinking if there is any.
    """

    pieces: Sequence[str]
    end_id: int
    thinking: Thinking | None = None

    def __post_init__(self) -> None:
        self.fingerprint = hashlib.sha256(repr((list(self.pieces), self.end_id)).encode()).hexdigest()[:16]
        self.size = len(self.pieces)
        self.end_ids = frozenset({self.end_id})
        self._bytes = [piece.encode() for piece in self.pieces]

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        while text:
            fits = [token for token, piece in enumerate(self.pieces) if piece and text.startswith(piece)]
            if not fits:
                raise ValueError(f"no piece begins {text[:20]!r}")
            ids.append(max(fits, key=lambda token: len(self.pieces[token])))
            text = text[len(self.pieces[ids[-1]]) :]
        return ids

    def encode_plain(self, text: str, before: str = "", after: str = "") -> list[int]:
        return self.encode(before + text + after)

    def piece(self, token: int) -> bytes:
        return self._bytes[token]

    def prompt(
        self, question: str, system: str | None = None, generation: bool = True, chat: Chat = NO_CONTEXT
    ) -> list[int]:
        return [self.end_id]

    def judgement(self, judge: Judge, phase: Phase = Phase.ANSWER) -> tuple[list[int], list[int]]:
        """The question about a trace is one end-of-text token, after which the table gives the label's logits.

        Inside the thinking it is two of them.
        """
        asked = [self.end_id] * (2 if phase is Phase.THINKING else 1)
        return asked, [self.pieces.index(label) for label in judge.labels]


@dataclass
class TabularBackend:
    """`Backend` by look-up. The prompt is the one token at position 0."""

    name: str
    table: Table
    vocabulary: int
    width: int
    context: int = 4096
    parameters: int = 0
    device: str = "cpu"
    concurrent_calls: int = 0
    tolerance: float = 0.0
    if_not_finite: str = "correct its table"
    logits_ops: LogitsOps = NUMPY_LOGITS_OPS

    @dataclass
    class Cache:
        ids: list[int] = field(default_factory=list[int])
        sequences: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
        """Tokens of each entry's own sequence, itself included."""

    def cache(self) -> Cache:
        return self.Cache()

    def forward(self, cache: Cache, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Floats:
        start, total = len(cache.ids), len(cache.ids) + len(ids)
        cache.ids.extend(ids.tolist())
        for row in range(len(ids)):
            sees = np.arange(total) <= start + row if visible is None else visible[row]
            path = tuple(cache.ids[entry] for entry in np.flatnonzero(sees).tolist())
            assert len(path) == positions[row] + 1, "a token's position is the number of tokens before it"
            cache.sequences.append(path)
        wanted: list[int] = want.tolist()
        rows = [np.atleast_1d(np.asarray(self.table(cache.sequences[start + row][1:]), np.float64)) for row in wanted]
        return np.array(rows).reshape(len(rows), self.width).astype(np.float32)

    def keep(self, cache: Cache, length: int, moved: Ints) -> None:
        kept: list[int] = moved.tolist()
        cache.ids[length:] = [cache.ids[entry] for entry in kept]
        cache.sequences[length:] = [cache.sequences[entry] for entry in kept]


class TabularPolicy:
    """A language model whose next token follows `softmax(table(tokens))`."""

    raw = False
    in_process = True

    def __init__(self, name: str, text: TabularText, table: Table) -> None:
        self.name, self.text, self.parameters = name, text, 0
        self.fingerprint, self.thinking = text.fingerprint, text.thinking
        self.lacks: Mapping[Capability, str] = {}
        self.backend = TabularBackend(name, table, text.size, text.size)

    def prompt(self, question: str, chat: Chat = NO_CONTEXT) -> tuple[int, ...]:
        return tuple(self.text.prompt(question, chat=chat))

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.text.encode(text))

    def open(
        self, prompt_ids: tuple[int, ...], fingerprints: frozenset[str], check_stop: CheckStop
    ) -> LocalPolicySession:
        return LocalPolicySession(self.backend, self.text, prompt_ids, fingerprints, check_stop)


class _StepsFormat:
    """Each step as the tokens of its text, followed by one separator that no text contains."""

    def __init__(self, text: TabularText) -> None:
        self.text = text
        self.ask = self.join = (len(text.pieces),)
        self.breaks: str | None = None

    def prompt(self, question: str) -> list[int]:
        return self.text.prompt(question)

    def content(self, text: str, first: bool, continues: bool) -> list[int]:
        return self.text.encode(text)

    def rewards(self, rows: Floats) -> NDArray[np.float64]:
        return rows[:, 0].astype(np.float64)


class TabularReward:
    """A reward model: `table` maps the steps' texts (stripped, in order) to a reward in [0, 1]."""

    def __init__(self, name: str, text: TabularText, table: Callable[[tuple[str, ...]], float]) -> None:
        self.name, self.text, self.parameters = name, text, 0
        self._prm_format = _StepsFormat(text)

        def look_up(ids: tuple[int, ...]) -> list[float]:
            steps: list[str] = []
            open_step: list[str] = []
            for token in ids:
                if (token,) == self._prm_format.join:
                    steps.append("".join(open_step))
                    open_step = []
                else:
                    open_step.append(text.pieces[token])
            return [table(tuple(steps))]

        self.backend = TabularBackend(name, look_up, text.size + 1, 1)

    def prompt(self, question: str) -> tuple[int, ...]:
        return tuple(self._prm_format.prompt(question))

    def open(self, prompt_ids: tuple[int, ...], check_stop: CheckStop) -> LocalRewardSession:
        return LocalRewardSession(self.backend, self._prm_format, prompt_ids)
