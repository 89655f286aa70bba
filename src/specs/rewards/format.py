"""How a process reward model (PRM) reads a trace: from text to token ids, from head outputs to rewards.

Every format lays a trace out as

    prompt(question)  content(step 1)  join  content(step 2)  join  ...  content(step k)  ask

and the reward of step k is read at the last token of `ask`. For most PRMs `ask` and `join` are one
separator token. Where a PRM is asked in more words, `ask` is longer than what the trace goes on with,
or something else altogether. Four rules hold for all:

* Rewards are indexed by the positions of `ask`, which the caller knows because it put it there.
  Nothing is searched for in the ids (a step may spell the separator) and nothing is inferred from
  the values (a probability can underflow to 0).
* Steps are stripped, and blank ones are not asked about: a trailing delimiter would otherwise make
  an empty last step, whose "reward" scores nothing.
* Nothing is cut: a trace that does not fit is the caller's to refuse.
* A PRM here is causal, so what is appended never changes an earlier reward. Each step is
  tokenised by itself, so it never changes an earlier token either: only the new suffix has to be
  computed.

`specs.rewards.families` has the formats. The code is free of engines: it needs a tokenizer
(`Tokens`) and rows of head outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from specs.errors import ModelError
from specs.types import Judge

Floats = NDArray[np.float32]


class Tokens(Protocol):
    """What a format needs of a tokenizer."""

    @property
    def bos(self) -> str | None:
        """Spelling of the beginning-of-text token; None where the tokenizer names none."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of what a format writes: control tokens that it spells are recognised, none are added."""
        ...

    def encode_plain(self, text: str, before: str = "", after: str = "") -> list[int]:
        """Ids of a question or a step, between texts of the format: `text` itself has no control tokens."""
        ...

    def prompt(self, question: str, system: str | None, generation: bool) -> list[int]:
        """Ids of the chat template over one system turn (None: the template's own way) and one user turn.

        With `generation` the assistant's turn is opened as for writing.
        """
        ...

    def turns(self) -> tuple[str, str, str]:
        """What the chat template writes before a user's turn, from there to the assistant's, and on to the next."""
        ...

    def labelled(self, before: str, labels: Sequence[str]) -> tuple[list[int], list[int]]:
        """Ids of `before`, and the id of each label, one token behind it."""
        ...

    def judgement(self, judge: Judge) -> tuple[list[int], list[int]]:
        """Ids that follow a trace to ask about it, up to the label; and the id of each label."""
        ...

    def spelling(self, token: int) -> str:
        """A token for people."""
        ...


class PRMFormat(Protocol):
    """One PRM's way to read a trace.

    Attributes:
        ask: what follows a step to read its reward, at least one token.
        join: what follows a step that others follow.
        breaks: text that parts steps in this format, within ours too; None for our delimiter alone.
    """

    ask: tuple[int, ...]
    join: tuple[int, ...]
    breaks: str | None

    def prompt(self, question: str) -> list[int]:
        """Ids before the first step."""
        ...

    def content(self, text: str, first: bool, continues: bool) -> list[int]:
        """Ids of one step alone; empty for a blank step, which is not asked about.

        Args:
            text: the step, its delimiter included or not: white space at its ends is dropped.
            first: whether nothing but the prompt stands before it.
            continues: whether the step before was cut at its cap, so that `text` goes on within
                the same step: white space at its start then belongs to it and is kept.
        """
        ...

    def rewards(self, rows: Floats) -> NDArray[np.float64]:
        """Rewards [K] in [0, 1] of the model's raw outputs [K, labels] after K queries."""
        ...


class PRMFamily(ABC):
    """What the formats of published PRMs have in common; each sets `ask`, `join` and `prompt`.

    Attributes:
        name: what the user calls the format.
        architecture: how the architecture ends whose head it reads.
        published: part of the names of its models, where the architecture does not tell; empty for none.
        labels: tokens for "bad" and "good", whose rows of a language model's output matrix are
            read; None where the model has a reward head.
        lead: text between the prompt and the first step.
    """

    name: str
    architecture: str = "ForCausalLM"
    published: str = ""
    ask: tuple[int, ...]
    join: tuple[int, ...]
    breaks: str | None = None
    labels: tuple[int, int] | None = None
    lead: str = ""

    def __init__(self, text: Tokens) -> None:
        self.text = text
        self._before = text.encode("\n")

    @abstractmethod
    def prompt(self, question: str) -> list[int]: ...

    def content(self, text: str, first: bool, continues: bool) -> list[int]:
        stripped = text.rstrip() if continues else text.strip()
        return self._behind(self.lead if first else "", stripped) if stripped else []

    def rewards(self, rows: Floats) -> NDArray[np.float64]:
        return probability(rows)

    def _behind(self, ours: str, written: str = "") -> list[int]:
        """Ids of our text and a step's, behind other text: some vocabularies put a space before what stands alone."""
        ids, lead = self.text.encode_plain(written, "\n" + ours), self._before
        # Only a vocabulary of whole bytes joins line breaks, and there nothing is put before.
        return ids[len(lead) :] if ids[: len(lead)] == lead else self.text.encode_plain(written, ours)

    def _single(self, spelling: str) -> int:
        ids = self.text.encode(spelling)
        if len(ids) != 1:
            raise ModelError(
                f"the PRM's tokenizer makes {len(ids)} tokens of {spelling!r}, which format {self.name} needs as one: "
                "use the tokenizer the PRM was trained with, or another --prm-format"
            )
        return ids[0]

    def _bos(self) -> str:
        if self.text.bos is None:
            raise ModelError(
                f"the PRM's tokenizer names no bos_token, with which format {self.name} begins: "
                "set it in tokenizer_config.json"
            )
        return self.text.bos


def probability(rows: Floats) -> NDArray[np.float64]:
    """Probability [K] of "good" from logits [K, 1] (sigmoid) or [K, 2] (softmax, class 1); NaN where both are -inf."""
    labels = rows.shape[1]
    if labels not in (1, 2):
        raise ModelError(f"the PRM has {labels} labels: a reward head has one or two")
    logits = rows.astype(np.float64)
    # A softmax over two classes is a sigmoid of their difference. logaddexp cannot overflow.
    with np.errstate(invalid="ignore"):
        margin = logits[:, 0] if labels == 1 else logits[:, 1] - logits[:, 0]
        return np.exp(-np.logaddexp(0.0, -margin))
