r"""Finds the values in a sentence: whole formulas with their units, and whether words around them negate them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from specs.eval.units import is_unit

_DOLLARS = r"\$(?=[^\s$])[^$\n]*?(?<=[^\s\\])\$(?!\d)"
"""A formula between dollar signs: without spaces next to them or a digit after them, so "$130 and $200" is none."""
_ROWS = "align|aligned|alignat|array|equation|gather|gathered|split|eqnarray"
FORMULA = re.compile(
    r"\\\[.{1,1000}?\\\]|\$\$.{1,1000}?\$\$|\\\(.{1,1000}?\\\)"
    rf"|\\begin\{{(?P<rows>{_ROWS})\*?\}}.{{1,1000}}?\\end\{{(?P=rows)\*?\}}|{_DOLLARS}",
    re.DOTALL,
)
_ALIGNED = re.compile(rf"\\begin\{{({_ROWS})\*?\}}(?:\{{\w*\}})?(.*)\\end\{{\1\*?\}}", re.DOTALL)
_ARROW = re.compile(r"=>|⇒|→|∴|\\(?:Rightarrow|implies|therefore)(?![A-Za-z])")
_PIECE = re.compile(
    rf"(?P<formula>{FORMULA.pattern})"
    r"|(?P<math>\\(?:text|mathrm|mbox|textbf|mathbf|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+|\\.|\.{3,})"
    r"|(?P<word>[A-Za-z]{2,}(?:['’]t)?|[aAI](?=\s+[A-Za-z]{2})|(?<![\w)}])[A-WYZa-wyz](?=\s+\d))"
    r"|(?P<stop>[.,;!?](?=\s|$)|(?<=\S):(?=\s|$)|[—…])"
    r"|(?P<space>\s+)|(?P<sign>.)",
    re.DOTALL,
)
_NAMES = frozenset("pi sqrt sin cos tan log ln exp infinity".split())
"""Words that belong to a formula."""
_VALUED = re.compile(
    r"[\d½¼¾⅓⅔π√∞]|\\(?:frac|dfrac|tfrac|pi|sqrt|infty|binom)|(?<![A-Za-z])(?:pi|sqrt|infinity)(?![A-Za-z])"
    r"|[A-Za-z)]\s*[-+*/^=]\s*[A-Za-z(]"
)
"""Matches in a value, but not in a lone symbol or sign in a sentence."""
_DENIALS = frozenset(
    "not isn't aren't wasn't can't cannot doesn't won't never neither nor instead except without".split()
)
"""Words that negate a value up to three words later ("is not equal to 42")."""
_HEDGES = frozenset(
    "negative minus less more fewer greater larger smaller higher lower than most least between over under above below "
    "exceeds exceed longer almost nearly half twice double triple mod modulo".split()
)
_PAIRS = ("up to", "out of", "half of", "third of", "quarter of", "multiple of", "anything but")
"""Phrases that turn the value directly after them into another value or a bound."""
_QUALIFIED = re.compile(
    r"\s*(?:and (?:a|one|two|three) (?:half|third|thirds|quarters?|fifths?)|or (?:more|less|fewer|so|greater)"
    r"|squared|cubed|factorial|times)\b"
)
"""Words after a value that turn it into another value."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value in a sentence.

    Attributes:
        start: index of its first character.
        text: the value with its unit.
        joined: whether only commas, "and" or "or" separate it from the previous value.
        hedged: whether words around it negate or change it (`not 42`, `at most 42`, `42 and a half`).
    """

    start: int
    text: str
    joined: bool
    hedged: bool


def values_of(line: str) -> list[Value]:
    """The values of a line in order: delimited formulas, and runs of numbers, symbols and signs."""
    found: list[Value] = []
    between: list[str] = []  # words and stops since the last value
    start, end, depth = 0, 0, 0  # of the current run, which is empty if start == end

    def close(formula: str | None = None) -> None:
        nonlocal start, end, depth
        text = _balanced(line[start:end]) if formula is None else content_of(formula)
        if text[:1] == "-" and start and line[start - 1].isalnum():  # COVID-19
            text = text[1:]
        raised = text[:1] in ("^", "_")  # belongs to a unit: cm$^2$
        if text and not raised and (formula is not None or _VALUED.search(text)):
            joined = bool(found) and bool(between) and all(word in (",", "and", "or") for word in between)
            doubtful = hedged(" ".join(between)) or text[0] in "<>≤≥" or _QUALIFIED.match(line, end) is not None
            unit = "" if formula is not None else _unit_behind(line[end : end + 60])
            found.append(Value(start, text + unit, joined, doubtful))
            between.clear()
        start = end
        depth = 0

    for piece in _PIECE.finditer(line):
        text = piece.group()
        if piece["formula"]:
            close()
            start, end = piece.span()
            close(text)
        elif (piece["word"] and text.lower() not in _NAMES) or (piece["stop"] and not (depth and text == ",")):
            close()
            between.append(text.lower().replace("’", "'"))
        elif not piece["space"]:
            start = piece.start() if start == end else start
            end = piece.end()
            depth += (text in ("(", "[", "{", "\\{")) - (text in (")", "]", "}", "\\}"))
    close()
    return found


def hedged(before: str) -> bool:
    """Whether the words before a value negate it or make it a bound."""
    words = re.findall(r"[a-z]+(?:'t)?|[,;.]", before[-200:].lower().replace("’", "'"))
    clause: list[str] = []
    for word in words:
        clause = [] if word in (",", ";", ".") else [*clause, word]
    bound = " ".join(clause[-2:]) in _PAIRS or not _HEDGES.isdisjoint(clause[-1:])
    return bound or not _DENIALS.isdisjoint(clause[-3:])


def content_of(formula: str) -> str:
    r"""A formula without its delimiters; the last row of `align` and similar environments."""
    formula = re.sub(r"^(\$\$?|\\\[|\\\()|(\$\$?|\\\]|\\\))$", "", formula).strip()
    if rows := _ALIGNED.fullmatch(formula):
        last = next((row for row in reversed(rows.group(2).split("\\\\")) if row.strip()), "")
        if rows.group(1) != "array" or "=" in last:  # else a matrix
            formula = last.replace("&", "").strip()
    return concluded(formula)


def concluded(text: str) -> str:
    """The value after the last arrow of `2x = 24 => x = 12`; the text itself if there is none."""
    last = _ARROW.split(text)[-1].strip()
    return last if _VALUED.search(last) else text


def _balanced(run: str) -> str:
    """A run without quotes and without unbalanced brackets, which belong to the sentence."""
    run = run.strip(" \t\"'`“”")
    while run and run[-1] in "([{" and run[-2:] != "\\{":
        run = run[:-1].rstrip()
    for opening, closing in ("()", "[]"):
        if run.startswith(opening) and run.count(opening) > run.count(closing):
            run = run[1:]
        if run.endswith(closing) and run.count(closing) > run.count(opening) and not re.match(r"[\[(].*,", run):
            run = run[:-1]
    return run.strip()


def _unit_behind(text: str) -> str:
    """The known units that follow a value in a sentence, with a space before each."""
    unit = ""
    for word in text.split():
        name = word.strip(".,;:!?")
        if not is_unit(name):
            break
        unit += f" {name}"
        if name != word:
            break
    return unit
