"""What a PRM makes of a few known solutions, and whether it keeps the laws of its format.

The rewards come from the session of a solve, step by step. Two things are computed a second time,
by plain passes over the whole input: each reading alone, and the earlier ones with all steps behind
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from specs.core.ledger import minimum
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
"""Steps by case, as a delimiter parts them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One step of a case; `ids` is the input up to where its reward is read, empty for a blank step."""

    text: str
    reward: float
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Law:
    """A law and whether this model keeps it; `difference` is the largest between rewards, None without any."""

    name: str
    kept: bool
    difference: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found; `tolerance` is of rewards, for this number format."""

    cases: dict[str, list[Reading]]
    laws: list[Law]
    tolerance: float

    @property
    def passed(self) -> bool:
        return all(law.kept for law in self.laws)

    @property
    def second_steps(self) -> tuple[float, float]:
        """Rewards of the right and of the wrong second step, behind the same first one."""
        return self.cases["right"][1].reward, self.cases["one step wrong"][1].reward


@np.errstate(invalid="ignore")  # a model that overflows breaks the first law, which says more than a warning
def check(prm: LocalReward) -> Findings:
    """Read all cases.

    Raises:
        ModelError: a case does not fit into the model's context.
    """
    cases: dict[str, list[Reading]] = {}
    spare = 0
    for name, steps in CASES.items():
        cases[name], more = _read(prm, steps)
        spare += more
    # A reward is a logistic function of its margin, whose slope is at most 1/4.
    tolerance = prm.backend.tolerance / 4
    alone, together = _again(prm, list(cases.values()))
    inputs = {name: [one.ids for one in readings if one.ids] for name, readings in cases.items()}
    rewards = [one.reward for readings in cases.values() for one in readings]
    laws = [
        Law("every reward lies in [0, 1]", all(0 <= reward <= 1 for reward in rewards)),
        Law("step by step equals from scratch", alone <= tolerance, alone),
        Law("blank steps add nothing", inputs["right"] == inputs["trailing delimiter"] == inputs["an empty step"]),
        Law("no position is computed twice", spare == 0),
    ]
    if together is not None:
        laws.insert(2, Law("later steps change no reward", together <= tolerance, together))
    return Findings(cases, laws, tolerance)


def _read(prm: LocalReward, steps: Sequence[str]) -> tuple[list[Reading], int]:
    """The readings of one session, and how many positions it computed beyond those that had to be."""
    prompt = prm.prompt(QUESTION)
    session = prm.open(prompt, never_stop)
    trace, queries, readings = Trace(QUESTION), [], []
    for step_idx, text in enumerate(steps):
        last = step_idx == len(steps) - 1
        step = Candidate((), text if last else text + DELIMITER, End.END_OF_TEXT if last else End.DELIMITER)
        group = [(trace, [step])]
        try:
            (reward,) = session.score(group, DELIMITER)
        except Stopped:
            raise ModelError(
                f"{prm.name} has room for {prm.backend.context} tokens, too few for the check: give another PRM"
            ) from None
        queries.append(session.query(group, DELIMITER))
        readings.append(Reading(text, reward, next(((*prompt, *before, *path) for before, (path,) in queries[-1]), ())))
        trace = trace.extend(replace(step, reward=reward), Role.TARGET)
    return readings, session.counts.processed - minimum(len(prompt), queries, range(len(queries)))


def _again(prm: LocalReward, cases: Sequence[Sequence[Reading]]) -> tuple[float, float | None]:
    """Largest difference to each input read alone, and to inputs read with what follows them (None without any)."""
    alone, together = [0.0], []
    for readings in cases:
        asked = [one for one in readings if one.ids]
        alone += [abs(_rewards(prm, one.ids, [len(one.ids)])[0] - one.reward) for one in asked]
        whole = asked[-1].ids
        earlier = [one for one in asked[:-1] if whole[: len(one.ids)] == one.ids]
        if earlier:
            found = _rewards(prm, whole, [len(one.ids) for one in earlier])
            together += [abs(reward - one.reward) for reward, one in zip(found, earlier, strict=True)]
    return float(np.max(alone)), float(np.max(together)) if together else None


def _rewards(prm: LocalReward, ids: Sequence[int], lengths: Sequence[int]) -> list[float]:
    """Rewards after these numbers of tokens, in one causal pass over all."""
    backend = prm.backend
    rows = backend.forward(backend.cache(), np.array(ids), np.arange(len(ids)), None, np.array(lengths) - 1)
    return prm.prm_format.rewards(backend.logits_ops.to_numpy(rows)).tolist()
