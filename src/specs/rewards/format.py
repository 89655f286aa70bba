"""What a PRM format is: it turns a trace into token ids, and a process reward model's outputs into rewards.

Every format lays a trace out as

    prompt(question)  content(step 1)  join  content(step 2)  join  ...  content(step k)  ask

and the model gives the reward of step k at the last token of `ask`. For most PRMs, `ask` and `join` are the same
separator token. A PRM that reads a question about the step has a longer or different `ask`. Four rules hold for all:

* Rewards are indexed by the positions of `ask`, which the caller knows because it wrote `ask`. The code searches for
  nothing in the ids (a step may spell the separator) and infers nothing from the values (a probability can underflow
  to 0).
* Formats strip steps and skip blank ones. Otherwise a trailing delimiter would make an empty last step, whose "reward"
  means nothing.
* Formats cut nothing. The caller refuses a trace that does not fit.
* PRMs here are causal, so appended tokens never change an earlier reward. Each step is tokenised alone, so it never
  changes an earlier token either, and the model computes only the new suffix.

`specs.rewards.families` has the formats. This package knows no engines: it needs a tokenizer (`Tokens`) and rows of
head outputs.
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
    """What a format needs from a tokenizer."""

    @property
    def bos(self) -> str | None:
        """Spelling of the beginning-of-text token; None if the tokenizer names none."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of text that a format writes: it may spell control tokens, and none are added."""
        ...

    def encode_plain(self, text: str, before: str = "", after: str = "") -> list[int]:
        """Ids of `before + text + after`: `text`, a question or a step, never becomes control tokens."""
        ...

    def prompt(self, question: str, system: str | None, generation: bool) -> list[int]:
        """Ids of the chat template over one system turn (None for the template's default) and one user turn.

        With `generation` the template also opens the assistant's turn.
        """
        ...

    def turns(self) -> tuple[str, str, str]:
        """What the template writes before a user's turn, between it and the answer, and after the answer."""
        ...

    def labelled(self, before: str, labels: Sequence[str]) -> tuple[list[int], list[int]]:
        """Ids of `before`, and the id of each label, which is one token after it."""
        ...

    def judgement(self, judge: Judge) -> tuple[list[int], list[int]]:
        """Ids of the question that follows a trace, up to the label, and the id of each label."""
        ...

    def spelling(self, token: int) -> str:
        """A token as people can read it."""
        ...


class PRMFormat(Protocol):
    """How one PRM reads a trace.

    Attributes:
        ask: tokens after a step at whose end the model gives its reward; at least one.
        join: tokens after a step that is not the last one.
        breaks: text that separates steps in this format, even within a step of the solve; None if only the solve's
            delimiter does.
    """

    ask: tuple[int, ...]
    join: tuple[int, ...]
    breaks: str | None

    def prompt(self, question: str) -> list[int]:
        """Ids before the first step."""
        ...

    def content(self, text: str, first: bool, continues: bool) -> list[int]:
        """Ids of one step alone; empty for a blank step.

        Args:
            text: the step, with or without its delimiter; the format drops white space at its ends.
            first: whether only the prompt precedes it.
            continues: whether the previous step was cut at its cap, so that `text` continues the same step. The
                format then keeps white space at its start.
        """
        ...

    def rewards(self, rows: Floats) -> NDArray[np.float64]:
        """Rewards [K] in [0, 1] from the model's raw outputs [K, labels] after K times `ask`."""
        ...


class PRMFamily(ABC):
    """Base class of the formats of published PRMs; each sets `ask`, `join` and `prompt`.

    A format reads: prompt, lead, first step, `ask`; join, next step, `ask`; and so on. The reward of a step is read at
    the last token of its `ask`.

    Attributes:
        name: the user's name for the format.
        architecture: how the names of the architectures end that have the head that the format reads.
        published: what the model's name must also contain, if the architecture is not enough; else empty.
        ask: tokens after a step, at the last of which the model gives its reward.
        join: tokens between a step's `ask` and the next step.
        labels: tokens for "bad" and "good", whose rows of a language model's output matrix the format reads; None for
            models with a reward head.
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
        """Ids of `ours + written` after other text: some vocabularies put a space before a text that stands alone."""
        ids, lead = self.text.encode_plain(written, "\n" + ours), self._before
        # Only byte-level vocabularies join line breaks, and they add no space.
        return ids[len(lead) :] if ids[: len(lead)] == lead else self.text.encode_plain(written, ours)

    def _single(self, spelling: str) -> int:
        ids = self.text.encode(spelling)
        if len(ids) != 1:
            raise ModelError(
                f"the PRM's tokenizer makes {len(ids)} tokens of {spelling!r}, which format {self.name} needs as one: "
                "use the tokenizer the PRM was trained with, or another prm_format"
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
    """Probability [K] of "good" from logits [K, 1] (sigmoid) or [K, 2] (softmax, class 1); NaN if both are -inf."""
    labels = rows.shape[1]
    if labels not in (1, 2):
        raise ModelError(f"the PRM has {labels} labels: a reward head has one or two")
    logits = rows.astype(np.float64)
    # A softmax over two classes is a sigmoid of their difference. logaddexp cannot overflow.
    with np.errstate(invalid="ignore"):
        margin = logits[:, 0] if labels == 1 else logits[:, 1] - logits[:, 0]
        return np.exp(-np.logaddexp(0.0, -margin))
