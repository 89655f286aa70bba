"""How a process reward model (PRM) reads a trace: from text to token ids, from head outputs to rewards.

Every format lays a trace out as

    prompt(question)  content(step 1)  separator  content(step 2)  separator  ...

and the reward of a step is read at the separator that closes it. Four rules hold for all:

* Rewards are indexed by the separators' positions, which the caller knows because it put them
  there. Nothing is searched for in the ids (a step may spell the separator) and nothing is
  inferred from the values (a probability can underflow to 0).
* Steps are stripped, and blank ones have no separator: a trailing delimiter would otherwise make
  an empty last step, whose "reward" scores nothing.
* Nothing is cut: a trace that does not fit is the caller's to refuse.
* A PRM here is causal, so what is appended never changes an earlier reward. Each step is
  tokenised by itself, so it never changes an earlier token either: only the new suffix has to be
  computed.

The code is free of engines: it needs a tokenizer (`Tokens`) and rows of head outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from specs.errors import ModelError

Floats = NDArray[np.float32]

DELIMITER = "\n\n"


class Tokens(Protocol):
    """What a format needs of a tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Ids of `text`: special tokens that it spells are recognised, none are added."""
        ...

    def prompt(self, question: str, system: str | None, generation: bool) -> list[int]:
        """Ids of the chat template over one system turn (None: the template's own way) and one user turn.

        With `generation` the assistant's turn is opened as for writing.
        """
        ...


class RewardFormat(Protocol):
    """One PRM's way to read a trace.

    Attributes:
        separator: token id that closes a step and at which its reward is read.
    """

    separator: int

    def prompt(self, question: str) -> list[int]:
        """Ids before the first step."""
        ...

    def content(self, text: str, first: bool, continues: bool) -> list[int]:
        """Ids of one step without its separator; empty for a blank step, which gets no separator.

        Args:
            text: the step, its delimiter included or not: white space at its ends is dropped.
            first: whether it is the first step of the trace.
            continues: whether the step before was cut at its cap, so that `text` goes on within
                the same step: white space at its start then belongs to it and is kept.
        """
        ...

    def rewards(self, rows: Floats) -> NDArray[np.float64]:
        """Rewards [K] in [0, 1] of the head's raw outputs [K, labels] at K separators."""
        ...


class TokenClassification:
    """A causal language model with a token classification head of one or two labels.

    The question is the user's turn of the chat template, the steps are the assistant's, joined by
    a blank line; the reward is read at the blank line. One label is a logit of "good"; of two
    labels, class 1 is "good".

    Raises:
        ModelError: the tokenizer splits a blank line: its first tokens would belong to the step
            or to the separator depending on what follows.
    """

    def __init__(self, text: Tokens) -> None:
        self._text = text
        self.separator = _single(text, DELIMITER)

    def prompt(self, question: str) -> list[int]:
        return self._text.prompt(question, None, True)

    def content(self, text: str, first: bool, continues: bool) -> list[int]:
        return _content(self._text, text, continues)

    def rewards(self, rows: Floats) -> NDArray[np.float64]:
        return _probability(rows)


class QwenMathPRM:
    """Qwen2.5-Math-PRM-7B and -72B (https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B).

    The card's recipe renders the whole conversation at once: a fixed system turn, the question as
    the user's turn, and an assistant's turn of the steps, each followed by `<extra_0>`. Here the
    assistant's turn is opened by hand and left open, so that steps can be appended. `<extra_0>` is
    a special token, at which tokenisation is cut, so the ids equal those of the recipe up to the
    last `<extra_0>`. The reward is the probability of class 1 of two.

    Raises:
        ModelError: the tokenizer lacks `<extra_0>`.
    """

    SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."
    SEPARATOR = "<extra_0>"
    OPENING = "<|im_start|>assistant\n"

    def __init__(self, text: Tokens) -> None:
        self._text = text
        self.separator = _single(text, self.SEPARATOR)
        self._opening = text.encode(self.OPENING)

    def prompt(self, question: str) -> list[int]:
        return self._text.prompt(question, self.SYSTEM, False) + self._opening

    def content(self, text: str, first: bool, continues: bool) -> list[int]:
        return _content(self._text, text, continues)

    def rewards(self, rows: Floats) -> NDArray[np.float64]:
        return _probability(rows)


def format_for(architectures: Sequence[str], text: Tokens) -> RewardFormat:
    """The format of a PRM, chosen by `architectures` of its config.json.

    Raises:
        ModelError: no format is known for these architectures, or the tokenizer does not fit it.
    """
    for architecture in architectures:
        if architecture == "Qwen2ForProcessRewardModel":
            return QwenMathPRM(text)
        if architecture.endswith("ForTokenClassification"):
            return TokenClassification(text)
    raise ModelError(
        f"no reward format is known for {', '.join(architectures) or 'a model without architectures'}: "
        "use a ...ForTokenClassification model or Qwen2.5-Math-PRM as PRM"
    )


def _single(text: Tokens, separator: str) -> int:
    ids = text.encode(separator)
    if len(ids) != 1:
        raise ModelError(
            f"the PRM's tokenizer makes {len(ids)} tokens of the separator {separator!r}: "
            "use the tokenizer the PRM was trained with, where it is one token"
        )
    return ids[0]


def _content(tokens: Tokens, text: str, continues: bool) -> list[int]:
    stripped = text.rstrip() if continues else text.strip()
    return tokens.encode(stripped) if stripped else []


def _probability(rows: Floats) -> NDArray[np.float64]:
    """Probability [K] of "good" from logits [K, 1] (sigmoid) or [K, 2] (softmax, class 1)."""
    labels = rows.shape[1]
    if labels not in (1, 2):
        raise ModelError(f"the PRM has {labels} labels: a reward head has one or two")
    logits = rows.astype(np.float64)
    # A softmax over two classes is a sigmoid of their difference. logaddexp cannot overflow.
    margin = logits[:, 0] if labels == 1 else logits[:, 1] - logits[:, 0]
    return np.exp(-np.logaddexp(0.0, -margin))
