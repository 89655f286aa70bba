"""Arithmetic word problems with worked solutions: the task of the bundled models.

A problem is a short story about how many things a person has. Each event that changes the number is one step of
the solution, or two if a product comes first. Each step has one equation, and the last step boxes the answer:

    Maya has 12 shells. She buys 3 bags with 5 shells in each bag. ...

    The 3 bags hold 3 * 5 = 15 shells.
    <blank line>
    Maya now has 12 + 15 = 27 shells.
    <blank line>
    The answer is \\boxed{27}.

One grammar generates three tiers (`TIERS`):

* **easy**: 2 to 4 steps, one person, amounts up to 50, totals up to 200.
* **medium**: 5 or 6 steps, amounts up to 300, totals up to 2000; also a second person whose number is relative to
  the first, gifts to each of several friends, "the same number again", and irrelevant numbers.
* **hard**: 9 to 12 steps with the same events.

`generate` is a pure function of (tier, seed), equal on every machine. Training uses seeds below 1,000,000; all
measurements use seeds from 1,000,000 up (`HELD_OUT_SEED`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HELD_OUT_SEED = 1_000_000
"""First problem seed that training never sees."""

SHE = ("Maya Anna Lily Sara Nora Emma Ruth Jane Alice Clara Mia Zoe Ida Eva Rosa Lucy Amy Kate Helen Grace").split()
HE = "Tom Ben Sam Leo Max Paul Jack Omar Ivan Noah Adam Carl Luke Mark Hugo Finn Dan Eric Peter Oscar".split()
THINGS = (
    "apples books cards coins shells stamps pens cups eggs nuts plums pears beads stones toys marbles "
    "stickers buttons cookies flowers lemons ribbons tickets badges candles oranges pencils crayons "
    "balloons peaches"
).split()
PACKS = "boxes bags packs jars baskets".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
SINGULAR = {"boxes": "box", "bags": "bag", "packs": "pack", "jars": "jar", "baskets": "basket"}


@dataclass(frozen=True, slots=True)
class Tier:
    """Bounds of one tier.

    Attributes:
        steps: fewest and most solution steps, the boxed answer included.
        amount: largest number in an event.
        total: largest number that a step may result in.
        rich: whether second persons, repeats and irrelevant numbers occur.
    """

    steps: tuple[int, int]
    amount: int
    total: int
    rich: bool = True


TIERS: dict[str, Tier] = {
    "easy": Tier(steps=(2, 4), amount=50, total=200, rich=False),
    "medium": Tier(steps=(5, 6), amount=300, total=2000),
    "hard": Tier(steps=(9, 12), amount=300, total=2000),
}


@dataclass(frozen=True, slots=True)
class WordProblem:
    """One generated problem. `solution` holds the steps joined by blank lines."""

    question: str
    answer: str
    solution: str
    tier: str
    seed: int


@dataclass
class _Story:
    """A story that the grammar is writing."""

    rng: random.Random
    tier: Tier
    name: str
    friend: str
    they: str
    them: str
    things: str
    now: int
    sentences: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    last_gain: int | None = None
    other: int | None = None
    """The friend's number while the story may still use it, else None."""

    def tell(self, *forms: str) -> None:
        """Add one of the sentences; none about the friend while the friend's number may still be used."""
        if self.other is not None:
            forms = tuple(form for form in forms if self.friend not in form)
        self.sentences.append(self.rng.choice(forms))

    def step(self, *forms: str) -> None:
        self.steps.append(self.rng.choice(forms))

    def amount(self, high: int) -> int:
        return self.rng.randint(2, max(2, min(high, self.tier.amount)))

    def add(self, amount: int) -> None:
        x, y, t = self.now, self.now + amount, self.things
        self.step(
            f"{self.name} now has {x} + {amount} = {y} {t}.",
            f"With {amount} more there are {x} + {amount} = {y} {t}.",
            f"Adding {amount} gives {x} + {amount} = {y} {t}.",
        )
        self.now = y

    def take(self, amount: int) -> None:
        x, y, t = self.now, self.now - amount, self.things
        self.step(
            f"{self.name} has {x} - {amount} = {y} {t} left.",
            f"Without {amount} there are {x} - {amount} = {y} {t}.",
            f"Taking away {amount} leaves {x} - {amount} = {y} {t}.",
        )
        self.now = y


def _gain(s: _Story) -> bool:
    room = s.tier.total - s.now
    if room < 2:
        return False
    a = s.amount(room)
    s.tell(
        f"{s.they} buys {a} more {s.things}.",
        f"{s.friend} gives {s.them} {a} {s.things}.",
        f"On {s.rng.choice(DAYS)} {s.name} finds {a} {s.things}.",
        f"Then {s.name} gets {a} new ones.",
    )
    s.add(a)
    s.last_gain = a
    return True


def _lose(s: _Story) -> bool:
    if s.now < 4:
        return False
    a = s.amount(s.now - 2)
    s.tell(
        f"{s.they} gives {a} {s.things} to {s.friend}.",
        f"{s.they} loses {a} of them.",
        f"On {s.rng.choice(DAYS)} {s.name} sells {a} {s.things}.",
        f"Then {a} of the {s.things} break.",
    )
    s.take(a)
    return True


def _multiply(s: _Story) -> bool:
    k = s.rng.randint(2, 6)
    if s.now * k > s.tier.total:
        return False
    word = {2: "doubles", 3: "triples"}.get(k, f"becomes {k} times as large")
    s.tell(f"Then the number of {s.things} {word}.", f"After a week the number {word}.")
    x, y = s.now, s.now * k
    s.step(f"The number grows to {x} * {k} = {y} {s.things}.", f"{s.name} then has {x} * {k} = {y} {s.things}.")
    s.now = y
    return True


def _divide(s: _Story) -> bool:
    ways = [k for k in range(2, 10) if s.now % k == 0 and s.now // k >= 2]
    if not ways:
        return False
    k = s.rng.choice(ways)
    if k == 2:
        s.tell(f"{s.they} gives half of the {s.things} to {s.friend}.", f"{s.they} loses half of the {s.things}.")
    else:
        s.tell(
            f"{s.they} splits the {s.things} into {k} equal piles and keeps one pile.",
            f"{s.they} shares the {s.things} equally among {k} people and keeps one share.",
        )
    x, y = s.now, s.now // k
    s.step(f"{s.name} keeps {x} / {k} = {y} {s.things}.", f"One part is {x} / {k} = {y} {s.things}.")
    s.now = y
    return True


def _packs(s: _Story) -> bool:
    k, m = s.rng.randint(2, 9), s.amount(40)
    if k * m > min(s.tier.total - s.now, s.tier.amount):
        return False
    packs = s.rng.choice(PACKS)
    s.tell(
        f"{s.they} buys {k} {packs} with {m} {s.things} in each {SINGULAR[packs]}.",
        f"{s.friend} brings {k} {packs} of {m} {s.things} each.",
    )
    s.step(f"The {k} {packs} hold {k} * {m} = {k * m} {s.things}.", f"That makes {k} * {m} = {k * m} new {s.things}.")
    s.add(k * m)
    s.last_gain = k * m
    return True


def _to_each(s: _Story) -> bool:
    k, m = s.rng.randint(2, 9), s.amount(40)
    if k * m > s.now - 1:
        return False
    s.tell(
        f"{s.they} gives {m} {s.things} to each of {k} friends.",
        f"{s.they} puts {m} {s.things} into each of {k} gifts and gives them away.",
    )
    s.step(f"{s.name} gives away {k} * {m} = {k * m} {s.things}.", f"That takes {k} * {m} = {k * m} {s.things}.")
    s.take(k * m)
    return True


def _again(s: _Story) -> bool:
    if s.last_gain is None or s.now + s.last_gain > s.tier.total:
        return False
    s.tell(
        f"On {s.rng.choice(DAYS)} {s.name} gets the same number of new {s.things} again.",
        "Then the same number comes once more.",
    )
    s.add(s.last_gain)
    return True


def _friend(s: _Story) -> bool:
    if s.other is not None or s.sentences[1:]:
        return False  # only right after the start, where "than" is unambiguous
    kind = s.rng.choice(("more", "fewer", "times"))
    b = s.rng.randint(2, 4) if kind == "times" else s.amount(s.now - 2 if kind == "fewer" else s.tier.total)
    c = {"more": s.now + b, "fewer": s.now - b, "times": s.now * b}[kind]
    if c < 2 or c + s.now > s.tier.total:
        return False
    said = f"{b} times as many" if kind == "times" else f"{b} {kind}"
    sign = {"more": "+", "fewer": "-", "times": "*"}[kind]
    s.tell(f"{s.friend} has {said} {s.things} {'as' if kind == 'times' else 'than'} {s.name}.")
    s.step(f"{s.friend} has {s.now} {sign} {b} = {c} {s.things}.")
    s.other = c
    return True


def _friend_gives(s: _Story) -> bool:
    if s.other is None or s.now + s.other > s.tier.total:
        return False
    a, s.other = s.other, None
    s.tell(
        f"{s.friend} gives all of those {s.things} to {s.name}.", f"Then {s.name} gets everything that {s.friend} has."
    )
    s.add(a)
    return True


_PLAIN: tuple[tuple[Callable[[_Story], bool], float], ...] = (
    (_gain, 3), (_lose, 3), (_packs, 2), (_to_each, 2), (_multiply, 1), (_divide, 1),
)  # fmt: skip
_RICH = (*_PLAIN, (_again, 1), (_friend, 3), (_friend_gives, 1))


def write(rng: random.Random, tier: Tier) -> tuple[str, str, str]:
    """One random (question, answer, solution) within the bounds of `tier`; writes stories until one fits."""
    while True:
        women = rng.random() < 0.5
        name, friend = rng.sample(SHE if women else HE, 1)[0], rng.choice(HE if women else SHE)
        they, them = ("She", "her") if women else ("He", "him")
        start = rng.randint(3, max(3, min(tier.amount, tier.total // 2)))
        story = _Story(rng, tier, name, friend, they, them, rng.choice(THINGS), start)
        story.tell(
            f"{name} has {start} {story.things}.",
            f"{name} starts with {start} {story.things}.",
            f"There are {start} {story.things} in the room of {name}.",
        )
        want = rng.randint(*tier.steps) - 1
        events, weights = zip(*(_RICH if tier.rich else _PLAIN), strict=True)
        for _ in range(200):
            if len(story.steps) >= want:
                break
            rng.choices(events, weights)[0](story)
        together = story.other is not None
        if together:  # the question must use the friend's number
            x, c = story.now, story.other or 0
            if x + c > tier.total:
                continue
            story.step(f"Together they have {x} + {c} = {x + c} {story.things}.")
            story.now = x + c
        if not tier.steps[0] <= len(story.steps) + 1 <= tier.steps[1]:
            continue
        if tier.rich and rng.random() < 0.5:
            idle = rng.choice((
                f"{friend} is {rng.randint(6, 60)} years old.",
                f"The bag of {name} costs {rng.randint(2, 99)} dollars.",
                f"{name} lives {rng.randint(2, 40)} miles away.",
            ))  # fmt: skip
            story.sentences.insert(rng.randint(1, len(story.sentences)), idle)
        if together:
            ask = f"How many {story.things} do {name} and {friend} have together?"
        else:
            ask = rng.choice((
                f"How many {story.things} does {name} have in the end?",
                f"How many {story.things} does {name} have now?",
            ))  # fmt: skip
        story.step(f"The answer is \\boxed{{{story.now}}}.", f"So the answer is \\boxed{{{story.now}}}.")
        return " ".join([*story.sentences, ask]), str(story.now), "\n\n".join(story.steps)


def generate(tier: str, seed: int) -> WordProblem:
    """The problem with this seed in this tier (see `TIERS`)."""
    question, answer, solution = write(random.Random(f"{tier}:{seed}"), TIERS[tier])
    return WordProblem(question, answer, solution, tier, seed)


def problems(tier: str, problem_seed: int = HELD_OUT_SEED) -> Iterator[WordProblem]:
    """Endless problems of a tier, one per seed from `problem_seed` on, without repeated questions."""
    seen: set[str] = set()
    seed = problem_seed
    while True:
        problem = generate(tier, seed)
        seed += 1
        if problem.question not in seen:
            seen.add(problem.question)
            yield problem


EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
BOXED = re.compile(r"\\boxed\{(\d+)\}")


def facts(step: str) -> tuple[str, ...]:
    """The claims of a step: its equations and boxed numbers in order, without its wording."""
    return tuple(m.group(0) for m in re.finditer(f"{EQUATION.pattern}|{BOXED.pattern}", step))


def step_labels(solution_steps: list[str], reference: str) -> list[bool]:
    """For each step, whether it and all steps before it make the same claims as the reference solution.

    A problem of this grammar has a unique chain of equations, so comparing claims is exact and ignores wording.
    """
    want = [facts(step) for step in reference.split("\n\n")]
    labels: list[bool] = []
    good = True
    for step_idx, step in enumerate(solution_steps):
        good = good and step_idx < len(want) and facts(step) == want[step_idx]
        labels.append(good)
    return labels
