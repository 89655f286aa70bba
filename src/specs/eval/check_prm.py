"""Checks a PRM: its rewards for a few known solutions, and whether it satisfies the laws of a PRM.

The rewards come step by step from the same session that a solve uses. They are then recomputed by plain passes
over the whole input: once for each prefix alone, and once for all prefixes of a solution together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from specs.core.ledger import Query, minimum
from specs.engines.local.models import LocalReward
from specs.engines.protocol import Stopped, never_stop
from specs.errors import ModelError
from specs.types import Candidate, End, Role, Trace

QUESTION = "Tom has 40 nuts. He gives 6 nuts to each of 3 friends. How many nuts does Tom have now?"
DELIMITER = "\n\n"
RIGHT = ("Tom gives away 3 * 6 = 18 nuts.", "Tom has 40 - 18 = 22 nuts left.", "So the answer is \\boxed{22}.")
WRONG = (RIGHT[0], "Tom has 40 - 18 = 24 nuts left.", "So the answer is \\boxed{24}.")
MANY = (
    "Tom begins with 40 nuts.",
    "He gives 6 nuts to the first friend, so 40 - 6 = 34 are left.",
    "The second friend gets 6, so 34 - 6 = 28 are left.",
    "The third friend gets 6, so 28 - 6 = 22 are left.",
    "So the answer is \\boxed{22}.",
)
CASES = {
    "right": RIGHT,
    "one step wrong": WRONG,
    "one step": (" ".join(RIGHT),),
    "many steps": MANY,
    "trailing delimiter": (*RIGHT, ""),
    "an empty step": (RIGHT[0], " \t", *RIGHT[1:]),
    "unicode": ("Tom gibt 3 × 6 = 18 Nüsse 🥜 weg.", "他还剩 40 − 18 = 22 个。"),
}
"""The steps of each case, as split at the delimiter."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One step of a case; `ids` are the input tokens up to the position of its reward, empty for a blank step."""

    text: str
    reward: float
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LawCheck:
    """A law and whether the model satisfies it.

    Attributes:
        name: the law in words.
        kept: whether the model satisfies it.
        difference: the largest difference of rewards; None if the law compares none.
    """

    name: str
    kept: bool
    difference: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """The results of the check.

    Attributes:
        cases: the readings of each case.
        laws: the checked laws.
        tolerance: the largest difference of rewards that the model's dtype allows.
    """

    cases: dict[str, list[Reading]]
    laws: list[LawCheck]
    tolerance: float

    @property
    def passed(self) -> bool:
        return all(law.kept for law in self.laws)

    @property
    def second_steps(self) -> tuple[float, float]:
        """Rewards of the right and of the wrong second step after the same first step."""
        return self.cases["right"][1].reward, self.cases["one step wrong"][1].reward


@np.errstate(invalid="ignore")  # an overflow fails the first law, which says more than a warning
def check(prm: LocalReward) -> Findings:
    """Check a PRM on all cases.

    Raises:
        ModelError: a case does not fit into the model's context.
    """
    cases: dict[str, list[Reading]] = {}
    spare = 0
    for name, steps in CASES.items():
        cases[name], more = _read_case(prm, steps)
        spare += more
    # A reward is a logistic function of its margin, whose slope is at most 1/4.
    tolerance = prm.backend.tolerance / 4
    alone, together = _reread(prm, list(cases.values()))
    inputs = {name: [reading.ids for reading in readings if reading.ids] for name, readings in cases.items()}
    rewards = [reading.reward for readings in cases.values() for reading in readings]
    laws = [
        LawCheck("every reward lies in [0, 1]", all(0 <= reward <= 1 for reward in rewards)),
        LawCheck("step by step equals from scratch", alone <= tolerance, alone),
        LawCheck("blank steps add nothing", inputs["right"] == inputs["trailing delimiter"] == inputs["an empty step"]),
        LawCheck("no position is computed twice", spare == 0),
    ]
    if together is not None:
        laws.insert(2, LawCheck("later steps change no reward", together <= tolerance, together))
    return Findings(cases, laws, tolerance)


def _read_case(prm: LocalReward, steps: Sequence[str]) -> tuple[list[Reading], int]:
    """The readings of one session, and the number of positions that it computed beyond the minimum."""
    prompt = prm.prompt(QUESTION)
    session = prm.open(prompt, never_stop)
    trace, readings = Trace(QUESTION), list[Reading]()
    queries: list[Query] = []
    for step_idx, text in enumerate(steps):
        last = step_idx == len(steps) - 1
        step = Candidate((), text if last else text + DELIMITER, End.END_OF_TEXT if last else End.DELIMITER)
        group = [(trace, [step])]
        try:
            (reward,) = session.score(group, DELIMITER)
        except Stopped:
            raise ModelError(
                f"{prm.name} has a context of {prm.backend.context} tokens, too few for the check; give another PRM"
            ) from None
        queries.append(session.query(group, DELIMITER))
        readings.append(Reading(text, reward, next(((*prompt, *before, *path) for before, (path,) in queries[-1]), ())))
        trace = trace.extend(replace(step, reward=reward), Role.TARGET)
    return readings, session.counts.processed - minimum(len(prompt), queries, range(len(queries)))


def _reread(prm: LocalReward, cases: Sequence[Sequence[Reading]]) -> tuple[float, float | None]:
    """Largest differences to the rewards of each prefix alone and to those with later steps present (None if none)."""
    alone, together = [0.0], list[float]()
    for readings in cases:
        nonblank = [reading for reading in readings if reading.ids]
        alone += [abs(_rewards(prm, reading.ids, [len(reading.ids)])[0] - reading.reward) for reading in nonblank]
        whole = nonblank[-1].ids
        earlier = [reading for reading in nonblank[:-1] if whole[: len(reading.ids)] == reading.ids]
        if earlier:
            found = _rewards(prm, whole, [len(reading.ids) for reading in earlier])
            together += [abs(reward - reading.reward) for reward, reading in zip(found, earlier, strict=True)]
    return float(np.max(alone)), float(np.max(together)) if together else None


def _rewards(prm: LocalReward, ids: Sequence[int], lengths: Sequence[int]) -> list[float]:
    """Rewards after the given numbers of tokens, from one causal pass over all tokens."""
    backend = prm.backend
    rows = backend.forward(backend.cache(), np.array(ids), np.arange(len(ids)), None, np.array(lengths) - 1)
    return prm.prm_format.rewards(backend.logits_ops.to_numpy(rows)).tolist()
