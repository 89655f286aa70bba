"""Training text of the pair that thinks: scratch work with checks and corrections, a close, and the answer.

The thinking goes through the solution's steps. A step may be followed by a check, which undoes its arithmetic. A wrong
number is put into some steps; the check finds it, and the step is done again. Nobody learns to write the wrong number:
it has no loss. Models that think like to doubt what is right: some checks follow a "Wait", and half of the traces check
their last step once more.

    <think>
    Maya now has 12 + 15 = 28 shells.
    <blank line>
    Check: 28 - 15 = 13, not 12.
    <blank line>
    Again: 12 + 15 = 27.
    </think>
    <blank line>
    The answer is \\boxed{27}.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from research.training.slips import slip
from specs.bundled.problems import EQUATION, HELD_OUT_SEED, WordProblem, generate
from specs.engines.chat.thinking import TIME_IS_UP

DELIMITER = "\n\n"
CLOSE = "\n</think>\n\n"
FORCED = f"{DELIMITER}{TIME_IS_UP}{CLOSE}"
PROBES = (
    "\n**Final Answer**\n\\boxed{",
    "... Oh, I suddenly got the answer to the whole problem, **Final Answer**\n\n\\[ \\boxed{",
)
"""The beginnings of a trial answer in DEER and in Dynasor (docs/thinking.md)."""
AGAIN = ("Wait, let me go over it again.", "Let me check all of it once more.")
ANSWER_WEIGHT, PROBE_WEIGHT, RATING_WEIGHT = 3.0, 3.0, 10.0
"""Weights in the loss of what is only a few tokens beside hundreds: answer, trial answer, rating."""
TIERS = ("easy", "medium", "medium", "hard", "hard")
SLIPPED, CHECKED, DOUBTED, CHECKED_AGAIN = 0.15, 0.35, 0.2, 0.5
"""Shares: of steps that get a wrong number, of right steps that are checked, of these checks that follow a doubt, and
of traces that check the last step again."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some text, and the weight of its tokens in the loss."""

    text: str
    weight: float = 1.0


@dataclass(slots=True)
class Thought:
    """One step of thinking, without its delimiter.

    Attributes:
        right: whether everything that it claims is true.
        done: how many equations of the solution are right so far, this step included.
    """

    parts: list[Part]
    right: bool
    done: int

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts)


@dataclass(slots=True)
class Document:
    """What a model reads and writes after a question.

    Attributes:
        thinks: whether the prompt opens a block of thinking, or closes an empty one.
        ends: whether the text ends here.
        rating: a digit to give for the last step, as an answer to the rating question; None without the question.
    """

    question: str
    thinks: bool
    parts: list[Part] = field(default_factory=list)
    ends: bool = True
    rating: str | None = None


@dataclass(frozen=True, slots=True)
class Shares:
    """Share of each kind of document in [0, 1]; they add up to 1."""

    thinking: float
    plain: float
    forced: float
    probed: float
    rated: float


SHARES = {
    "draft": Shares(thinking=0.60, plain=0.12, forced=0.12, probed=0.16, rated=0.0),
    "target": Shares(thinking=0.45, plain=0.12, forced=0.10, probed=0.13, rated=0.20),
}
"""By the model's size; only the target rates."""


def calculate(x: int, sign: str, y: int) -> str:
    """The result as the checks write it; a division may leave a rest."""
    if sign == "/":
        return str(x // y) if x % y == 0 else f"{x // y} rest {x % y}"
    return str({"+": x + y, "-": x - y, "*": x * y}[sign])


def check(x: int, sign: str, y: int, result: int) -> str:
    """The step that undoes `x sign y = result` and compares what it gets with `x`, or with the larger factor."""
    undone, other, want = {
        "+": ("-", y, x),
        "-": ("+", y, x),
        "*": ("/", min(x, y), max(x, y)),
        "/": ("*", y, x),
    }[sign]
    got = calculate(result, undone, other)
    return f"Check: {result} {undone} {other} = {got}, " + (f"right: {result}." if got == str(want) else f"not {want}.")


def thoughts(problem: WordProblem, rng: random.Random) -> list[Thought]:
    """The thinking about a problem, step by step; it ends with the right number."""
    found: list[Thought] = []
    equations: list[str] = []
    x, sign, y, result = 0, "+", 0, "0"
    for step in problem.solution.split(DELIMITER)[:-1]:
        equation = EQUATION.search(step)
        assert equation is not None
        x, sign, y, result = int(equation[1]), equation[2], int(equation[3]), equation[4]
        if rng.random() < SLIPPED:
            wrong = slip(rng, step, group=4)
            start = equation.start(4) - 1  # the space belongs to the first digit
            end = len(wrong) - (len(step) - equation.end(4))
            parts = [Part(step[:start]), Part(wrong[start:end], weight=0.0), Part(wrong[end:])]
            found.append(Thought(parts, False, len(equations)))
            found.append(Thought([Part(check(x, sign, y, int(wrong[start:end])))], True, len(equations)))
            equations.append(equation[0])
            found.append(Thought([Part(f"Again: {equation[0]}.")], True, len(equations)))
            continue
        equations.append(equation[0])
        found.append(Thought([Part(step)], True, len(equations)))
        if rng.random() < CHECKED:
            if rng.random() < DOUBTED:
                found.append(Thought([Part(rng.choice(AGAIN))], True, len(equations)))
            found.append(Thought([Part(check(x, sign, y, int(result)))], True, len(equations)))
    if rng.random() < CHECKED_AGAIN:
        found.append(Thought([Part(rng.choice(AGAIN))], True, len(equations)))
        found.append(Thought([Part(check(x, sign, y, int(result)))], True, len(equations)))
    return found


def written(steps: Sequence[Thought]) -> list[Part]:
    """Steps with a delimiter between them."""
    parts: list[Part] = []
    for step in steps:
        parts += [*([Part(DELIMITER)] if parts else []), *step.parts]
    return parts


def answer(problem: WordProblem, done: int) -> str:
    """The answer after thinking that got as far as `done` equations: the rest of the solution."""
    return DELIMITER.join(problem.solution.split(DELIMITER)[done:])


def thinking(problem: WordProblem, rng: random.Random) -> Document:
    steps = thoughts(problem, rng)
    tail = [Part(CLOSE), Part(answer(problem, steps[-1].done), ANSWER_WEIGHT)]
    return Document(problem.question, True, [*written(steps), *tail])


def plain(problem: WordProblem, rng: random.Random) -> Document:
    """The solution after an empty block."""
    return Document(problem.question, False, [Part(problem.solution)])


def forced(problem: WordProblem, rng: random.Random) -> Document:
    """Thinking that is closed at a random step; the answer finishes what is missing."""
    steps = thoughts(problem, rng)
    steps = steps[: rng.randint(1, len(steps))]
    tail = [Part(DELIMITER), Part(FORCED, weight=0.0), Part(answer(problem, steps[-1].done))]
    return Document(problem.question, True, [*written(steps), *tail])


def probed(problem: WordProblem, rng: random.Random) -> Document:
    """Thinking that is asked for a trial answer at a random step; only the number has a loss."""
    steps = thoughts(problem, rng)
    steps = steps[: rng.randint(1, len(steps))]
    tail = [Part(DELIMITER + rng.choice(PROBES), weight=0.0), Part(problem.answer + "}", PROBE_WEIGHT)]
    return Document(problem.question, True, [*written(steps), *tail], ends=False)


def rated(problem: WordProblem, rng: random.Random) -> Document:
    """Thinking whose last step is to be rated: 9 if it is right, 0 if it has a wrong number or comes too early."""
    steps = thoughts(problem, rng)
    place = rng.randrange(len(steps))
    before, last = steps[:place], steps[place]
    if last.right and rng.random() < 0.5:
        later = [step for step in steps[place + 2 :] if step.right and EQUATION.search(step.text)]
        if later and rng.random() < 0.25:
            last = Thought([Part(rng.choice(later).text)], False, last.done)
        elif EQUATION.search(last.text):
            last = Thought([Part(slip(rng, last.text))], False, last.done)
    end = CLOSE if place == len(steps) - 1 and rng.random() < 0.5 else DELIMITER
    parts = [*written(before), *([Part(DELIMITER)] if before else []), Part(last.text, weight=0.0), Part(end, 0.0)]
    return Document(problem.question, True, parts, ends=False, rating="9" if last.right else "0")


KINDS: dict[str, Callable[[WordProblem, random.Random], Document]] = {
    "thinking": thinking,
    "plain": plain,
    "forced": forced,
    "probed": probed,
    "rated": rated,
}


def documents(seed: int, shares: Shares, held_out: frozenset[int]) -> Iterator[Document]:
    """Endless documents about problems with seeds below `HELD_OUT_SEED`.

    Args:
        held_out: hashes of questions to leave out.
    """
    rng = random.Random(f"thinking:{seed}")
    weights = [getattr(shares, kind) for kind in KINDS]
    while True:
        problem = generate(rng.choice(TIERS), rng.randrange(HELD_OUT_SEED))
        if hash(problem.question) in held_out:
            continue
        (kind,) = rng.choices(list(KINDS), weights)
        yield KINDS[kind](problem, rng)
