"""Whether an answer is right."""

from __future__ import annotations

from specs.core.votes import normal


def correct(prediction: str | None, answer: str) -> bool:
    """Whether `prediction` spells the reference `answer`; None never does.

    Both are brought to one spelling first (`specs.core.votes.normal`): 1,234.0 is 1234, but
    1/2 is not 0.5.
    """
    return prediction is not None and normal(prediction) == normal(answer)
