r"""The answer in a text: in its last boxes, behind "the answer is", the text itself, or its last value.

A text that is an answer (`12 apples`, `x = 5`, `\frac{1}{2}`, `not possible`) is read as a whole; one that
says something about a value (`He has 12 apples left.`) is read for the value.
"""

from __future__ import annotations

import re

from specs.core.votes import boxes
from specs.eval.structure import answers_of
from specs.eval.units import is_unit

_TAIL, _TRIES = 20_000, 20
"""Characters at a text's end that are searched where it has no box, and places that may announce the answer."""
_LONGEST_REFERENCE = 2000
_DOLLARS = r"\$(?=[^\s$])[^$\n]*?(?<=[^\s\\])\$(?!\d)"
"""A formula between dollar signs, by the rule that keeps apart "$130 and $200": no space inside, no digit behind."""
_FORMULA = re.compile(
    r"\\\[.{1,1000}?\\\]|\$\$.{1,1000}?\$\$|\\\(.{1,1000}?\\\)"
    rf"|\\begin\{{(align|equation|gather)\*?\}}.{{1,1000}}?\\end\{{\1\*?\}}|{_DOLLARS}",
    re.DOTALL,
)
_BRACED = r"(?:\{[^{}]*\}|\d)"
_DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\}|,\\!|\\,)\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?:(?:\s\d+)?/\d+)?|\.\d+"
_SHAPED = rf"\d*\s?(?:\\[dtc]?frac\s*{_BRACED}\s*{_BRACED}|\\sqrt(?:\[\d+\])?{_BRACED}|√\d+|\\pi(?![a-z])|π)"
_ENTRY = rf"\s*-?(?:[\d./]+|[A-Za-z]|\\infty|∞|\\[dtc]?frac{_BRACED}{_BRACED})\s*"
_VALUE = re.compile(
    rf"[(\[]{_ENTRY}(?:,{_ENTRY})+[)\]]"  # a point or an interval
    rf"|(?:(?<![\w)\]}}$])-)?(?<![\w^.\\])(?<!\^{{)\\?[$€£]?-?(?:{_SHAPED}|{_DIGITS})(?:\s?\\?%)?"
)
_MARKER = re.compile(
    r"####|<answer>|^[^\w\n]*(?:final |my |the )?answers?[^\w\n]*$"
    r"|\b(?:answers?|ans|option|choice)\b[*_]*(?:\s+(?:to|for|of)\b[^.\n:=]{0,80}?)?\s*(?:\bis\b|\bare\b|:|=)[*_]*\s*:?",
    re.IGNORECASE | re.MULTILINE,
)
_MARKED = tuple(
    re.compile(rf"(?<![\w)]){mark}(?=\S)([^*_`]+?)(?<=\S){mark}(?![\w(])") for mark in (r"\*\*", "__", r"\*", "_", "`")
)
_BOLD = _MARKED[0]
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf)\s*\{([^{}]*)\}")
_CLAUSE = re.compile(r"[.!?](?=\s+\S|\s*$)|[,;]?\s+(?:because|since|as|so|which)\s")
_SUM = re.compile(r"\s*[A-Za-z](?:\s*[+-]\s*[A-Za-z])+\s*=([^=]+)")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]+")
_PROSE = frozenset(
    "the is are was were be has had have he she it its we so get got now you of in for not but by at to sum".split()
)
_NOTHING = re.compile(
    r"(?:i have )?no (?:idea|answer)|i (?:do not|don't) know|(?:in)?correct|wrong|consistent|valid|reasonable",
    re.IGNORECASE,
)
"""What is no answer, though it may stand where one does ("so the answer is correct")."""
_FORMAL = frozenset("sqrt infinity cosh sinh tanh arcsin arccos arctan percent where".split())
_FEW, _MANY = 5, 5
"""Words of a text without a value that may be an answer; and of one with values that is certainly prose."""


def extract(text: str, count: int = 1) -> str | None:
    """The answer that a text gives; None where it gives none.

    Args:
        count: answers that the question has, >= 1: of so many the last boxes are taken, unless the last
            box lists them all.
    """
    if (answer := last_boxes(text, count)) is not None:
        return answer
    text = text[-_TAIL:]
    for marker in list(_MARKER.finditer(text))[: -_TRIES - 1 : -1]:
        if (answer := _after_marker(text[marker.end() :], count)) and not _NOTHING.match(answer):
            return answer
    plain = _clean(text)
    if _FORMULA.fullmatch(plain):
        return _content(plain) or None
    if "matrix" in plain or "cases" in plain:
        plain = " ".join(plain.split())
    if not plain or _NOTHING.match(plain):
        return None
    whole = "\n" not in plain and (len(plain.split()) <= _FEW or _has_value(plain)) and not _is_prose(plain)
    return plain if whole else _last_value(text, count)


def stated(reference: str) -> str:
    """A reference answer without what states it: a box, "Answer:", Markdown; one that is plain stays as it is."""
    if len(reference) > _LONGEST_REFERENCE:
        return reference
    if (answer := last_boxes(reference, len(boxes(reference)))) is not None:
        return answer
    marker = _MARKER.search(reference)
    return (_after_marker(reference[marker.end() :], 1) if marker else None) or _clean(reference) or reference


def last_boxes(text: str, count: int = 1) -> str | None:
    """Content of the last box, or of as many of the last boxes as list `count` answers; None without a box."""
    return _last_listed([_without_lead(content) for content in boxes(text)], count)


def _last_listed(found: list[str], count: int) -> str | None:
    """As many of the last texts as list `count` answers, with commas between them."""
    taken: list[str] = []
    listed = 0
    while found and listed < count:
        taken.insert(0, found.pop())
        listed += max(1, len(answers_of(taken[0])))
    return ", ".join(taken) if taken else None


def _without_lead(content: str) -> str:
    r"""A box's content without the lead of `\text{The answer is } 5`."""
    plain = _TEXT.sub(r"\1", content)
    marker = _MARKER.search(plain)
    return (_after_marker(plain[marker.end() :], 1) if marker else None) or content


def _after_marker(text: str, count: int) -> str | None:
    """The answer at the start of what follows a marker."""
    text = text.lstrip(" \t\n*_:>#")
    if (formula := _FORMULA.match(text)) and "\n" in formula.group():
        return _content(formula.group())
    line = text.split("\n", 1)[0].split("</answer>", 1)[0]
    if end := _CLAUSE.search(_blanked(line)):
        line = line[: end.start()]
    plain = _clean(line)
    return _last_value(line, count) if _is_prose(plain) else plain


def _clean(text: str) -> str:
    """Without Markdown, and without what is around a lone formula."""
    for marked in _MARKED:
        text = marked.sub(r"\1", text)
    return re.sub(r"^[#>\s]+|</?answer>|\*\*", "", text).strip().removesuffix("*").strip()


def _content(formula: str) -> str:
    r"""A formula without what is around it; of `align` and its like the last row."""
    if not formula.startswith("\\begin"):
        return re.sub(r"^(\$\$?|\\\[|\\\()|(\$\$?|\\\]|\\\))$", "", formula).strip()
    rows = re.sub(r"^\\begin\{\w+\*?\}|\\end\{\w+\*?\}$|&", "", formula).split("\\\\")
    return next((row.strip() for row in reversed(rows) if row.strip()), "")


def _has_value(text: str) -> bool:
    return _VALUE.search(text) is not None or _FORMULA.search(text) is not None


def _is_prose(text: str) -> bool:
    """Whether a text with a value in it says something about it, in words before it or in many."""
    unwrapped = re.sub(r"\\(?:begin|end)\{\w+\*?\}", "", _TEXT.sub(r"\1", text))
    values = [found.start() for pattern in (_VALUE, _FORMULA) if (found := pattern.search(unwrapped))]
    words = [(found.start(), found.group().lower()) for found in _WORD.finditer(_blanked(unwrapped))]
    prose = [start for start, word in words if (len(word) > 3 or word in _PROSE) and word not in _FORMAL]
    return bool(values and prose) and (prose[0] < min(values) or len(prose) >= _MANY)


def _blanked(text: str) -> str:
    """The text with as many blanks for each formula, which holds no word and no end of a sentence."""
    return _FORMULA.sub(lambda found: " " * len(found.group()), text)


def _last_value(text: str, count: int) -> str | None:
    """The last value in bold, else the last formula of the last line that has a value, else its last number.

    Of `count` answers as many values, if the line has them.
    """
    for bold in reversed(list(_BOLD.finditer(text))):
        content = _clean(bold.group(1))
        if _has_value(content) and not content.endswith(":") and not _is_prose(content):
            return content
    found: list[str] = []
    for line in reversed(_lines(text)):
        values = [_without_sum(_content(formula.group())) for formula in _FORMULA.finditer(line)]
        values = list(filter(None, values)) or [
            value.group().strip() + _unit_behind(line[value.end() :]) for value in _VALUE.finditer(line)
        ]
        found = values + found
        if len(found) >= count:
            break
    return _last_listed(found, count)


def _without_sum(formula: str) -> str:
    """The value of `m + n = 47`: in prose a sum of symbols names what was asked for."""
    found = _SUM.fullmatch(formula)
    return found.group(1) if found else formula


def _lines(text: str) -> list[str]:
    """Lines and sentences; a display formula over several lines is one."""
    joined = _FORMULA.sub(lambda found: found.group().replace("\n", " "), text)
    return [piece for line in joined.split("\n") for piece in re.split(r"(?<=[.!?])\s+(?=[A-Z*])", line)]


def _unit_behind(text: str) -> str:
    """The known units that follow a value in a sentence, each behind a space."""
    unit = ""
    for word in text.split():
        name = word.strip(".,;:!?")
        if not is_unit(name):
            break
        unit += f" {name}"
        if name != word:
            break
    return unit
