"""The formats of published PRMs, one class each, and the choice of a model's format.

| format | head | prompt | `ask`: after the last step | `join`: between steps |
| --- | --- | --- | --- | --- |
| qwen | reward head | chat: system, question; assistant opened | `<extra_0>` | the same |
| skywork | value head | bos, question, line break | line break | the same |
| token-classification | reward head | chat: question; assistant opened | blank line | the same |
| math-shepherd | rows + and - | bos, question, space | ` ки` | ` ки`, line break |
| rlhflow | rows + and - | chat: user opened, question, space | assistant opened | the same, +, user opened |
| judge | rows Yes and No | chat: question; assistant opened | a question in its own turn | blank line |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from specs.errors import InputError, ModelError
from specs.rewards.format import PRMFamily, Tokens
from specs.types import Judge

DELIMITER = "\n\n"


class QwenMathPRM(PRMFamily):
    """Qwen2.5-Math-PRM-7B and -72B (https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B).

    The card's recipe renders the whole conversation at once: a fixed system turn, the question as the user's turn,
    and an assistant's turn of the steps, each followed by `<extra_0>`. This class itself writes the opening of the
    assistant's turn and leaves it open, so that steps can be appended. `<extra_0>` is a special token that splits the
    text before tokenisation, so the ids equal those of the recipe up to the last `<extra_0>`. The reward is the
    probability of class 1 of two.

    Raises:
        ModelError: the tokenizer lacks `<extra_0>`.
    """

    name = "qwen"
    architecture = "Qwen2ForProcessRewardModel"
    SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."
    SEPARATOR = "<extra_0>"
    OPENING = "<|im_start|>assistant\n"

    def __init__(self, text: Tokens) -> None:
        super().__init__(text)
        self.ask = self.join = (self._single(self.SEPARATOR),)

    def prompt(self, question: str) -> list[int]:
        return self.text.prompt(question, self.SYSTEM, False) + self.text.encode(self.OPENING)


class Skywork(PRMFamily):
    """Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B (https://huggingface.co/Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B).

    The authors' code (https://github.com/SkyworkAI/skywork-o1-prm-inference, `prepare_input`) splits
    a solution at line breaks, tokenises each line alone and adds the token of a line break, where a sigmoid turns the
    value head's output into a reward. A step of the solve with several lines is several steps to this PRM; the reward
    of the last line counts.

    Raises:
        ModelError: the tokenizer splits a line break or names no bos token.
    """

    name = "skywork"
    architecture = "Qwen2ForPrmModel"
    breaks = "\n"

    def __init__(self, text: Tokens) -> None:
        super().__init__(text)
        self.ask = self.join = (self._single("\n"),)
        self._opening = self._bos()

    def prompt(self, question: str) -> list[int]:
        return self.text.encode_plain(question, self._opening, "\n")


class TokenClassification(PRMFamily):
    """A causal language model with a token classification head of one or two labels.

    The question is the user's turn of the chat template. The steps, joined by blank lines, are the assistant's turn.
    The model gives the reward at the blank line. A single label is the logit of "good"; of two labels, class 1 is
    "good".

    Raises:
        ModelError: the tokenizer splits a blank line, so the text after it would decide whether its first tokens
            belong to the step or to the separator.
    """

    name = "token-classification"
    architecture = "ForTokenClassification"

    def __init__(self, text: Tokens) -> None:
        super().__init__(text)
        self.ask = self.join = (self._single(DELIMITER),)

    def prompt(self, question: str) -> list[int]:
        return self.text.prompt(question, None, True)


class MathShepherd(PRMFamily):
    """Math-Shepherd (https://huggingface.co/peiyi9979/math-shepherd-mistral-7b-prm, arXiv 2312.08935).

    The card's recipe is one text: the question, a space, and the steps on one line each, every one followed by " ки".
    After that tag the language model writes "+" or "-", and the reward is P(+) / (P(+) + P(-)). The published steps
    begin with "Step 1: " and so on; this class adds no such words.

    Raises:
        ModelError: the tag or a label is more than one token, or the tokenizer names no bos token.
    """

    name = "math-shepherd"
    published = "math-shepherd"
    lead = " "
    TAG = "ки"

    def __init__(self, text: Tokens) -> None:
        super().__init__(text)
        self._single(self.TAG)
        self.ask = tuple(self._behind(f" {self.TAG}"))
        self.join = (*self.ask, self._before[-1])
        self.labels = self._single("-"), self._single("+")
        self._opening = text.encode(self._bos())

    def prompt(self, question: str) -> list[int]:
        return self._opening + self.text.encode_plain(question.strip())


class RLHFlow(PRMFamily):
    """Llama3.1-8B-PRM-Mistral-Data and -Deepseek-Data (https://huggingface.co/RLHFlow/Llama3.1-8B-PRM-Deepseek-Data).

    The authors' code (https://github.com/RLHFlow/RLHF-Reward-Modeling, `math-rm/prm_evaluate.py`)
    makes a conversation of the steps: each is a turn of the user, the first one after the question and a space, and the
    assistant answers every one with "+". The reward is P(+) / (P(+) + P(-)) where the model predicts that answer, one
    token before the "+".

    Raises:
        ModelError: no chat template keeps such turns, or "+" or "-" is more than one token.
    """

    name = "rlhflow"
    published = "llama3.1-8b-prm"
    lead = " "

    def __init__(self, text: Tokens) -> None:
        super().__init__(text)
        self._opening, answer, following = text.turns()
        asked, (bad, good) = text.labelled(answer, ("-", "+"))
        self.ask = tuple(asked)
        self.join = (*asked, good, *text.encode(following))
        self.labels = bad, good

    def prompt(self, question: str) -> list[int]:
        return self.text.encode_plain(question.strip(), self._opening)


class LabelJudge(PRMFamily):
    """Any chat model as a verifier, which says after each step whether it is right: P(Yes) / (P(Yes) + P(No)).

    This follows generative verifiers (arXiv 2408.15240), but asks about the last step and needs no training. The
    question (`specs.types.Judge`) is a user's turn after the steps; later inputs do not contain it.

    Raises:
        ModelError: a label is more than one token, or the chat template drops answers.
    """

    name = "judge"
    VERDICT = Judge(
        instruction="Is the last step of this solution right? Look only at whether its facts and its arithmetic "
        "are correct and whether it follows from the steps before. Answer with Yes or No.",
        opening="",
        labels=("No", "Yes"),
    )

    def __init__(self, text: Tokens) -> None:
        super().__init__(text)
        asked, (bad, good) = text.judgement(self.VERDICT)
        self.ask = tuple(asked)
        self.join = tuple(self._behind(DELIMITER))
        self.labels = bad, good

    def prompt(self, question: str) -> list[int]:
        return self.text.prompt(question, None, True)


FAMILIES: dict[str, type[PRMFamily]] = {
    one.name: one for one in (QwenMathPRM, Skywork, TokenClassification, MathShepherd, RLHFlow, LabelJudge)
}


def family_for(architectures: Sequence[str], name: str, wanted: str = "auto") -> tuple[type[PRMFamily], str]:
    """The format of a PRM, and why it was chosen.

    Args:
        architectures: as in its config.json.
        name: the user's name for it, a folder or a hub id.
        wanted: a name of `FAMILIES`; `auto` for the one that architecture and name imply.

    Raises:
        InputError: `wanted` is not a format.
        ModelError: architecture and name imply no format, or the model lacks the head that the format reads.
    """
    if wanted not in ("auto", *FAMILIES):
        raise InputError(f"PRM format {wanted!r} is none of auto, {', '.join(FAMILIES)}")
    known = ", ".join(architectures) or "a model without architectures"
    own = [one for one in FAMILIES.values() if any(have.endswith(one.architecture) for have in architectures)]
    if not own:
        raise ModelError(
            f"{name}: no reward format is known for {known}: use a ...ForTokenClassification model, Qwen2.5-Math-PRM, "
            "Skywork-o1-Open-PRM or a language model as PRM"
        )
    # A reward head may be trained on another layout than its usual one.
    fitting = own if len(own) > 1 else [one for one in FAMILIES.values() if one.architecture != PRMFamily.architecture]
    choice = ", ".join(one.name for one in fitting)
    if wanted != "auto":
        if FAMILIES[wanted] not in fitting:
            raise ModelError(f"{name} is {known}, which has no head for prm_format {wanted}: choose among {choice}")
        return FAMILIES[wanted], "as requested"
    if len(own) == 1:
        return own[0], f"its architecture is {known}"
    for family in own:
        if family.published and family.published in Path(name).name.lower():
            return family, f"its name has {family.published} in it"
    raise ModelError(
        f"{name} is a language model ({known}), which can be read in several ways: "
        f"say which with prm_format, among {choice}"
    )
