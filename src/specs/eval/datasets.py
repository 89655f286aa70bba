"""Data sets by name: the bundled tiers, GSM-Symbolic templates, and JSON-lines files.

    bundled:easy | bundled:medium | bundled:hard    specs.bundled.problems
    gsm-symbolic                                    grade-school maths from templates (Mirzadeh et
                                                    al., arXiv 2410.05229), as the optional library
                                                    reasoning_gym re-creates them
    FILE                                            JSON lines, see `_from_file`

Generated problems are endless and a pure function of their seed; a file is what it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from specs.bundled.problems import HELD_OUT_SEED, TIERS
from specs.bundled.problems import problems as bundled_problems
from specs.core.votes import normal
from specs.errors import InputError

NAMES = (*(f"bundled:{tier}" for tier in TIERS), "gsm-symbolic")
GENERATED = 200
"""Problems of a generated data set where no limit is given."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its reference answer.

    Attributes:
        solution: worked steps, separated by blank lines; None where the data set has none.
        id: unique in its data set and the same on every machine; that of a problem from a file
            also changes with its content.
    """

    question: str
    answer: str
    solution: str | None
    id: str


def load_problems(dataset: str, problem_seed: int = HELD_OUT_SEED, limit: int | None = None) -> list[Problem]:
    """The first problems of a data set, no generated question twice.

    Args:
        dataset: one of `NAMES`, or a JSON-lines file.
        problem_seed: >= 0, of the first generated problem; training used those below 1,000,000.
            A file has no use for it.
        limit: most problems, >= 1; None for `GENERATED`, or all of a file.

    Raises:
        InputError: unknown data set, missing library, or a malformed file (names the line).
    """
    if limit is not None and limit < 1:
        raise InputError(f"a limit of {limit} problems leaves nothing to solve; give at least 1")
    if problem_seed < 0:
        raise InputError(f"problem seeds start at 0, not at {problem_seed}")
    if dataset not in NAMES:
        return list(islice(_from_file(dataset), limit))
    source = _gsm_symbolic(problem_seed) if dataset == "gsm-symbolic" else _bundled(dataset, problem_seed)
    return list(islice(source, limit or GENERATED))


def problem_json(problem: Problem) -> dict[str, str | None]:
    """What `specs problems` prints, one a line; `load_problems` reads such a file again."""
    return {"question": problem.question, "answer": problem.answer, "solution": problem.solution}


def _bundled(dataset: str, seed: int) -> Iterator[Problem]:
    for problem in bundled_problems(dataset.removeprefix("bundled:"), seed):
        yield Problem(problem.question, problem.answer, problem.solution, f"{dataset}:{problem.seed}")


def _gsm_symbolic(seed: int) -> Iterator[Problem]:
    try:
        import reasoning_gym
    except ImportError:
        raise InputError("gsm-symbolic needs the library reasoning_gym: pip install 'specs-llm[eval]'") from None
    seen: set[str] = set()
    while True:
        # The library draws the template of item 0 and its numbers from the same random stream;
        # item 1 takes them from different ones.
        item = reasoning_gym.create_dataset("gsm_symbolic", seed=seed, size=2)[1]
        question = item["question"]
        if question not in seen:
            seen.add(question)
            answer = normal(item["answer"])
            solution = _worked(item["metadata"]["answer_cot"], answer)
            yield Problem(question, answer, solution, f"gsm-symbolic:{seed}")
        seed += 1


def _worked(text: str, answer: str) -> str:
    """GSM8K's way to write a solution, a line a step and `#### answer`, as steps and a boxed answer."""
    lines = (re.sub(r"<<.*?>>", "", line).strip() for line in text.partition("####")[0].splitlines())
    return "\n\n".join([*filter(None, lines), f"The answer is \\boxed{{{answer}}}."])


def _from_file(dataset: str) -> Iterator[Problem]:
    """Problems of a JSON-lines file.

    A line is an object with `question` (or `problem`), `answer` (text or number) and, if it
    likes, `solution`. An answer as in GSM8K, "... #### 18", is the answer 18 and a solution.
    """
    path = Path(dataset)
    if not path.is_file():
        raise InputError(f"no data set {dataset!r}: it is no file; give a JSON-lines file or {', '.join(NAMES)}")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{dataset} cannot be read ({error}); give a JSON-lines file in UTF-8") from None
    found = False
    for number, line in enumerate(lines, 1):
        if line.strip():
            found = True
            yield _from_line(line, path.stem, number, f"{dataset}, line {number}")
    if not found:
        raise InputError(f"{dataset} holds no problem; give a JSON-lines file of them")


def _from_line(line: str, stem: str, number: int, where: str) -> Problem:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error}); give one object a line") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: not an object; give question and answer")
    question = row.get("question", row.get("problem"))
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"{where}: no text under 'question' (or 'problem')")
    solution = row.get("solution")
    if solution is not None and not isinstance(solution, str):
        raise InputError(f"{where}: 'solution' is no text; give the worked steps, or leave it out")
    answer = row.get("answer")
    if isinstance(answer, bool) or not isinstance(answer, (str, int, float)) or not (answer := str(answer).strip()):
        raise InputError(f"{where}: no text or number under 'answer'")
    if "####" in answer:
        worked, _, final = answer.rpartition("####")
        if not (answer := final.strip()):
            raise InputError(f"{where}: nothing follows #### in 'answer'")
        solution = solution or (_worked(worked, answer) if worked.strip() else None)
    digest = blake2b(f"{question}\0{answer}".encode(), digest_size=4).hexdigest()
    return Problem(question, answer, solution, f"{stem}:{number}:{digest}")
