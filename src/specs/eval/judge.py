"""A process of its own that compares mathematical answers: `python -m specs.eval.judge`.

Reads `{"prediction": ..., "answer": ...}` as JSON lines and answers each with `{"correct": ...}`.
Comparing goes through sympy, which can take forever over an unlucky expression; only a process
can be stopped from outside whatever it does, so `specs.eval.grading` keeps this one at its side.
"""

from __future__ import annotations

import json
import logging
import re
import sys

from math_verify import LatexExtractionConfig, parse, verify

_WORDS = re.compile(r"\\(?:text|textbf|mathrm|mbox|textit)\s*\{([^{}]*)\}")
_NOISE = re.compile(r"\\(?:left|right|!|,|;|:|quad|qquad|displaystyle)(?![a-zA-Z])|\\\s|[\s$]|\\\$|\^\\circ|\\degree")


def spelled(answer: str) -> str:
    """An answer without what LaTeX only draws with; equal spellings are equal answers."""
    plain = _WORDS.sub(r"\1", answer)
    plain = re.sub(r"\\[dt]frac", r"\\frac", plain)
    plain = re.sub(r"_\{(\w+)\}", r"_\1", plain)
    return _NOISE.sub("", plain).rstrip(".").lower()


_BASED = re.compile(r"[0-9a-z]+_\{?\d+\}?")


def parts(answer: str) -> list[str]:
    """The answers of a list, split at commas outside brackets; 1,234 is one number."""
    if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?", answer.strip().strip("$")):
        return [answer]
    found, depth = [""], 0
    for character in re.sub(r"\\text\s*\{\s*(?:and|or)\s*\}|\band\b|\bor\b", ",", answer):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            found.append("")
        else:
            found[-1] += character
    return [part for part in found if part.strip(" $")]


def same(prediction: str, answer: str) -> bool:
    """Whether two LaTeX answers are mathematically the same; lists are, in whatever order."""
    if spelled(prediction) == spelled(answer):
        return True
    wanted, given = parts(answer), parts(prediction)
    if len(wanted) != len(given):
        return False
    if len(wanted) > 1:
        for one in wanted:
            match = next((k for k, other in enumerate(given) if same(other, one)), None)
            if match is None:
                return False
            given.pop(match)
        return True
    # sympy takes 40_9 for a variable's name and drops the base.
    bases = [_BASED.fullmatch(spelled(text)) for text in (prediction, answer)]
    if any(bases):
        return False
    config = [LatexExtractionConfig()]
    gold, guess = (parse(f"${text.strip().strip('$')}$", config, parsing_timeout=0) for text in (answer, prediction))
    return bool(gold) and bool(guess) and verify(gold, guess, timeout_seconds=0)


def main() -> None:
    logging.disable(logging.WARNING)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"correct": same(asked["prediction"], asked["answer"])}), flush=True)


if __name__ == "__main__":
    main()
