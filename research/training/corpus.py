"""Training text: problems with seeds below the held-out ones, without any question that is held out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from specs.bundled.problems import HELD_OUT_SEED, TIERS, generate

HELD_OUT_PER_TIER = 20_000


@dataclass(frozen=True, slots=True)
class Mix:
    """Share of each kind of document in [0, 1]; the shares add up to 1."""

    drill: float
    easy: float
    medium: float
    hard: float


WARM = Mix(drill=0.4, easy=0.6, medium=0.0, hard=0.0)
FULL = Mix(drill=0.10, easy=0.15, medium=0.40, hard=0.35)


def held_out_questions() -> frozenset[int]:
    """Hashes of the questions that evaluation may use: the first 20,000 held-out seeds of every tier."""
    return frozenset(
        hash(generate(tier, HELD_OUT_SEED + k).question) for tier in TIERS for k in range(HELD_OUT_PER_TIER)
    )


def drill(rng: random.Random) -> tuple[str, str]:
    """Eight bare equations of the kinds that the solutions use: a warm-up for the arithmetic."""
    lines: list[str] = []
    while len(lines) < 8:
        op, high = rng.choice("++--**//"), rng.choice((200, 2000))
        if op == "+":
            x, a = rng.randint(1, high), rng.randint(1, min(high, 300))
            y = x + a
        elif op == "-":
            y, a = rng.randint(1, high), rng.randint(1, min(high, 300))
            x = y + a
        elif op == "*":
            x, a = rng.choice([(rng.randint(2, 9), rng.randint(2, 40)), (rng.randint(2, high), rng.randint(2, 6))])
            y = x * a
        else:
            a = rng.randint(2, 9)
            y = rng.randint(2, high // a)
            x = y * a
        if max(x, y) <= high:
            lines.append(f"{x} {op} {a} = {y}")
    return "Drill.", "\n\n".join(f"So {line}." for line in lines)


def documents(seed: int, mix: Mix, held_out: frozenset[int]) -> Iterator[tuple[str, str]]:
    """Endless (question, solution) pairs: drills, and problems with seeds below `HELD_OUT_SEED`.

    Args:
        held_out: hashes of questions to leave out.
    """
    rng = random.Random(f"corpus:{seed}")
    kinds, weights = ("drill", "easy", "medium", "hard"), (mix.drill, mix.easy, mix.medium, mix.hard)
    while True:
        kind = rng.choices(kinds, weights)[0]
        if kind == "drill":
            yield drill(rng)
            continue
        problem = generate(kind, rng.randrange(HELD_OUT_SEED))
        if hash(problem.question) not in held_out:
            yield problem.question, problem.solution
