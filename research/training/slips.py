"""Wrong numbers as a small model would write them."""

from __future__ import annotations

import random

from specs.bundled.problems import BOXED, EQUATION


def slip(rng: random.Random, step: str, group: int | None = None) -> str:
    """Change one number of a step's equation or box by a plausible amount.

    Args:
        group: the group of `EQUATION` to change (4 is the result); None for the last one in most cases.
    """
    found = EQUATION.search(step) or BOXED.search(step)
    assert found is not None
    if group is None:
        last = found.lastindex
        group = last if rng.random() < 0.6 else rng.choice([k for k in range(1, last + 1) if k != 2])
    value = int(found.group(group))
    wrong = value
    while wrong == value or wrong < 0:
        kind = rng.random()
        if kind < 0.5:
            wrong = value + rng.choice((-100, -20, -10, -9, -2, -1, 1, 2, 9, 10, 20, 100))
        elif kind < 0.85:
            digits = list(str(value))
            place = rng.randrange(len(digits))
            digits[place] = str((int(digits[place]) + rng.choice((-1, 1, 2, -2, 5))) % 10)
            wrong = int("".join(digits))
        else:
            wrong = rng.randint(2, 300)
    return step[: found.start(group)] + str(wrong) + step[found.end(group) :]
